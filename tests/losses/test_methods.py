"""The baselines as methods of a run: their value, their centres, their checkpoints."""

import pytest
import torch
from toy import toy_config, toy_data

from ecstfl.errors import UserError
from ecstfl.losses.baselines import BASELINES, CenterLoss, build_baseline
from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.losses.joint import JointLoss, warmup
from ecstfl.losses.methods import METHODS, LossConfig, build_method
from ecstfl.runs.checkpoint import read_checkpoint
from ecstfl.runs.run_folder import read_features, run_directory
from ecstfl.training import learner
from ecstfl.training.loop import train_run
from ecstfl.training.optimizers import weight_groups

LIBRARY = ("supcon", "triplet")
WEIGHTS = {"center": 1e-3, "contrastive-center": 0.1, "supcon": 0.1, "triplet": 0.5}


@pytest.fixture(scope="module")
def data():
    return toy_data()


def need(name):
    if name in LIBRARY:
        pytest.importorskip("pytorch_metric_learning")


def batch(n=14, d=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 7, generator=generator, requires_grad=True)
    embeddings = torch.randn(n, d, generator=generator, requires_grad=True)
    return logits, embeddings, torch.arange(n) % 7


def test_the_methods_are_softmax_ec_stfl_and_the_baselines():
    assert list(METHODS) == ["softmax", "ec-stfl", *BASELINES]


@pytest.mark.parametrize("name", BASELINES)
def test_the_total_is_cross_entropy_plus_lambda_times_the_baseline(name):
    need(name)
    logits, embeddings, labels = batch()
    joint = build_method(LossConfig(name, weight=0.25), 7, 6, seed=3)
    total, parts = joint(logits, embeddings, labels)
    alone = build_baseline(name, 7, 6, seed=3)(embeddings, labels)
    ce = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(total, ce + 0.25 * alone)
    torch.testing.assert_close(parts["baseline"], alone.detach())
    torch.testing.assert_close(parts["ec_stfl"], ec_stfl_loss(embeddings, labels).detach())
    (got,) = torch.autograd.grad(total, embeddings)
    (expected,) = torch.autograd.grad(0.25 * alone, embeddings)  # nothing of EC-STFL in it
    torch.testing.assert_close(got, expected)
    assert joint.counts()["batches"] == 1
    joint.reset_counts()
    assert joint.counts()["batches"] == 0


def test_softmax_and_ec_stfl_are_what_they_were():
    for config in (LossConfig(), LossConfig("ec-stfl", form="paper", weight=10.0)):
        joint = build_method(config, 7, 6, seed=0)
        assert type(joint) is JointLoss
        assert (joint.weight, joint.ec_stfl.form) == (config.weight, config.form)
        assert not joint.state_dict()
        assert not list(joint.parameters())


