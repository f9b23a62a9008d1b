"""Batches are the same numbers, held on the device or read one by one, from memory or disk."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import toy_config, toy_data

from ecstfl.clips import batches as clipbatches
from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.cache import ClipCache, StoredClips
from ecstfl.clips.preprocess import PreparedClip
from ecstfl.runs.run_folder import read_features, read_run, run_directory
from ecstfl.training.loop import train_run

STORED = np.random.default_rng(0).integers(0, 256, (150, 2, 4, 4, 3), dtype=np.uint8)
ROWS = np.random.default_rng(1).permutation(150)[:130]
INDEX = st.one_of(st.lists(st.integers(0, 129), max_size=20), st.slices(130))


def on_disk(folder, clips):
    """The same clips in a cache."""
    cache = ClipCache(folder, clips.shape[1:])
    for k, frames in enumerate(clips):
        empty = np.zeros((1, 2, 3))
        cache.save(str(k), PreparedClip(frames, frames, np.zeros(1, np.int64), 1, empty))
    return StoredClips(cache, [cache.load(str(k)) for k in range(len(clips))])


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return {"memory": STORED, "disk": on_disk(tmp_path_factory.mktemp("cache"), STORED)}


@settings(deadline=None)
@given(index=INDEX, hold=st.booleans(), kind=st.sampled_from(["memory", "disk"]))
def test_every_way_gives_the_same_batch(sources, index, hold, kind):
    batches = ClipBatches(sources[kind], ROWS, "cpu", hold=hold)
    batch = batches[index]
    wanted = STORED[ROWS][index if isinstance(index, slice) else np.array(index, int)]
    np.testing.assert_array_equal(batch.numpy(), wanted)
    assert batch.dtype == torch.uint8
    batch.zero_()  # a tensor of its own: what is stored stays as it is
    np.testing.assert_array_equal(batches[index].numpy(), wanted)
    if not isinstance(index, slice):
        np.testing.assert_array_equal(
            batches[torch.tensor(index, dtype=torch.int64)].numpy(), wanted
        )
    assert (len(batches), batches.held) == (130, hold)


def test_nothing_is_read_before_a_batch_is_asked_for(sources, monkeypatch):
    read, frames = [], ClipCache.frames
    monkeypatch.setattr(ClipCache, "frames", lambda *a: read.append(a[1].key) or frames(*a))
    batches = ClipBatches(sources["disk"], ROWS, "cpu")
    assert not read
    batches[[3, 1]]
    assert read == [str(ROWS[3]), str(ROWS[1])]


@pytest.mark.parametrize(("free", "held"), [(10**9, True), (2 * 130 * 96, True), (130 * 96, False)])
def test_a_gpu_holds_what_leaves_room_for_the_rest(monkeypatch, free, held):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    batches = ClipBatches.__new__(ClipBatches)
    batches.device = torch.device("cuda", 0)
    assert batches._has_room(130 * 96) == held
    batches.device = torch.device("cpu")
    assert not batches._has_room(1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("hold", [None, False])
def test_on_a_gpu(sources, hold):
    batches = ClipBatches(sources["disk"], ROWS, "cuda", hold=hold)
    assert batches.held == (hold is None)
    for index in ([5, 129, 5], slice(60, 130)):
        assert batches[index].device.type == "cuda"
        np.testing.assert_array_equal(batches[index].cpu().numpy(), STORED[ROWS][index])


def test_training_from_disk_is_training_from_memory(tmp_path):
    """The same run, bit for bit, from an array and from files."""
    clipset, clips = toy_data(groups=5)
    config = toy_config(clipset, epochs=2)
    train_run(config, clipset, clips, tmp_path / "memory")
    train_run(config, clipset, on_disk(tmp_path / "cache", clips), tmp_path / "disk")
    one, other = (read_features(run_directory(tmp_path / d, config)) for d in ("memory", "disk"))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    histories = [
        read_run(run_directory(tmp_path / d, config))["history"] for d in ("memory", "disk")
    ]
    assert histories[0] == histories[1]


def test_pieces_cover_everything():
    assert len(STORED) > 2 * clipbatches.PIECE
    held = ClipBatches(STORED, range(150), "cpu", hold=True)
    np.testing.assert_array_equal(held[:].numpy(), STORED)
