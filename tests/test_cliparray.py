import errno
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecstfl import cliparray
from ecstfl.cliparray import build_clip_array, open_clip_array, verify_clip_array, write_index
from ecstfl.clipset import Clip, ClipSet
from ecstfl.errors import UserError

SHAPE = (2, 4, 4, 3)


def clipset(n):
    clips = (Clip(f"c{i}", None, i % 7, f"g{i % 3}", i % 5 + 1) for i in range(n))
    return ClipSet("test", tuple(clips))


def content(clip):
    return np.random.default_rng(int(clip.id[1:])).integers(0, 256, SHAPE, dtype=np.uint8)


def resident():
    """Bytes of memory this process holds; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1])


def build(path, n=20, make=content, **options):
    return build_clip_array(path, clipset(n), SHAPE, make, progress=False, **options)


def test_built_once_and_opened(tmp_path):
    array = build(tmp_path / "a")
    wanted = np.stack([content(c) for c in clipset(20)])
    assert isinstance(array.clips, np.memmap)
    assert not array.clips.flags.writeable
    np.testing.assert_array_equal(array.clips, wanted)
    assert array.ids == clipset(20).ids
    np.testing.assert_array_equal(array.labels, clipset(20).labels)
    assert array.groups[4] == "g1"
    assert array.folds.tolist() == [i % 5 + 1 for i in range(20)]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["clips.npy", "index.json"]

    def never(clip):
        raise AssertionError("made again")

    assert build(tmp_path / "a", make=never).ids == array.ids
    np.testing.assert_array_equal(np.load(tmp_path / "a" / "clips.npy"), wanted)


@given(rows=st.lists(st.integers(0, 19), max_size=40))
@settings(max_examples=30)
def test_batches_in_any_order(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "shared"
    array = build(path)
    wanted = np.stack([content(c) for c in clipset(20)])
    batch = array.batch(rows)
    np.testing.assert_array_equal(batch, wanted[np.array(rows, dtype=int)])
    assert batch.flags.owndata
    assert batch.flags.writeable


def test_interrupted_and_resumed(tmp_path):
    made = []

    def stops(clip):
        if len(made) == 7:
            raise KeyboardInterrupt
        made.append(clip.id)
        return content(clip)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "a", make=stops)
    with pytest.raises(UserError, match="not finished"):
        open_clip_array(tmp_path / "a")

    def goes_on(clip):
        made.append(clip.id)
        return content(clip)

    array = build(tmp_path / "a", make=goes_on)
    assert made == list(clipset(20).ids)  # each once
    verify_clip_array(array)


@pytest.mark.parametrize("damaged", ["clips.npy.part", "done.json"])
def test_damaged_leftovers_start_anew(tmp_path, damaged):
    def stops(clip):
        if clip.id == "c9":
            raise KeyboardInterrupt
        return content(clip)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "a", make=stops)
    path = tmp_path / "a" / damaged
    path.write_bytes(path.read_bytes()[:150])
    verify_clip_array(build(tmp_path / "a"))


def test_the_space_is_reserved_before_the_work(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cliparray.os, "posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match="No space left on device"):
        build(tmp_path / "a", make=lambda clip: pytest.fail("began"))


def test_a_clip_that_cannot_be_read_is_named(tmp_path):
    def lost(clip):
        raise FileNotFoundError(errno.ENOENT, "No such file", "v.mp4")

    with pytest.raises(UserError, match=r"clip c0: .*v\.mp4"):
        build(tmp_path / "a", make=lost)


def test_another_plan_starts_anew(tmp_path):
    def stops(clip):
        if clip.id == "c3":
            raise KeyboardInterrupt
        return content(clip)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "a", make=stops, key="old")
    array = build(tmp_path / "a", make=lambda clip: 255 - content(clip), key="new")
    np.testing.assert_array_equal(array.clips[0], 255 - content(clipset(1).clips[0]))


def test_another_key_or_set_is_refused(tmp_path):
    build(tmp_path / "a", key="tim")
    with pytest.raises(UserError, match="'tim', not 'linear'"):
        build(tmp_path / "a", key="linear")
    with pytest.raises(UserError, match="holds another array"):
        build(tmp_path / "a", n=19, key="tim")


@pytest.mark.parametrize("bad", [np.zeros(SHAPE, np.float32), np.zeros((2, 4, 5, 3), np.uint8)])
def test_wrong_clips(tmp_path, bad):
    with pytest.raises(UserError, match="clip c0: expected uint8"):
        build(tmp_path / "a", make=lambda clip: bad)


def test_flipped_bit_is_found(tmp_path):
    build(tmp_path / "a")
    path = tmp_path / "a" / "clips.npy"
    data = bytearray(path.read_bytes())
    data[-1 - 3 * 96] ^= 1  # the fourth clip from the end; 2 * 4 * 4 * 3 = 96 bytes each
    path.write_bytes(data)
    open_clip_array(tmp_path / "a")
    with pytest.raises(UserError, match="clip c16 differs"):
        open_clip_array(tmp_path / "a", verify=True)


@pytest.mark.parametrize("how", ["data cut", "index cut", "index short", "other format", "no data"])
def test_damage_is_told(tmp_path, how):
    build(tmp_path / "a")
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
    with pytest.raises(UserError):
        open_clip_array(tmp_path / "a")


def test_pickles_are_refused(tmp_path):
    build(tmp_path / "a")
    np.save(tmp_path / "a" / "clips.npy", np.array([{"a": 1}] * 20, dtype=object))
    with pytest.raises(UserError, match="damaged"):
        open_clip_array(tmp_path / "a")


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="holds no clip array"):
        open_clip_array(tmp_path)


def test_full_disk(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(cliparray.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="GB needed"):
        build(tmp_path / "a")


def test_to_device(tmp_path):
    array = build(tmp_path / "a", n=150)
    whole = array.to_device("cpu")
    assert whole.dtype == torch.uint8
    np.testing.assert_array_equal(whole.numpy(), array.clips)
    some = array.to_device("cpu", [5, 149, 0])
    np.testing.assert_array_equal(some.numpy(), array.clips[[5, 149, 0]])


def test_the_size_of_dfew_is_mapped_not_read(tmp_path):
    """7.04 GB as a sparse file: a signature per clip, holes between."""
    n, shape = 11_697, (16, 112, 112, 3)
    size = n * int(np.prod(shape))
    assert size == 7_042_904_064
    folder = tmp_path / "dfew"
    folder.mkdir()
    data = np.lib.format.open_memmap(
        folder / "clips.npy", mode="w+", dtype=np.uint8, shape=(n, *shape)
    )
    for row in range(0, n, 100):
        data[row, 0, 0, :4] = np.frombuffer(row.to_bytes(12, "little"), np.uint8).reshape(4, 3)
    data.flush()
    del data
    file = folder / "clips.npy"
    if file.stat().st_blocks * 512 > size // 10:
        pytest.skip("this file system does not keep sparse files")
    write_index(folder, clipset(n), "sparse", [0] * n)

    before = resident()
    array = open_clip_array(folder)
    assert array.clips.shape == (n, *shape)
    assert array.clips.nbytes == size
    rows = np.random.default_rng(0).permutation(range(0, n, 100))[:24]
    batch = array.batch(rows)
    signs = batch[:, 0, 0, :4].reshape(24, 12)
    assert [int.from_bytes(s.tobytes(), "little") for s in signs] == rows.tolist()
    assert batch[:, 1:].max() == 0
    # the batch itself takes 14 MB; the array must not have been read
    assert resident() - before < 300e6
