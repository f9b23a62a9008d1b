"""Bad input of training: every case is a sentence, and nothing finished is ever lost."""

import json
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from madeup import made_up_run
from toy import toy_config, toy_data

from ecstfl.cli.main import main
from ecstfl.errors import UserError
from ecstfl.files import move_aside, write_json
from ecstfl.losses.methods import LossConfig
from ecstfl.models.backbones import build_backbone
from ecstfl.predict.checkpoint import load_checkpoint
from ecstfl.runs.checkpoint import MAGIC, read_checkpoint, write_checkpoint
from ecstfl.runs.config import OptimConfig
from ecstfl.runs.run_folder import finished_run, run_directory, save_model, write_features
from ecstfl.training import forward
from ecstfl.training.loop import train_run
from ecstfl.training.memory import is_out_of_memory
from ecstfl.video.files import content_sha256

HERE = Path(__file__).parents[1]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")


@pytest.fixture(scope="module")
def data():
    return toy_data()


class Stop(BaseException):
    pass


def train_until(epoch, config, data, results):
    """Train and be interrupted after an epoch, as by a power cut."""

    def stop(done, *_):
        if done == epoch:
            raise Stop

    with pytest.raises(Stop):
        train_run(config, *data, results, progress=stop)


def outcome(results, config):
    """What must not depend on interruptions: results bit for bit, without times and places.

    Files by their checksums: pytest would draw a difference of whole files for minutes.
    """
    directory = run_directory(results, config)
    run = json.loads((directory / "run.json").read_text())
    for volatile in ("seconds", "finished", "provenance"):
        del run[volatile]
    files = [content_sha256(directory / name) for name in ("features.npz", "model.safetensors")]
    return run, files


def child(code, *arguments, before=()):
    """Run code in a process of its own that has the tests' helpers; return (exit code, output)."""
    prologue = f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
    done = subprocess.run(
        [*before, sys.executable, "-c", prologue + textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


# ---- unknown names and impossible numbers ------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train --method magic --weight 1", "unknown method 'magic': use one of softmax, ec-stfl"),
        ("train --backbone alexnet", "unknown backbone 'alexnet': use one of c3d"),
        ("train --fold 9", "has no fold 9; its folds: 1, 2, 3, 4, 5"),
        ("reproduce --folds 1 9", "has no fold 9"),
        ("reproduce --profile huge", "unknown profile 'huge'"),
        ("reproduce --device tpu", "unknown device 'tpu'"),
        ("train --weight nan", "weight lambda must not be negative, and a number, got nan"),
        ("train --weight inf", "and a number, got inf"),
        ("train --seed -1", "a seed is a whole number from 0, got -1"),
        ("train --batch 1", "batch >= 2"),
        ("train --epochs 0", "epochs >= 1"),
        ("train --width 0", "a network needs width >= 1 and fc >= 1, got 0 and 256"),
        ("train --optimizer sgd", "unknown optimizer 'sgd': use one of adamw, muon"),
    ],
)
def test_unknown_choices_are_one_sentence(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ecstfl: ")
    assert sentence in line


def test_numbers_that_are_none_are_refused():
    with pytest.raises(UserError, match="and a number"):
        LossConfig("ec-stfl", weight=float("nan"))
    with pytest.raises(UserError, match="lr > 0"):
        OptimConfig(lr=float("nan"))


def planted(results, config, change):
    """A finished run whose run.json was changed."""
    run, features = made_up_run(config)
    directory = run_directory(results, config)
    write_features(directory, **features)
    change(run)
    write_json(directory / "run.json", run)
    return directory


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda run: run.update(schema=0), "another version"),
        (lambda run: run.pop("schema"), "another version"),
        (lambda run: run.pop("confusion"), "no usable 'confusion'"),
        (lambda run: run.update(war=None), "no usable 'war'"),
        (lambda run: run.update(provenance="unknown"), "no usable 'provenance'"),
        (lambda run: run.update(config_hash="0" * 64), "another configuration"),
    ],
)
def test_a_run_that_is_not_ours_is_named_and_kept(tmp_path, data, change, why):
    config = toy_config(data[0])
    directory = planted(tmp_path, config, change)
    before = (directory / "run.json").read_bytes()
    with pytest.warns(UserWarning, match=rf"run\.json.*{why}.*kept as run\.json\.broken-1"):
        assert finished_run(tmp_path, config) is None
    assert (directory / "run.json.broken-1").read_bytes() == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert finished_run(tmp_path, config) is None  # said once


