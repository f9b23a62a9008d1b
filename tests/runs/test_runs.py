"""Configurations, their hashes, atomic files, claims and broken run directories."""

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from toy import toy_config, toy_data

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.errors import UserError
from ecstfl.files import atomic_write, write_json
from ecstfl.losses.methods import LossConfig
from ecstfl.runs import run_folder as runs
from ecstfl.runs.config import (
    ADDED_LATER,
    OptimConfig,
    RunConfig,
    canonical_json,
    from_dict,
    hash_clipset,
)
from ecstfl.runs.run_folder import (
    claim,
    finished_run,
    read_features,
    read_run,
    run_directory,
    write_features,
)


@pytest.fixture(scope="module")
def clipset():
    return toy_data()[0]


def test_a_configuration_survives_json(clipset):
    config = toy_config(clipset)
    again = from_dict(RunConfig, json.loads(json.dumps(dataclasses.asdict(config))))
    assert again == config
    assert again.hash == config.hash


def test_every_setting_changes_the_hash(clipset):
    config = toy_config(clipset)
    hashes = {config.hash}
    for changed in (
        dataclasses.replace(config, seed=1),
        dataclasses.replace(config, fold=2),
        dataclasses.replace(config, evaluate="validation"),
        dataclasses.replace(config, data_hash="0"),
        dataclasses.replace(config, loss=LossConfig("ec-stfl", weight=0.2)),
        dataclasses.replace(config, loss=LossConfig("ec-stfl", form="paper", weight=0.1)),
        dataclasses.replace(config, optim=OptimConfig(epochs=4, batch=14, lr=5e-3)),
    ):
        hashes.add(changed.hash)
    assert len(hashes) == 8


def test_a_setting_added_later_leaves_the_names_of_earlier_runs_alone(clipset):
    config = toy_config(clipset)
    values = dataclasses.asdict(config)
    for path, before in ADDED_LATER.items():
        holder = values
        for parent in path[:-1]:
            holder = holder[parent]
        assert holder.pop(path[-1]) == before
    assert from_dict(RunConfig, values) == config  # a run.json written before the setting existed
    assert hashlib.sha256(canonical_json(values).encode()).hexdigest() == config.hash
    for changed in (
        {"loss": LossConfig("ec-stfl", weight=0.1, warmup=0.3)},
        {"optim": dataclasses.replace(config.optim, precision="bf16")},
        {"optim": dataclasses.replace(config.optim, ema=0.9)},
        {"optim": dataclasses.replace(config.optim, accumulate=2)},
        {"optim": dataclasses.replace(config.optim, rise=0.1)},
        {"train_groups": 3},
        {"label_noise": 0.2},
        {"votes": 1},
    ):
        assert dataclasses.replace(config, **changed).hash != config.hash


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RunConfig("d", "h", True, "p", 1, label_noise=1.0), "share of the clips"),
        (lambda: RunConfig("d", "h", True, "p", 1, votes=-1), "votes must not be negative"),
        (lambda: OptimConfig(precision="fp8"), "unknown precision 'fp8': use one of fp32, bf16"),
        (lambda: OptimConfig(rise=0.0), "rises over a share of the steps"),
        (lambda: OptimConfig(ema=1.0), "moving average must be in"),
        (lambda: OptimConfig(accumulate=13), "a batch of 24 can be cut into 1 to 12 parts"),
        (lambda: LossConfig("ec-stfl", weight=0.1, warmup=1.5), "share of the training"),
        (lambda: LossConfig("softmax", warmup=0.5), "nothing to warm up"),
    ],
)
def test_settings_out_of_range_are_told(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()


def test_unknown_setting_and_unknown_choice_are_told(clipset):
    values = dataclasses.asdict(toy_config(clipset))
    with pytest.raises(UserError, match="no setting 'colour'"):
        from_dict(RunConfig, values | {"colour": 1})
    with pytest.raises(UserError, match="unknown form 'eq9'"):
        LossConfig("ec-stfl", form="eq9")
    with pytest.raises(UserError, match="must not be negative"):
        LossConfig("ec-stfl", weight=-1)


def test_the_data_hash_sees_labels_and_folds(clipset):
    relabelled = ClipSet(
        clipset.name,
        (dataclasses.replace(clipset.clips[0], label=3), *clipset.clips[1:]),
    )
    assert hash_clipset(relabelled) != hash_clipset(clipset)


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail_half_way():
        with atomic_write(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_writing_below_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        write_json(tmp_path / "file" / "run.json", {})


def test_corrupt_and_foreign_run_json(tmp_path):
    assert read_run(tmp_path) is None
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="not readable as JSON"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 0}')
    with pytest.raises(UserError, match="another version"):
        read_run(tmp_path)


def test_a_broken_finished_run_is_moved_aside_and_redone(tmp_path, clipset):
    config = toy_config(clipset)
    directory = run_directory(tmp_path, config)
    directory.mkdir(parents=True)
    (directory / "run.json").write_text("not json")
    assert finished_run(tmp_path, config) is None
    assert (directory / "run.json.broken-1").read_text() == "not json"
    write_json(directory / "run.json", {"schema": 1, "config": {}, "config_hash": config.hash})
    assert finished_run(tmp_path, config) is None  # features.npz is missing
    assert (directory / "run.json.broken-2").exists()


def test_features_are_small_and_never_pickled(tmp_path):
    write_features(tmp_path, ids=np.array(["a"]), logits=np.ones((1, 7), np.float32))
    features = read_features(tmp_path)
    assert features["logits"].dtype == np.float16
    evil = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "features.npz", ids=evil)
    with pytest.raises(UserError, match="missing or broken"):
        read_features(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_is_claimed_by_one_process_and_freed_by_its_death(tmp_path):
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        with claim(tmp_path) as mine:
            os.write(tell, b"%d" % mine)
            time.sleep(60)
        os._exit(0)
    try:
        assert os.read(told, 1) == b"1"
        with claim(tmp_path) as mine:
            assert not mine
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with claim(tmp_path) as mine:
        assert mine


def test_clipset_refuses_what_would_mislead(tmp_path):
    clips = (Clip("a", tmp_path, 0, "g", 1), Clip("b", tmp_path, 1, "g", 2))
    with pytest.raises(UserError, match="group 'g' is in training and in test"):
        ClipSet("leaky", clips).split(1)
    with pytest.raises(UserError, match="no fold 9"):
        ClipSet("s", clips).split(9)
    with pytest.raises(UserError, match="occurs twice"):
        ClipSet("s", (clips[0], clips[0]))
    with pytest.raises(UserError, match="has label 7"):
        ClipSet("s", (Clip("a", tmp_path, 7),))


def test_provenance_tells_changed_code_from_committed_code(tmp_path):
    package = tmp_path / "ecstfl"
    shutil.copytree(Path(runs.__file__).parents[1], package, ignore=shutil.ignore_patterns("*.pyc"))
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(tmp_path)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *arguments], check=True)

    code = """
        import sys
        from pathlib import Path
        from ecstfl.runs.run_folder import provenance
        package = Path(sys.argv[1])

        def modified():
            provenance.cache_clear()
            found = provenance()
            assert len(found["commit"]) == 40
            return found["modified"]

        assert modified() is False
        (package / "novel.py").write_text("")
        assert modified() is True
        (package / "novel.py").unlink()
        with (package / "labels.py").open("a") as file:
            file.write("# changed")
        assert modified() is True
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), package],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        check=True,
    )
