"""The baselines against their formulas in plain loops, one call signature for all."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch.nn.functional import normalize

from ecstfl.errors import UserError
from ecstfl.losses.baselines import BASELINES, CenterLoss, ContrastiveCenterLoss, build_baseline

LIBRARY = ("supcon", "triplet")


def batch(n=12, d=5, classes=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=dtype), torch.arange(n) % classes


def build(name, classes=3, dim=5):
    if name in LIBRARY:
        pytest.importorskip("pytorch_metric_learning")
    return build_baseline(name, classes, dim)


@pytest.mark.parametrize("name", BASELINES)
def test_one_call_for_all(name):
    x, y = batch(dtype=torch.float32)
    x.requires_grad_()
    loss = build(name)(x, y)
    loss.backward()
    assert loss.shape == ()
    assert loss > 0
    assert x.grad.norm() > 0
    assert torch.isfinite(x.grad).all()


def test_center_is_the_published_sum():
    x, y = batch()
    loss = CenterLoss(3, 5)
    loss.centers = torch.arange(15.0, dtype=torch.float64).view(3, 5) / 10
    centres = loss.centers.clone()
    expected = 0.0
    for i in range(12):
        for k in range(5):
            expected += 0.5 * (x[i, k] - centres[y[i], k]).item() ** 2
    assert loss(x, y).item() == pytest.approx(expected, rel=1e-12)


def test_center_gradient_is_the_way_to_the_centre():
    x, y = batch()
    loss = CenterLoss(3, 5)
    x.requires_grad_()
    loss(x, y).backward()
    torch.testing.assert_close(x.grad, x.detach())  # centres start at 0
    loss.eval()
    z, _ = batch(6, seed=4)
    assert torch.autograd.gradcheck(lambda z: loss(z, y[:6]), (z.requires_grad_(),))


def test_centres_follow_eq_4_in_training_only():
    x, y = batch(7, classes=2, dtype=torch.float32)
    loss = CenterLoss(3, 5, alpha=0.25)
    loss(x, y)
    for c in range(3):
        mine = [x[i] for i in range(7) if y[i] == c]
        step = sum(mine) / (1 + len(mine)) if mine else torch.zeros(5)
        torch.testing.assert_close(loss.centers[c], 0.25 * step)
    before = loss.centers.clone()
    loss.eval()(x, y)
    assert torch.equal(loss.centers, before)
    assert "centers" in loss.state_dict()


def test_centres_reach_the_means_of_steady_classes():
    x, y = batch(dtype=torch.float32)
    loss = CenterLoss(3, 5)
    for _ in range(60):
        loss(x, y)
    means = torch.stack([x[y == c].mean(dim=0) for c in range(3)])
    torch.testing.assert_close(loss.centers, means, rtol=1e-4, atol=1e-5)


def test_contrastive_center_is_the_published_ratio():
    x, y = batch()
    loss = ContrastiveCenterLoss(3, 5, delta=0.5).double()
    centres = loss.centers.detach()
    expected = 0.0
    for i in range(12):
        own, others = 0.0, 0.0
        for c in range(3):
            square = sum((x[i, k] - centres[c, k]).item() ** 2 for k in range(5))
            if c == y[i]:
                own += square
            else:
                others += square
        expected += 0.5 * own / (others + 0.5)
    assert loss(x, y).item() == pytest.approx(expected, rel=1e-12)


def test_contrastive_center_learns_its_centres():
    x, y = batch(6)
    loss = ContrastiveCenterLoss(3, 5).double()
    centres = loss.centers.detach().clone().requires_grad_()

    def value(x, c):
        return torch.func.functional_call(loss, {"centers": c}, (x, y))

    assert torch.autograd.gradcheck(value, (x.requires_grad_(), centres))
    assert [name for name, _ in loss.named_parameters()] == ["centers"]


def test_supcon_is_the_published_mean_of_log_chances():
    x, y = batch()
    z = normalize(x, dim=1)
    terms = []
    for i in range(12):
        others = [j for j in range(12) if j != i]
        total = sum(math.exp((z[i] @ z[j]).item() / 0.1) for j in others)
        mates = [j for j in others if y[j] == y[i]]
        terms.append(-sum((z[i] @ z[j]).item() / 0.1 - math.log(total) for j in mates) / len(mates))
    assert build("supcon")(x, y).item() == pytest.approx(sum(terms) / 12)


def test_triplet_is_the_mean_of_the_violations():
    x, y = batch()
    z = normalize(x, dim=1)
    square = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    violations = [
        (square[a, p] - square[a, n] + 0.2).item()
        for a in range(12)
        for p in range(12)
        for n in range(12)
        if a != p and y[a] == y[p] and y[a] != y[n]
    ]
    positive = [value for value in violations if value > 0]
    loss = build("triplet")(x, y).item()
    assert loss == pytest.approx(sum(positive) / len(positive), rel=1e-6)


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.ones(1, 5), [0]),
        (torch.arange(20.0).view(4, 5), [1, 1, 1, 1]),
        (torch.zeros(4, 5), [0, 0, 1, 1]),
        (torch.ones(2, 5).repeat(2, 1), [0, 1, 0, 1]),
        (torch.arange(15.0).view(3, 5), [0, 1, 2]),
    ],
)
def test_degenerate_batches_are_finite(name, x, y):
    x = x.clone().requires_grad_()
    loss = build(name)(x, torch.tensor(y))
    if loss.requires_grad:
        loss.backward()
        assert torch.isfinite(x.grad).all()
    assert torch.isfinite(loss)


@pytest.mark.parametrize("name", BASELINES)
def test_autocast_and_half_precision(name):
    x, y = batch(dtype=torch.float32)
    expected = build(name)(x.bfloat16().float(), y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = build(name)(x.bfloat16(), y)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, expected)


@pytest.mark.parametrize("name", BASELINES)
def test_bad_input(name):
    x, y = batch(dtype=torch.float32)
    loss = build(name)
    with pytest.raises(ValueError, match=r"expected shape \(n, d\), got \(5,\)"):
        loss(x[0], y)
    with pytest.raises(ValueError, match=r"expected finite values, got nan at \[1, 0\]"):
        loss(torch.where(torch.eye(12, 5).roll(1, 0) > 0, torch.nan, x), y)


@pytest.mark.parametrize("name", ["center", "contrastive-center"])
def test_bad_labels_and_widths(name):
    x, y = batch(dtype=torch.float32)
    loss = build_baseline(name, 3, 5)
    with pytest.raises(ValueError, match=r"labels: expected 0..2, got 1..3"):
        loss(x, y + 1)
    with pytest.raises(ValueError, match=r"expected d = 5 \(as the centres\), got 4"):
        loss(x[:, :4], y)


def test_bad_options():
    with pytest.raises(ValueError, match=r"expected one of center, .*, got 'island'"):
        build_baseline("island", 3, 5)
    with pytest.raises(ValueError, match=r"expected both >= 1, got 0 and 5"):
        build_baseline("center", 0, 5)
    with pytest.raises(ValueError, match=r"alpha: expected 0..1, got 2"):
        CenterLoss(3, 5, alpha=2)
    with pytest.raises(ValueError, match=r"delta: expected a number > 0, got 0"):
        ContrastiveCenterLoss(3, 5, delta=0)


@pytest.mark.parametrize("name", LIBRARY)
def test_a_missing_library_is_told_in_one_sentence(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(UserError, match=r"pip install 'ecstfl\[cousins\]'"):
        build_baseline(name, 3, 5)
    assert build_baseline("center", 3, 5) is not None
