import errno
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecstfl.clips import cache as clipcache
from ecstfl.clips.array import MappedClips, open_clip_array, verify_clip_array, write_clip_array
from ecstfl.clips.cache import ClipCache
from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.errors import UserError

SHAPE = (2, 4, 4, 3)
DFEW = (11_697, 16, 112, 112, 3)


def clipset(n):
    clips = (Clip(f"c{i}", None, i % 7, f"g{i % 3}", i % 5 + 1) for i in range(n))
    return ClipSet("test", tuple(clips))


def content(number):
    return np.random.default_rng(number).integers(0, 256, SHAPE, dtype=np.uint8)


def resident():
    """Bytes of memory this process holds; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1])


# --- rows of a file shown as an array ------------------------------------------------------------


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Twenty rows on disk, mapped, and the same in memory."""
    path = tmp_path_factory.mktemp("rows") / "frames.bin"
    rows = np.stack([content(i) for i in range(20)])
    path.write_bytes(rows.tobytes())
    return np.memmap(path, np.uint8, "r", shape=rows.shape), rows


KEYS = st.one_of(
    st.integers(-12, 11),
    st.slices(12),
    st.lists(st.integers(-12, 11), max_size=20),
    st.lists(st.booleans(), min_size=12, max_size=12).map(np.array),
    st.tuples(st.integers(0, 11), st.integers(0, 1)),
    st.tuples(st.integers(0, 11), st.slices(2), st.integers(0, 3)),
)


@given(order=st.permutations(range(20)), key=KEYS)
@settings(max_examples=60)
def test_indexing_is_that_of_an_array_in_memory(packed, order, key):
    mapped, rows = packed
    shown, wanted = MappedClips(mapped, order[:12]), rows[order[:12]]
    if isinstance(key, list):
        key = np.array(key, dtype=np.int64)
    got = shown[key]
    np.testing.assert_array_equal(got, wanted[key])
    assert got.dtype == np.uint8
    if not isinstance(key, (int, tuple)):
        assert got.flags.owndata
        assert got.flags.writeable  # torch warns about tensors that share read-only memory


def test_it_has_the_attributes_of_an_array(packed):
    mapped, rows = packed
    order = [3, 1, 3, 19]
    shown, wanted = MappedClips(mapped, order), rows[order]
    for name in ("shape", "dtype", "ndim", "nbytes"):
        assert getattr(shown, name) == getattr(wanted, name)
    assert len(shown) == 4
    np.testing.assert_array_equal(np.stack(list(shown)), wanted)
    np.testing.assert_array_equal(np.asarray(shown), wanted)
    assert np.asarray(shown, dtype=np.float32).dtype == np.float32
    assert not shown[0].flags.writeable


@pytest.mark.parametrize("key", [12, -13, [0, 12], (slice(None), 0)])
def test_indices_that_do_not_exist(packed, key):
    with pytest.raises(IndexError):
        MappedClips(packed[0], range(12))[key]


@pytest.mark.parametrize("rows", [[20], [-1], [[1]]])
def test_rows_that_do_not_exist(packed, rows):
    with pytest.raises(ValueError, match="expected"):
        MappedClips(packed[0], rows)


# --- the cache opens as such an array ------------------------------------------------------------


def cache_of(folder, n=20, make=content):
    cache = ClipCache(folder, SHAPE, {})
    with cache.writing():
        for i in range(n):
            tracks = np.zeros((0, clipcache.TRACK_COLUMNS))
            cache.add(f"key{i}", make(i).tobytes(), tracks, 9, "", (), "none")
    return cache


@pytest.fixture
def mapped_from_the_first_byte(monkeypatch):
    monkeypatch.setattr(clipcache, "IN_MEMORY", 0)


def entries(cache, numbers):
    return [cache.entries[f"key{i}"] for i in numbers]


