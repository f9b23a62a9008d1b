"""What is stored of prepared clips: whole or not there, read clip by clip, damage found."""

import csv
import errno
import os
import threading
import time
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from ecstfl.clips import cache
from ecstfl.clips.array import write_clip_array
from ecstfl.clips.cache import ClipCache, DamagedClip, StoredClips
from ecstfl.clips.preprocess import PreparedClip
from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.errors import UserError

SHAPE = (2, 4, 4, 3)


def content(number):
    return np.random.default_rng(number).integers(0, 256, SHAPE, dtype=np.uint8)


def prepared_clip(number):
    return PreparedClip(
        content(number), content(number), np.arange(2), 3, np.full((2, 2, 3), number), (), "none"
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A cache of twenty clips, their entries, and the same in memory."""
    clips = ClipCache(tmp_path_factory.mktemp("cache"), SHAPE)
    for k in range(20):
        clips.save(f"key{k}", prepared_clip(k))
    entries = [clips.load(f"key{k}") for k in range(20)]
    return clips, entries, np.stack([content(k) for k in range(20)])


# --- clips on disk shown as an array --------------------------------------------------------------


KEYS = st.one_of(
    st.integers(-12, 11),
    st.slices(12),
    st.lists(st.integers(-12, 11), max_size=20),
    st.lists(st.booleans(), min_size=12, max_size=12).map(np.array),
)


@given(order=st.permutations(range(20)), key=KEYS)
@settings(max_examples=60)
def test_indexing_is_that_of_an_array_in_memory(stored, order, key):
    clips, entries, rows = stored
    shown, wanted = StoredClips(clips, [entries[k] for k in order[:12]]), rows[order[:12]]
    if isinstance(key, list):
        key = np.array(key, dtype=np.int64)
    got = shown[key]
    np.testing.assert_array_equal(got, wanted[key])
    assert got.dtype == np.uint8
    assert got.flags.writeable  # torch warns about tensors that share read-only memory


def test_it_is_counted_and_read_through_like_an_array(stored):
    clips, entries, rows = stored
    order = [3, 1, 3, 19]
    shown, wanted = StoredClips(clips, [entries[k] for k in order]), rows[order]
    assert shown.shape == wanted.shape
    assert len(shown) == 4
    np.testing.assert_array_equal(np.stack(list(shown)), wanted)
    with pytest.raises(IndexError):
        shown[4]


def test_a_set_larger_than_memory_is_read_clip_by_clip(tmp_path):
    """Ten thousand clips of 768 kB, 7.7 GB, all from one file on disk: a batch takes its own."""
    shape = (16, 128, 128, 3)
    clips = ClipCache(tmp_path, shape)
    frames = np.full(shape, 7, np.uint8)
    clips.save("key", PreparedClip(frames, frames, np.arange(16), 16, np.zeros((16, 2, 3))))
    shown = StoredClips(clips, [clips.load("key")] * 10_000)
    assert np.prod(shown.shape) > 7e9
    tracemalloc.start()
    assert shown[[5, 9_999, 123]].mean() == 7
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * frames.nbytes


# --- damage ---------------------------------------------------------------------------------------


def test_what_was_stored_is_read(stored):
    clips, entries, rows = stored
    assert (entries[4].n_source, entries[4].n_kept, entries[4].reason) == (3, 2, "")
    np.testing.assert_array_equal(clips.frames(entries[4]), rows[4])
    track = clips.track(entries[4])
    np.testing.assert_array_equal(track.kept, [0, 1])
    np.testing.assert_array_equal(track.matrices, np.full((2, 2, 3), 4))
    assert np.isnan(track.boxes).all()
    assert track.points.shape == (2, 5, 2)
    clips.save("none", None, "why")
    assert clips.load("none").reason == "why"
    assert clips.load("never") is None


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("how", ["cut", "gone", "other", "empty"])
def test_a_file_that_is_not_whole_is_not_loaded(tmp_path, suffix, how):
    clips = ClipCache(tmp_path, SHAPE)
    clips.save("key", prepared_clip(1))
    path = tmp_path / f"key{suffix}"
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": path.read_bytes()[:-7], "other": b"x" * 500, "empty": b""}[how])
    assert clips.load("key") is None


def test_pickles_are_refused(tmp_path):
    clips = ClipCache(tmp_path, SHAPE)
    clips.save("key", prepared_clip(1))
    np.save(tmp_path / "key.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert clips.load("key") is None


def test_a_flipped_bit_is_found_and_the_clip_prepared_anew(tmp_path):
    clips = ClipCache(tmp_path, SHAPE)
    clips.save("key", prepared_clip(1))
    entry = clips.load("key")
    data = bytearray((tmp_path / "key.npy").read_bytes())
    data[-20] ^= 1
    (tmp_path / "key.npy").write_bytes(data)
    with pytest.raises(DamagedClip, match=r"key\.npy is damaged: give the command again"):
        StoredClips(clips, [entry])[[0]]
    assert clips.load("key") is None


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    clips = ClipCache(tmp_path, SHAPE)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.np, "save", full)
    with pytest.raises(UserError, match="No space left on device; make room"):
        clips.save("key", prepared_clip(1))
    assert list(tmp_path.iterdir()) == []


# --- one run writes at a time ---------------------------------------------------------------------


def test_a_run_that_hangs_is_not_waited_for_without_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cache, "STALLED", 0.2)
    clips = ClipCache(tmp_path, SHAPE)
    with (
        FileLock(tmp_path / "lock"),
        pytest.raises(UserError, match="another run holds"),
        clips.writing(),
    ):
        pass
    assert "waiting for another run" in capsys.readouterr().err
    with clips.writing():  # free again
        assert (tmp_path / "lock").exists()


def test_a_run_waits_for_another(tmp_path, capsys):
    held, ends = threading.Event(), []

    def other():
        with FileLock(tmp_path / "lock"):
            held.set()
            time.sleep(2.5)
            ends.append("other")

    threading.Thread(target=other).start()
    held.wait()
    with ClipCache(tmp_path, SHAPE).writing():
        assert ends == ["other"]
    assert "waiting for another run" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_only_be_read(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot write to cache"), ClipCache(tmp_path, ()).writing():
        pass


# --- a folder to keep: clips.npy and manifest.csv -------------------------------------------------


def prepared_set(n=20, clips=None):
    members = [
        Clip(f"c{i}", f"/v/ж{i}.mp4", i % 7 if i else None, f"g{i % 3}", i % 5) for i in range(n)
    ]
    clips = np.stack([content(i) for i in range(n)]) if clips is None else clips
    return SimpleNamespace(
        clipset=ClipSet("test", tuple(members)), clips=clips, coverage=np.full(n, 0.5)
    )


def opened(folder):
    with (folder / "manifest.csv").open(encoding="utf-8") as manifest:
        return np.load(folder / "clips.npy", allow_pickle=False), list(csv.DictReader(manifest))


def test_written_and_opened(tmp_path):
    write_clip_array(tmp_path, prepared_set())
    clips, lines = opened(tmp_path)
    np.testing.assert_array_equal(clips, prepared_set().clips)
    assert [line["id"] for line in lines] == [f"c{i}" for i in range(20)]
    assert lines[8] == {
        "row": "8",
        "id": "c8",
        "path": "/v/ж8.mp4",
        "label": "Sad",
        "group": "g2",
        "fold": "3",
        "coverage": "0.5000",
    }
    assert lines[0]["label"] == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips.npy", "manifest.csv"]
    write_clip_array(tmp_path, prepared_set(3))  # replaced
    assert [len(part) for part in opened(tmp_path)] == [3, 3]


class Breaks(np.ndarray):
    """Clips of which the second cannot be read."""

    def __iter__(self):
        yield np.asarray(self[0])
        raise self.problem


def breaking(problem):
    clips = prepared_set(2).clips.view(Breaks)
    clips.problem = problem
    return prepared_set(2, clips)


def test_an_interrupted_array_has_no_manifest(tmp_path):
    write_clip_array(tmp_path, prepared_set(2))
    with pytest.raises(KeyboardInterrupt):
        write_clip_array(tmp_path, breaking(KeyboardInterrupt()))
    assert not (tmp_path / "manifest.csv").exists()


def test_a_full_disk_leaves_nothing_half(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(UserError, match=r"clips\.npy: No space left on device"):
        write_clip_array(tmp_path, breaking(full))
    assert list(tmp_path.iterdir()) == []
