"""Figures and counts of lesson 09."""

import numpy as np
import pytest
import torch
from lessonkit import plots_zoo as zoo
from lessonkit.costs import network_cost
from lessonkit.plots_formula import toy_points

from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.models.backbones import BACKBONES, BackboneConfig


def test_c3d_costs_what_is_published():
    cost = network_cost(BackboneConfig(width=64, fc=4096, batch_norm=False), 16, 112)
    assert cost.parameters == 78_024_455
    assert round(cost.multiply_adds / 1e9, 1) == 38.5
    assert (cost.dim, cost.tap, cost.title) == (4096, "relu7", "C3D")


@pytest.mark.parametrize("name", BACKBONES)
def test_counting_agrees_with_the_network_itself(name):
    config = BackboneConfig(name=name, width=4, fc=8)
    from ecstfl.models.backbones import build_backbone, embedding_size

    cost = network_cost(config, 16, 64)
    model = build_backbone(config, 16, 64)
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert cost.dim == embedding_size(model, config.tap, 16, 64)
    assert cost.multiply_adds > 0


@pytest.fixture
def toy():
    x, y = toy_points(1.5, 0.7)
    return x + torch.tensor([1.0, 0.5], dtype=x.dtype), y


def test_pull_is_downhill_and_center_goes_home(toy):
    x, y = toy
    losses = zoo.toy_losses(x, y)
    assert list(losses)[:3] == ["EC-STFL (patent)", "center", "contrastive-center"]
    for loss in losses.values():
        value, arrows = zoo.pull(loss, x, y)
        after = loss(x + 1e-5 * arrows / arrows.norm(), y).item()
        assert after < value
    assert zoo.inward_share(x, y, zoo.pull(losses["center"], x, y)[1]) > 0.999


def test_losses_on_unit_length_turn_only(toy):
    pytest.importorskip("pytorch_metric_learning")
    x, y = toy
    for name in ("supcon", "triplet"):
        arrows = zoo.pull(zoo.toy_losses(x, y)[name], x, y)[1]
        assert zoo.turning_share(x, arrows) > 0.999
    along = x / x.norm(dim=1, keepdim=True)
    assert zoo.turning_share(x, along) == pytest.approx(0, abs=1e-9)


def test_class_spread_by_hand():
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [10.0, 4.0]])
    within, between = zoo.class_spread(x, torch.tensor([0, 0, 3, 3]))
    assert within == pytest.approx(1.5)
    assert between == pytest.approx(np.hypot(9, 2))


def test_descent_lowers_ec_stfl_and_center_does_not_part(toy):
    x, y = toy
    make = lambda z, marks: zoo.toy_losses(z, marks)["center"]  # noqa: E731
    end = zoo.descend(make, x, y, 60, 0.05)
    before, after = zoo.class_spread(x, y), zoo.class_spread(end, y)
    assert after[0] < 0.3 * before[0]
    assert after[1] == pytest.approx(before[1], rel=0.02)
    down = zoo.descend(lambda z, marks: ec_stfl_loss, x, y, 30, 0.05)
    assert ec_stfl_loss(down, y) < 0.5 * ec_stfl_loss(x, y)
    title = zoo.after_descent({"center": end, "EC-STFL (patent)": down}, x, y).get_suptitle()
    assert f"within × {after[0] / before[0]:.2f}" in title


def test_what_each_loss_does_not_see(toy):
    x, y = toy
    kinds = {n: lambda z, m, n=n: zoo.toy_losses(z, m)[n] for n in ("EC-STFL (patent)", "center")}
    table = zoo.what_it_sees(kinds, x, y)
    assert max(table["EC-STFL (patent)"].values()) < 1e-9
    assert table["center"]["3 times larger"] == pytest.approx(8)
    assert table["center"]["moved by 3"] < 1e-9


def test_titles_of_the_figures():
    rows = [network_cost(BackboneConfig(name=n, width=4, fc=8), 16, 64) for n in ("c3d", "p3d")]
    axis = zoo.costs(rows, "t").axes[0]
    assert [text.get_text() for text in axis.texts] == ["C3D", "P3D-63"]
    axis = zoo.published_gains({"a": (50.0, 52.0), "b": (51.0, 52.5)}, 2.0, "t").axes[0]
    assert {text.get_text() for text in axis.texts} == {"+2.00", "+1.50"}
    assert "15 points" in zoo.loss_arrows().get_suptitle()