def test_large_sets_are_mapped_in_any_order_and_nothing_is_copied(
    tmp_path, mapped_from_the_first_byte
):
    cache_of(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    cache = ClipCache(tmp_path, SHAPE, {})
    clips, damaged = cache.read(entries(cache, [7, 2, 11]))
    assert isinstance(clips, MappedClips)
    assert damaged == []
    np.testing.assert_array_equal(clips, np.stack([content(i) for i in (7, 2, 11)]))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*before, "verified.json"])


def test_the_file_is_verified_once_and_again_when_it_changed(
    tmp_path, monkeypatch, mapped_from_the_first_byte
):
    read = []
    crc32 = zlib.crc32
    monkeypatch.setattr(clipcache.zlib, "crc32", lambda data: read.append(1) or crc32(data))
    cache = cache_of(tmp_path)
    read.clear()
    for _ in range(2):
        cache.read(entries(cache, [1, 2]))
        assert len(read) == 20
    with cache.writing():
        cache.add("more", content(99).tobytes(), np.zeros((0, 21)), 1, "", (), "none")
    read.clear()
    cache.read(entries(cache, [1, 2]))
    assert len(read) == 21


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_a_flipped_bit_is_found_mapped_or_not(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(clipcache, "IN_MEMORY", limit)
    cache = cache_of(tmp_path)
    assert cache.read(entries(cache, range(20)))[1] == []
    path = tmp_path / "frames.bin"
    data = bytearray(path.read_bytes())
    data[5 * cache.row_bytes + 17] ^= 1
    path.write_bytes(data)
    for _ in range(2):  # the second time it is remembered
        assert cache.read(entries(cache, [4, 5, 6]))[1] == [1]
        assert cache.read(entries(cache, [4, 6]))[1] == []


def test_a_cache_that_may_only_be_read_opens(tmp_path, monkeypatch, mapped_from_the_first_byte):
    cache = cache_of(tmp_path)

    def denied(path, data):
        raise UserError("read-only")

    monkeypatch.setattr(clipcache, "write_atomic", denied)
    np.testing.assert_array_equal(cache.read(entries(cache, [3]))[0][0], content(3))


def sparse_cache(folder):
    """A cache of DFEW's size, 7.04 GB: a signature per clip, holes between."""
    n, shape = DFEW[0], DFEW[1:]
    ClipCache(folder, shape, {})
    row = int(np.prod(shape))
    order = np.random.default_rng(0).permutation(n)  # clips finish in any order
    with (folder / "frames.bin").open("wb") as file:
        for place in range(n):
            file.seek(place * row)
            file.write(int(place).to_bytes(4, "little"))
        file.truncate(n * row)
    if (folder / "frames.bin").stat().st_blocks * 512 > n * row // 10:
        pytest.skip("this file system does not keep sparse files")
    lines = [
        {"key": f"key{clip}", "row": int(place), "crc": 0, "n_source": 16, "n_kept": 0,
         "reason": "", "problems": [], "backend": "none", "track": 0}
        for clip, place in enumerate(order)
    ]  # fmt: skip
    (folder / "tracks.bin").touch()
    (folder / "index.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return order


def test_the_size_of_dfew_is_mapped_not_read(tmp_path):
    order = sparse_cache(tmp_path)
    shape = DFEW[1:]
    status = (tmp_path / "frames.bin").stat()
    stamp = {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "rows": DFEW[0]}
    (tmp_path / "verified.json").write_text(json.dumps({"file": stamp, "wrong": []}))

    before = resident()
    cache = ClipCache(tmp_path, shape, {})
    clips, damaged = cache.read(list(cache.entries.values()))
    assert (clips.shape, clips.nbytes, damaged) == (DFEW, 7_042_904_064, [])
    chosen = np.random.default_rng(1).choice(DFEW[0], 24, replace=False)
    batch = clips[chosen]
    signs = [int.from_bytes(clip.tobytes()[:4], "little") for clip in batch]
    assert signs == order[chosen].tolist()
    assert batch[:, 1:].max() == 0
    # the batch itself takes 14 MB; the array must not have been read
    assert resident() - before < 300e6


# --- a folder to keep: clips.npy and index.json --------------------------------------------------


def write(path, n=20, key=""):
    data = clipset(n)
    write_clip_array(path, data, (content(i) for i in range(n)), SHAPE, key)
    return data


def test_written_and_opened(tmp_path):
    data = write(tmp_path / "a", key="tim")
    array = open_clip_array(tmp_path / "a", key="tim", verify=True)
    wanted = np.stack([content(i) for i in range(20)])
    assert isinstance(array.clips, np.memmap)
    assert not array.clips.flags.writeable
    np.testing.assert_array_equal(array.clips, wanted)
    assert array.ids == data.ids
    np.testing.assert_array_equal(array.labels, data.labels)
    assert array.groups[4] == "g1"
    assert array.folds.tolist() == [i % 5 + 1 for i in range(20)]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["clips.npy", "index.json"]
    np.testing.assert_array_equal(np.load(tmp_path / "a" / "clips.npy"), wanted)
    write(tmp_path / "a", n=3)  # replaced
    assert len(open_clip_array(tmp_path / "a", verify=True)) == 3
    with pytest.raises(UserError, match="'', not 'linear'"):
        open_clip_array(tmp_path / "a", key="linear")


def test_an_interrupted_array_is_not_opened(tmp_path):
    write(tmp_path)

    def stops():
        yield content(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip_array(tmp_path, clipset(2), stops(), SHAPE)
    with pytest.raises(UserError, match="not finished"):
        open_clip_array(tmp_path)


def test_full_disk(tmp_path):
    def full():
        yield content(0)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"clips\.npy: No space left on device"):
        write_clip_array(tmp_path, clipset(2), full(), SHAPE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [np.zeros(SHAPE, np.float32), np.zeros((2, 4, 5, 3), np.uint8)])
def test_wrong_clips(tmp_path, bad):
    with pytest.raises(ValueError, match="clip c0: expected uint8"):
        write_clip_array(tmp_path, clipset(1), [bad], SHAPE)
    with pytest.raises(ValueError, match="shorter"):
        write_clip_array(tmp_path, clipset(2), [content(0)], SHAPE)


def test_flipped_bit_is_found(tmp_path):
    write(tmp_path / "a")
    path = tmp_path / "a" / "clips.npy"
    data = bytearray(path.read_bytes())
    data[-1 - 3 * 96] ^= 1  # the fourth clip from the end; 2 * 4 * 4 * 3 = 96 bytes each
    path.write_bytes(data)
    array = open_clip_array(tmp_path / "a")
    with pytest.raises(UserError, match="clip c16 differs"):
        verify_clip_array(array)


@pytest.mark.parametrize("how", ["data cut", "index cut", "index short", "other format", "no data"])
def test_damage_is_told(tmp_path, how):
    write(tmp_path / "a")
    data, index = tmp_path / "a" / "clips.npy", tmp_path / "a" / "index.json"
    if how == "data cut":
        data.write_bytes(data.read_bytes()[:-5])
    elif how == "no data":
        data.unlink()
    elif how == "index cut":
        index.write_text(index.read_text()[:100])
    else:
        value = json.loads(index.read_text())
        value.update({"ids": value["ids"][:-1]} if how == "index short" else {"format": 99})
        index.write_text(json.dumps(value))
    with pytest.raises(UserError, match=re.escape(str(tmp_path / "a"))):
        open_clip_array(tmp_path / "a")


def test_pickles_are_refused(tmp_path):
    write(tmp_path / "a")
    np.save(tmp_path / "a" / "clips.npy", np.array([{"a": 1}] * 20, dtype=object))
    with pytest.raises(UserError, match="damaged"):
        open_clip_array(tmp_path / "a")


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="holds no clip array"):
        open_clip_array(tmp_path)
