"""Finished runs are scored on clips of other people."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from toy import toy_config, toy_data

from ecstfl.errors import UserError
from ecstfl.evaluation.differences import WAR, compare
from ecstfl.metrics.clusters import cluster_measures
from ecstfl.predict.checkpoint import load_checkpoint
from ecstfl.runs.run_folder import read_features, read_run
from ecstfl.training.loop import train_run
from ecstfl.training.scoring import score
from tools import wild


@pytest.fixture
def trained(tmp_path):
    """A softmax-only and an EC-STFL run on moving spots, as if these were the embedded data."""
    clipset, clips = toy_data()
    clipset = dataclasses.replace(clipset, name="embedded")
    for method in ("softmax", "ec-stfl"):
        train_run(toy_config(clipset, method=method), clipset, clips, tmp_path / "trained")
    return tmp_path / "trained"


@pytest.fixture
def others(monkeypatch):
    """Spots of other groups, "preprocessed"."""
    clipset, clips = toy_data(groups=4, seed=1)
    clipset = dataclasses.replace(clipset, name="wild")
    ready = type("Ready", (), {"clips": clips, "clipset": clipset})
    monkeypatch.setattr(wild, "preprocess", lambda *_: ready)
    monkeypatch.setattr(wild, "open_embedded", lambda split: {"wild": clipset}[split])
    return clipset, clips


def test_other_clips_are_scored_by_the_same_network(trained, others, tmp_path, capsys):
    clipset, clips = others
    assert wild.main([str(trained), str(tmp_path / "out")]) == 0
    before = {run.name: run for run in sorted(trained.glob("runs/*"))}
    assert len(capsys.readouterr().out.splitlines()) == len(before) == 2
    for name, folder in before.items():
        run, plain = read_run(tmp_path / "out" / "runs" / name), read_run(folder)
        config, model, _ = load_checkpoint(folder / "model.safetensors")
        logits, embeddings = score(model, config.backbone.tap, torch.from_numpy(clips), config)
        right = logits.argmax(1) == clipset.labels
        assert run["war"] == pytest.approx(right.mean())
        assert np.trace(run["confusion"]) == right.sum()
        assert run["n_held_out"] == len(clipset) == np.sum(run["confusion"])
        expected = cluster_measures(embeddings, clipset.labels, k=10).as_dict()
        assert run["clusters"] == pytest.approx(expected, rel=1e-3)
        assert run["scored_on"] == "wild"
        kept = ("config", "config_hash", "history", "n_train", "provenance", "seconds")
        assert {key: run[key] for key in kept} == {key: plain[key] for key in kept}
        features = read_features(tmp_path / "out" / "runs" / name)
        np.testing.assert_array_equal(features["ids"], clipset.ids)


def test_the_scored_runs_are_compared_as_any_others(trained, others, tmp_path):
    assert wild.main([str(trained), str(tmp_path / "out")]) == 0
    runs = [read_run(path.parent) for path in (tmp_path / "out").glob("runs/*/run.json")]
    (found,) = compare(runs)
    (pair,) = found.pairs
    ours, plain = (
        {r["config"]["loss"]["method"]: r for r in runs}[m] for m in ("ec-stfl", "softmax")
    )
    assert pair.gain(WAR) == pytest.approx(100 * (ours["war"] - plain["war"]))


def test_a_run_that_was_trained_is_never_replaced(trained, others, tmp_path, capsys):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    assert wild.main([str(trained), str(trained)]) == 2
    assert "holds the run that was trained: name another folder" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in before}
    for _ in range(2):  # what was scored may be scored again
        assert wild.main([str(trained), str(tmp_path / "out")]) == 0


def test_what_cannot_be_scored_is_told(trained, others, tmp_path, capsys):
    assert wild.main([str(tmp_path / "nothing"), str(tmp_path / "out")]) == 2
    assert "no finished run" in capsys.readouterr().err
    clipset, _ = others
    with pytest.raises(UserError, match="holds no finished run"):
        wild.score_run(tmp_path, clipset, tmp_path, tmp_path / "out")
    foreign, clips = toy_data()
    train_run(toy_config(foreign), foreign, clips, tmp_path / "foreign")
    assert wild.main([str(tmp_path / "foreign"), str(tmp_path / "out")]) == 2
    assert "trained on toy, whose people may be among the clips" in capsys.readouterr().err
    folder = next(trained.glob("runs/softmax*"))
    (folder / "model.safetensors").unlink()
    assert wild.main([str(trained), str(tmp_path / "out")]) == 2
    assert "model.safetensors" in capsys.readouterr().err
    assert not list(tmp_path.glob("out/runs/softmax*"))
    assert json.loads((folder / "run.json").read_text())["name"] == folder.name
