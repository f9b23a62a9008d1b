"""Figures of lesson 06: their numbers, not their looks."""

import numpy as np
import pytest
import torch
from lessonkit import plots_training as plots
from lessonkit.composition import composition
from scipy import stats
from torch import nn
from torch.nn import functional as F

from ecstfl.losses.ec_stfl import FORMS, ec_stfl_loss


def made_up_run(method, war, ratio, epochs=4, synthetic=True, seed=0):
    history = [
        {
            "epoch": e + 1,
            "ce": 2 - 0.1 * e,
            "train_war": 0.2 + 0.1 * e,
            "ratio": 1 - e * (1 - ratio) / (epochs - 1),
        }
        for e in range(epochs)
    ]
    history[-1]["held_out_war"] = war
    loss = {"method": method, "form": "patent", "weight": 0.1}
    return {
        "history": history,
        "war": war,
        "confusion": [[4, 1, 0], [0, 5, 0], [0, 0, 0]],  # nobody shows the third expression
        "synthetic": synthetic,
        "config": {"loss": loss, "seed": seed},
    }


def test_bars_of_a_batch_add_up_and_the_title_names_the_rarest():
    figure = plots.dfew_batch(24)
    axis = figure.axes[0]
    heights = np.array([[bar.get_height() for bar in bars] for bars in axis.containers])
    np.testing.assert_allclose(heights.sum(axis=0), 100)
    assert "3.5 % of batches Disgust has a pair" in axis.get_title()
    assert len({bars[0].get_hatch() for bars in axis.containers}) == 3  # readable without colour
    assert plots.batch_shares(composition(24, (5, 20), ("a", "b")), "t").axes[0].get_title() == "t"


def test_pulls_are_the_gradients_of_the_losses():
    torch.manual_seed(0)
    head = nn.Linear(5, 7)
    features = torch.randn(14, 5, requires_grad=True)
    labels = torch.arange(14) % 7
    entropy, sizes = plots.pulls(head(features), features, labels)
    x = features.detach().clone().requires_grad_()
    F.cross_entropy(head(x), labels).backward()
    assert entropy == pytest.approx(x.grad.norm().item(), rel=1e-5)
    for form in FORMS:
        y = features.detach().clone().requires_grad_()
        ec_stfl_loss(y, labels, form).backward()
        assert sizes[form] == pytest.approx(y.grad.norm().item(), rel=1e-5)


def test_a_gain_has_the_interval_of_its_pairs():
    first = [made_up_run("softmax", war, 0.6) for war in (0.3, 0.4, 0.5)]
    second = [made_up_run("ec-stfl", war, 0.5) for war in (0.35, 0.42, 0.61)]
    gain, low, high = plots.paired_gain(first, second)
    theirs = stats.ttest_rel([0.35, 0.42, 0.61], [0.3, 0.4, 0.5]).confidence_interval()
    assert (low, high) == pytest.approx((theirs.low, theirs.high))
    assert gain == pytest.approx(0.06)
    assert plots.paired_gain(first[:1], second[:1])[1:] == (-np.inf, np.inf)


def test_the_chance_line_counts_the_expressions_that_are_shown():
    figure = plots.curves({"softmax": [made_up_run("softmax", 0.3, 0.6)]}, "title")
    (chance,) = [line for line in figure.axes[1].lines if line.get_color() == "0.6"]
    assert list(chance.get_ydata()) == [50, 50]


def test_the_title_of_curves_carries_ratio_gain_and_interval():
    first = [made_up_run("softmax", war, 0.6) for war in (0.3, 0.4)]
    second = [made_up_run("ec-stfl", war, 0.5) for war in (0.35, 0.42)]
    title = plots.curve_title(first, second)
    assert title.startswith("Synthetic clips: within / between falls to 0.50 with EC-STFL")
    assert "0.60 with softmax only" in title
    assert "+3.5 points [95 % over 2 pairs of runs" in title
    alone = plots.curve_title([made_up_run("softmax", 0.3, 0.6, synthetic=False)], second[:1])
    assert alone.startswith("Synthetic")  # one of the two is
    assert "no interval over seeds" in alone
    figure = plots.curves({"softmax only": first, "EC-STFL": second}, title)
    entropy = figure.axes[0]
    assert len(entropy.lines) == 6  # two runs and their mean, twice
    mean = entropy.lines[2].get_ydata()
    np.testing.assert_allclose(mean, [2 - 0.1 * e for e in range(4)])
    assert all(axis.get_xlabel() == "epoch" for axis in figure.axes)


def test_each_seed_is_a_pair_of_dots_and_the_title_its_mean_difference():
    first = [made_up_run("softmax", 0.3, 0.6, seed=k) for k in range(3)]
    second = [made_up_run("ec-stfl", 0.4, 0.5, seed=k) for k in range(3)]
    figure = plots.seeds(first, second, {"WAR": [30, 40, 50, 35, 42, 61]}, "three pairs")
    (axis,) = figure.axes
    assert axis.get_title() == "+6"
    joined = [line.get_ydata().tolist() for line in axis.lines[:3]]
    assert joined == [[30, 35], [40, 42], [50, 61]]
    assert [text.get_text() for text in axis.texts] == ["seed 0", "seed 1", "seed 2"]