@pytest.mark.parametrize("name", ["ec-stfl", *BASELINES])
def test_lambda_of_the_moment_follows_the_schedule(name):
    need(name)
    config = LossConfig(name, weight=0.5)
    joint = build_method(config, 7, 6, seed=3, schedule=warmup(0.0, 0.5)).eval()
    part = "ec_stfl" if name == "ec-stfl" else "baseline"
    for progress, weight in ((0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (1.0, 0.5)):
        joint.set_progress(progress)
        assert joint.current_weight == weight
        logits, embeddings, labels = batch()
        total, parts = joint(logits, embeddings, labels)
        torch.testing.assert_close(total.detach(), parts["ce"] + weight * parts[part])
        assert total.grad_fn is not None
        total.backward()
        assert (embeddings.grad is None) == (weight == 0)
    with pytest.raises(ValueError, match=r"progress: expected 0..1, got -1"):
        joint.set_progress(-1)


def test_without_a_schedule_lambda_stays():
    for joint in (build_method(LossConfig(n, weight=0.5), 7, 6, 0) for n in ("ec-stfl", "center")):
        for progress in (0.0, 0.3, 1.0):
            joint.set_progress(progress)
            assert joint.current_weight == joint.weight == 0.5


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_wrong_weight_is_refused(weight):
    with pytest.raises(ValueError, match="finite number >= 0"):
        JointLoss(weight, baseline=CenterLoss(7, 6))


def test_what_a_baseline_does_not_have_is_refused():
    with pytest.raises(UserError, match="center has no forms, got form 'paper'"):
        LossConfig("center", form="paper", weight=0.1)
    with pytest.raises(UserError, match="unknown method 'island': use one of softmax, ec-stfl, ce"):
        LossConfig("island")


@pytest.mark.parametrize("name", BASELINES)
def test_training_reports_every_part(data, tmp_path, name):
    need(name)
    clipset, clips = data
    config = toy_config(clipset, method=name, weight=WEIGHTS[name], epochs=2)
    run = train_run(config, clipset, clips, tmp_path)
    assert config.name.startswith(f"{name}-fold1-seed0-")
    for record in run["history"]:
        expected = record["ce"] + WEIGHTS[name] * record["baseline"]
        assert record["loss"] == pytest.approx(expected, rel=1e-5)
        assert record["ec_stfl"] > 0
    other = toy_config(clipset, method=name, weight=0.0, epochs=2)
    softmax = toy_config(clipset, method="softmax", epochs=2)
    off = train_run(other, clipset, clips, tmp_path)
    plain = train_run(softmax, clipset, clips, tmp_path)
    assert [r["ce"] for r in off["history"]] == [r["ce"] for r in plain["history"]]
    assert run["history"][1]["ce"] != plain["history"][1]["ce"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("name", ["center", "contrastive-center"])
def test_centres_learn_and_survive_a_kill(data, tmp_path, name, monkeypatch):
    clipset, clips = data
    config = toy_config(clipset, method=name, weight=WEIGHTS[name])
    built = []

    def remember(*arguments, **options):
        built.append(build_method(*arguments, **options))
        return built[-1]

    monkeypatch.setattr(learner, "build_method", remember)
    whole = train_run(config, clipset, clips, tmp_path / "whole")

    def kill(done, _epochs, _record):
        if done == 1:
            raise Killed

    with pytest.raises(Killed):
        train_run(config, clipset, clips, tmp_path / "killed", progress=kill)
    directory = run_directory(tmp_path / "killed", config)
    state = read_checkpoint(directory / "checkpoint.pt", config.hash)
    centres = state["loss"]["baseline.centers"]
    start = build_baseline(name, 7, 16, seed=config.seed).state_dict()["centers"]
    assert not torch.allclose(centres, start)  # they moved ...
    resumed = train_run(config, clipset, clips, tmp_path / "killed")
    first, killed, again = (b.baseline.centers.detach() for b in built)
    assert not torch.equal(killed, first)
    assert torch.equal(again, first)  # ... and came back to where they would have gone
    assert resumed["history"] == whole["history"]
    left, right = (read_features(run_directory(tmp_path / n, config)) for n in ("whole", "killed"))
    assert (left["logits"] == right["logits"]).all()


def test_learned_centres_are_in_the_optimiser_without_decay(data):
    clipset, _ = data
    for name, groups in (("softmax", 2), ("center", 2), ("contrastive-center", 3)):
        config = toy_config(clipset, method=name)
        model = torch.nn.Linear(4, 3)
        joint = build_method(config.loss, 7, 6, 0)
        found = weight_groups(model, joint, 0.5)
        assert len(found) == groups
        if groups == 3:
            assert found[2]["params"] == list(joint.parameters())
            assert found[2]["weight_decay"] == 0


def test_a_checkpoint_of_another_loss_is_moved_aside(data, tmp_path):
    """A checkpoint without the centres cannot be continued exactly, so it is not."""
    clipset, clips = data
    config = toy_config(clipset, method="center", weight=1e-3, epochs=2)

    def kill(*_):
        raise Killed

    with pytest.raises(Killed):
        train_run(config, clipset, clips, tmp_path, progress=kill)
    path = run_directory(tmp_path, config) / "checkpoint.pt"
    state = read_checkpoint(path, config.hash)
    del state["loss"]
    torch.save(state, path)
    with pytest.warns(UserWarning, match="broken"):
        run = train_run(config, clipset, clips, tmp_path)
    assert len(run["history"]) == 2
