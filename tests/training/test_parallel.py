"""Two processes are one process with the whole batch."""

import os
import socket
import subprocess
import sys
from multiprocessing.connection import wait

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from together import config_of, train
from torch import nn
from toy import toy_data

from ecstfl import distributed
from ecstfl.clips.augment import AugmentConfig, training_view
from ecstfl.distributed import (
    barrier,
    broadcast,
    is_main_process,
    local_rows,
    main_process_first,
    main_process_only,
    process_group,
    rank,
    world_size,
)
from ecstfl.predict.checkpoint import load_checkpoint
from ecstfl.runs.run_folder import read_features, read_run, run_directory
from ecstfl.training.data_parallel import replicated, synchronized_batch_norm
from ecstfl.training.loop import train_run

METHODS = ("softmax", "ec-stfl", "center")
CLIPSET, CLIPS = toy_data()


def torchrun(*arguments, env=None):
    """Start two gloo processes on this machine; return (exit code, output)."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "--standalone", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | (env or {}),
    )
    return done.returncode, done.stdout + done.stderr


def two_processes(results, methods, stop=0):
    """Train in two processes; return what they tell, or None where they die."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("forkserver")  # imports torch once, before any thread runs
    context.set_forkserver_preload(["ecstfl.training.loop", "torch._dynamo"])
    told = context.Queue()
    processes = [
        context.Process(target=train, args=(n, port, results, methods, stop, told), daemon=True)
        for n in (0, 1)
    ]
    for process in processes:
        process.start()
    wait([process.sentinel for process in processes])  # until the first has ended
    for process in processes:
        if stop:  # as torchrun ends the others
            process.kill()
        process.join()
    ends = [process.exitcode for process in processes]
    assert (3 in ends) == bool(stop), ends
    return None if stop else [told.get(timeout=600) for _ in (0, 1) for _ in methods]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Results of one process and of two."""
    alone, pair = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("pair")
    for method in METHODS:
        train_run(config_of(CLIPSET, method), CLIPSET, CLIPS, alone)
    # interrupted after an epoch, and taken up again
    two_processes(pair, METHODS[:1], stop=1)
    return alone, pair, two_processes(pair, METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_are_one_with_the_whole_batch(both, method):
    alone, pair, _ = both
    config = config_of(CLIPSET, method)
    one, two = (read_run(run_directory(results, config)) for results in (alone, pair))
    assert (one["processes"], two["processes"]) == (1, 2)
    assert len(two["history"]) == config.optim.epochs
    for left, right in zip(one["history"], two["history"], strict=True):
        assert left.keys() == right.keys()
        for name, value in left.items():
            assert right[name] == pytest.approx(value, rel=1e-4, abs=1e-4), name
    weights = [
        load_checkpoint(run_directory(results, config) / "model.safetensors")[1].state_dict()
        for results in (alone, pair)
    ]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-2, atol=2e-3, msg=name)
    logits = [read_features(run_directory(r, config))["logits"] for r in (alone, pair)]
    np.testing.assert_allclose(*[x.astype(float) for x in logits], atol=2e-2)


def test_every_process_returns_the_run_and_the_first_alone_writes(both):
    _, pair, told = both
    for method in METHODS:
        ranks, sizes, values = zip(*[rest for name, *rest in told if name == method], strict=True)
        assert (sorted(ranks), sizes) == ([0, 1], (2, 2))
        assert len(set(values)) == 1
        files = {p.name for p in run_directory(pair, config_of(CLIPSET, method)).iterdir()}
        assert files == {"run.json", "features.npz", "model.safetensors"}


def test_rows_cover_a_batch_once_and_evenly(monkeypatch):
    def rows_of(number, size, n):
        monkeypatch.setattr(distributed, "rank", lambda: number)
        monkeypatch.setattr(distributed, "world_size", lambda: size)
        return local_rows(n)

    for size in (1, 2, 3, 5):
        for n in range(size, 20):
            shares = [rows_of(number, size, n) for number in range(size)]
            assert [i for s in shares for i in range(n)[s]] == list(range(n))
            lengths = [s.stop - s.start for s in shares]
            assert max(lengths) - min(lengths) <= 1
            assert min(lengths) >= 1


def test_a_process_sees_the_views_that_one_process_would_have_seen():
    stored = torch.from_numpy(CLIPS[:7])
    config = AugmentConfig(size=16, frames=2)
    whole = training_view(stored, config, torch.Generator().manual_seed(5))
    for rows in (slice(0, 3), slice(3, 7)):
        part = training_view(stored, config, torch.Generator().manual_seed(5), rows)
        torch.testing.assert_close(part, whole[rows])


def test_alone_nothing_changes():
    model = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4))
    assert (rank(), world_size(), is_main_process()) == (0, 1, True)
    assert synchronized_batch_norm(model) is model
    assert type(model[1]) is nn.BatchNorm3d
    assert replicated(model, "1") == (model, "1")
    assert broadcast(True)
    assert not broadcast(False)
    assert main_process_only(lambda x: x + 1)(1) == 2
    barrier()
    with process_group("cpu"), main_process_first():
        assert world_size() == 1


LEAVING = """
import gc, weakref
import torch.distributed as dist
from torch import nn
from ecstfl.distributed import process_group
from ecstfl.training.data_parallel import replicated

gc.disable()  # a network in a circle lives until somebody looks for it
with process_group("cpu"):
    replica, _ = replicated(nn.Linear(2, 2), "")
    circle = [replica]
    circle.append(circle)
    weakref.finalize(replica, lambda: print(f"group: {dist.is_initialized()}", flush=True))
    del replica, circle
print("left", flush=True)
"""


@pytest.mark.slow
def test_no_replica_outlives_the_group(tmp_path):
    # one that does ends gloo's threads with Python's lock held, and may wait for them for ever
    script = tmp_path / "leaving.py"
    script.write_text(LEAVING)
    code, said = torchrun(script)
    assert code == 0, said
    assert said.count("group: True") == said.count("left") == 2, said


@pytest.mark.slow
def test_the_command_line_under_torchrun(tmp_path):
    places = ["--results", tmp_path / "r", "--figures", tmp_path / "f", "--cache", tmp_path / "c"]
    code, said = torchrun(
        "-m", "ecstfl", "train", "--profile", "smoke", "--method", "softmax", "--device", "cpu",
        *places,
    )  # fmt: skip
    assert code == 0, said
    assert said.count("Step 3 of 3") == 1  # one process speaks
    (path,) = (tmp_path / "r" / "runs").iterdir()
    assert read_run(path)["processes"] == 2
    assert (tmp_path / "r" / "table.md").exists()
