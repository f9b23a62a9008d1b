"""Losses are compared at one push: weight times gradient at the tap."""

import numpy as np
import pytest
import torch
from toy import toy_config, toy_data

from ecstfl.clips.preprocess_set import Prepared
from ecstfl.errors import UserError
from ecstfl.experiments.profiles import EC_STFL
from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.runs.run_folder import run_directory
from ecstfl.training.loop import train_run
from tools import push


@pytest.fixture
def features():
    draws = torch.Generator().manual_seed(0)
    return torch.randn(24, 5, generator=draws), torch.arange(24) % 7


def test_the_push_is_the_length_of_the_gradient_by_finite_differences(features):
    x, y = features[0].double(), features[1]
    slopes = torch.zeros_like(x)
    for place in range(x.numel()):
        step = torch.zeros(x.numel(), dtype=x.dtype)
        step[place] = 1e-6
        step = step.reshape(x.shape)
        slopes.view(-1)[place] = (ec_stfl_loss(x + step, y) - ec_stfl_loss(x - step, y)) / 2e-6
    assert push.push(ec_stfl_loss, x, y) == pytest.approx(slopes.norm().item(), rel=1e-6)


def test_settled_centres_leave_the_spread_within_the_classes(features):
    x, y = features
    spread = sum(((x[y == c] - x[y == c].mean(dim=0)) ** 2).sum() for c in range(7)) / 2
    loss = push.settled("center", x, y)
    assert loss(x, y).item() == pytest.approx(spread.item(), rel=1e-5)
    assert loss(x, y).item() == pytest.approx(spread.item(), rel=1e-5)  # they stay where they are


def test_center_losss_weight_is_that_of_an_equal_push(features):
    x, y = features
    batches = [(x[:12], y[:12]), (x[12:], y[12:])]
    means = torch.stack([x[y == c].mean(dim=0) for c in range(7)])
    center = sum((x - means[y]).norm() for x, y in batches)  # of 1/2 |x - c|^2 it is x - c
    patent = sum(push.push(ec_stfl_loss, x, y) for x, y in batches)
    weights = push.equal_weights(batches)
    assert weights["patent"] == pytest.approx(EC_STFL.weight)
    assert weights["center"] * center.item() == pytest.approx(EC_STFL.weight * patent, rel=1e-5)
    # a loss twice as steep gets half the weight
    halved = push.equal_weights([(x / 2, y) for x, y in batches])
    assert halved["paper"] == pytest.approx(weights["paper"], rel=1e-5)  # it has no scale
    assert halved["center"] == pytest.approx(4 * weights["center"], rel=1e-5)


def test_the_batches_are_an_epoch_of_the_runs_training_clips(tmp_path):
    clipset, clips = toy_data()
    config = toy_config(clipset, epochs=1)
    train_run(config, clipset, clips, tmp_path)
    folder = run_directory(tmp_path, config)
    batches = push.training_batches(folder, clipset, clips)
    assert sum(len(y) for _, y in batches) == 8 * 7  # eight people of ten, seven clips each
    assert all(x.shape == (len(y), 16) for x, y in batches)
    other, _ = toy_data(groups=5)
    with pytest.raises(UserError, match="trained on other clips than toy: name another run"):
        push.training_batches(folder, other, clips)


def test_a_run_without_a_model_is_told_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        push,
        "preprocess",
        lambda clipset, *_: Prepared(np.zeros(0), clipset, {}, np.zeros(0), print),
    )
    assert push.main([str(tmp_path / "missing")]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("ecstfl: no model at ")
    assert told.err.count("\n") == 1
    assert not told.out