def test_broken_features_are_kept_too(tmp_path, data):
    config = toy_config(data[0])
    directory = planted(tmp_path, config, lambda run: None)
    assert finished_run(tmp_path, config) is not None
    whole = (directory / "features.npz").read_bytes()
    (directory / "features.npz").write_bytes(whole[:100])
    with pytest.warns(UserWarning, match="kept as run.json.broken-1 and features.npz.broken-1"):
        assert finished_run(tmp_path, config) is None
    assert (directory / "features.npz.broken-1").read_bytes() == whole[:100]


def test_a_broken_run_is_redone_to_the_same_result(tmp_path, data):
    config = toy_config(data[0], epochs=1)
    train_run(config, *data, tmp_path)
    expected = outcome(tmp_path, config)
    (run_directory(tmp_path, config) / "run.json").write_text('{"schema": 1')
    with pytest.warns(UserWarning, match="not readable as JSON"):
        assert finished_run(tmp_path, config) is None
    train_run(config, *data, tmp_path)
    assert outcome(tmp_path, config) == expected


def test_what_another_process_has_just_moved_is_no_error(tmp_path):
    assert move_aside(tmp_path / "gone") is None


# ---- checkpoints -------------------------------------------------------------------------------

STATE = {
    "model": {"w": torch.arange(500.0).view(5, 100)},
    "history": [{"ce": 1.5}],
    "seconds": 2.0,
}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, STATE, "mine")
    return path


def test_a_checkpoint_comes_back(checkpoint):
    state = read_checkpoint(checkpoint, "mine")
    assert torch.equal(state["model"]["w"], STATE["model"]["w"])
    assert (state["history"], state["seconds"]) == (STATE["history"], 2.0)
    assert read_checkpoint(checkpoint.with_name("none.pt"), "mine") is None


def test_any_flipped_bit_is_found(checkpoint):
    """Also inside a tensor, where torch.load itself reads another number and says nothing."""
    whole = checkpoint.read_bytes()
    rng = np.random.default_rng(0)
    for place in [0, len(MAGIC), len(MAGIC) + 32, *rng.integers(0, len(whole), 60).tolist()]:
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        checkpoint.write_bytes(broken)
        with pytest.warns(UserWarning, match=r"broken \(.*kept as checkpoint\.pt\.broken-\d+"):
            assert read_checkpoint(checkpoint, "mine") is None
        assert not checkpoint.exists()


@pytest.mark.parametrize("kept", [0, 1, 10, 60, 700, -1])
def test_a_cut_checkpoint_is_found(checkpoint, kept):
    checkpoint.write_bytes(checkpoint.read_bytes()[:kept])
    with pytest.warns(UserWarning, match="broken"):
        assert read_checkpoint(checkpoint, "mine") is None


def test_another_runs_checkpoint_is_not_taken(checkpoint):
    with pytest.warns(UserWarning, match="belongs to another configuration"):
        assert read_checkpoint(checkpoint, "yours") is None


def test_a_checkpoint_of_another_network_starts_anew(tmp_path, data):
    config = toy_config(data[0], epochs=1)
    path = run_directory(tmp_path, config) / "checkpoint.pt"
    write_checkpoint(path, STATE | {"loss": {}, "optimizer": {}}, config.hash)
    with pytest.warns(UserWarning, match="kept as checkpoint.pt.broken-1"):
        assert len(train_run(config, *data, tmp_path)["history"]) == 1


def test_equal_models_are_equal_files_and_still_models(tmp_path, data):
    config = toy_config(data[0])
    model = build_backbone(config.backbone, 4, 16)
    for n in range(5):
        save_model(tmp_path / f"{n}.safetensors", model, config)
    files = [(tmp_path / f"{n}.safetensors").read_bytes() for n in range(5)]
    assert len(set(files)) == 1
    weights = load_checkpoint(tmp_path / "0.safetensors")[1].state_dict()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


# ---- a full disk -------------------------------------------------------------------------------

FULL = """
    import resource
    from pathlib import Path
    from toy import toy_config, toy_data
    from ecstfl.errors import UserError
    from ecstfl.training.loop import train_run
    clipset, clips = toy_data()
    for folder, limit in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
        if limit:  # no file may grow beyond it, as on a disk without room
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            train_run(toy_config(clipset), clipset, clips, Path(folder))
        except UserError as error:
            print("UserError:", error)
"""


@LINUX
def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path, data):
    config = toy_config(data[0])
    train_run(config, *data, tmp_path / "whole")
    limits, kept = (500, 60_000), {}
    for limit in limits:
        train_until(1, config, data, tmp_path / str(limit))
        directory = run_directory(tmp_path / str(limit), config)
        kept[limit] = (directory / "checkpoint.pt").read_bytes()
        assert len(kept[limit]) > limit, "the limit is meant to be met"
    code, said = child(FULL, *(x for limit in limits for x in (tmp_path / str(limit), limit)))
    assert code == 0, said
    told = re.findall(r"UserError: cannot write .*checkpoint\.pt: .*; make room and give the", said)
    assert len(told) == len(limits)
    for limit in limits:
        directory = run_directory(tmp_path / str(limit), config)
        assert (directory / "checkpoint.pt").read_bytes() == kept[limit]
        assert {p.name for p in directory.iterdir()} <= {"checkpoint.pt", ".lock"}
        train_run(config, *data, tmp_path / str(limit))
        assert outcome(tmp_path / str(limit), config) == outcome(tmp_path / "whole", config)


@LINUX
def test_a_really_full_disk(tmp_path):
    """A file system of 40 kB in memory, where the system lets us make one."""
    inside = 'mount -t tmpfs -o size=40k none "$0" && exec "$@"'
    before = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside, str(tmp_path)]
    try:
        usable = subprocess.run([*before, "true"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        usable = False
    if not usable:
        pytest.skip("no file system can be mounted here")
    code, said = child(FULL, tmp_path, 0, before=before)
    assert code == 0, said
    assert "No space left on device; make room and give the command again" in said


# ---- memory ------------------------------------------------------------------------------------


def test_memory_that_runs_out_is_known_by_all_its_names():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value) or "Storage size" in str(caught.value)


def test_a_run_without_memory_says_what_to_try(tmp_path, data, monkeypatch):
    def hungry(clips, *rest):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot")

    monkeypatch.setattr(forward, "training_view", hungry)
    for batch, advice in ((14, r"try --batch 7 \(another"), (2, "take a smaller width")):
        config = toy_config(data[0], optim=OptimConfig(batch=batch))
        with pytest.raises(UserError, match=f"out of memory at batch {batch}; {advice}"):
            train_run(config, *data, tmp_path)


@LINUX
@pytest.mark.slow
def test_memory_that_really_runs_out(tmp_path):
    code = """
        import resource
        from dataclasses import replace
        from pathlib import Path
        import numpy as np, torch
        from toy import toy_config, toy_data
        from ecstfl.clips.augment import AugmentConfig
        from ecstfl.models.backbones import BackboneConfig
        from ecstfl.errors import UserError
        from ecstfl.training.loop import train_run
        torch.set_num_threads(1)
        clipset, clips = toy_data()
        clips = np.ascontiguousarray(clips.repeat(4, 2).repeat(4, 3).repeat(2, 1))
        config = toy_config(
            clipset, epochs=1, augment=AugmentConfig(size=64, frames=8),
            backbone=BackboneConfig(width=16, fc=16),
        )
        small = replace(config, optim=replace(config.optim, batch=2))
        train_run(replace(small, seed=9), clipset, clips, Path(sys.argv[1]))  # libraries are in
        size = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
        large = replace(config, optim=replace(config.optim, batch=56))
        limit = size + int(sys.argv[2]) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            train_run(large, clipset, clips, Path(sys.argv[1]))
        except UserError as error:
            print(error)
    """
    code, said = child(code, tmp_path, 250)
    assert code == 0, said
    assert "out of memory at batch 56; try --batch 28" in said


# ---- NaN ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("poisoned", "sentence"),
    [
        (4, "at epoch 1, step 4; no epoch was finished; try a lower lr"),
        (8, "at epoch 2, step 4; the checkpoint of epoch 1 is kept; try a lower lr"),
    ],
)
def test_nan_made_by_the_last_step_of_an_epoch_never_reaches_a_checkpoint(
    tmp_path, data, monkeypatch, poisoned, sentence
):
    """The loss was still finite; the step made from its gradient was not."""
    config = toy_config(data[0])  # 56 clips in batches of 14: four steps an epoch
    step, calls = torch.optim.AdamW.step, []

    def poison(optimizer, *rest):
        done = step(optimizer, *rest)
        calls.append(1)
        if len(calls) == poisoned:
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0][0, 0, 0, 0, 0] = float("inf")
        return done

    monkeypatch.setattr(torch.optim.AdamW, "step", poison)
    with pytest.raises(UserError, match=sentence):
        train_run(config, *data, tmp_path / "poisoned")
    path = run_directory(tmp_path / "poisoned", config) / "checkpoint.pt"
    assert path.exists() == (poisoned == 8)
    monkeypatch.undo()
    train_run(config, *data, tmp_path / "poisoned")
    train_run(config, *data, tmp_path / "clean")
    assert outcome(tmp_path / "poisoned", config) == outcome(tmp_path / "clean", config)
