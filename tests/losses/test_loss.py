"""The mathematics of EC-STFL: against the plain-Python reference, by derivatives, by properties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecstfl.labels import DFEW_COUNTS
from ecstfl.losses import naive as reference
from ecstfl.losses.ec_stfl import FORMS, PUBLISHED_NORM, ec_stfl_loss, written_out
from ecstfl.losses.report import batch_report, within_between_ratio

SCALE_FREE = ("patent", "paper")
seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=25, deadline=None)


def batch(n, d, classes, seed=0, dtype=torch.float64):
    """n features of d normal numbers; every class present where n allows."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = torch.randperm(n, generator=generator) % classes
    return x.to(dtype), y


def value_and_gradient(x, y, form, function=ec_stfl_loss, **options):
    x = x.detach().clone().requires_grad_()
    loss = function(x, y, form, **options)
    loss.backward()
    return loss.detach(), x.grad


# ---- the three forms are the published ones -------------------------------------------------


CASES = [(2, 1, 2), (7, 3, 3), (24, 16, 7), (12, 5, 12), (40, 2, 2)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", [None, 1, 2])
@pytest.mark.parametrize(("n", "d", "classes"), CASES)
def test_equals_the_naive_loop_in_value(form, p, n, d, classes):
    x, y = batch(n, d, classes, seed=n)
    order = PUBLISHED_NORM[form] if p is None else p
    expected = reference.LOSS[form](x.tolist(), y.tolist(), order)
    for loss in (ec_stfl_loss(x, y, form, p=p), written_out(x, y, form, p=order)):
        assert loss.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


@quick
@given(seed=seeds, n=st.integers(1, 10), d=st.integers(1, 4), classes=st.integers(1, 5))
@pytest.mark.parametrize("form", FORMS)
def test_all_three_agree_with_duplicates_and_lone_samples(form, seed, n, d, classes):
    generator = torch.Generator().manual_seed(seed)
    # a coarse grid: duplicates within and across classes are common
    x = torch.randint(-2, 3, (n, d), generator=generator).double()
    y = torch.randint(0, classes, (n,), generator=generator)
    expected = reference.LOSS[form](x.tolist(), y.tolist())
    loss, gradient = value_and_gradient(x, y, form)
    written, slope = value_and_gradient(x, y, form, written_out, p=PUBLISHED_NORM[form])
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    assert written.item() == pytest.approx(expected, rel=1e-10)
    # the released form divides by (1e-6)^2 at duplicates: compare to the size of the gradient
    size = max(1.0, slope.abs().max().item())
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-10 * size)


def test_values_by_hand():
    x = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
    y = torch.tensor([0, 0, 1, 1])
    # numerators 1/2; denominators 4.5, 3.5, 3.5, 4.5
    assert ec_stfl_loss(x, y, "patent").item() == pytest.approx(1 / 4.5 + 1 / 3.5)
    assert ec_stfl_loss(x, y, "paper").item() == pytest.approx(2 / 16)
    inverse = 2 * (1 / 4 + 1 / 5) + 2 * (1 / 3 + 1 / 4)  # sum over i of sum over negatives of 1/d
    assert ec_stfl_loss(x, y, "released").item() == pytest.approx(0.5 * inverse / 3 / 16, rel=1e-5)


def test_norm_is_plain_not_squared():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 10.0]])
    y = torch.tensor([0, 0, 1])
    below = (10 + 45**0.5) / 1  # |N_j| = 1
    assert ec_stfl_loss(x, y, "paper").item() == pytest.approx(5 / (below + below / 2))
    assert ec_stfl_loss(x, y, "paper", p=1).item() == pytest.approx(7 / (19 + 19 / 2))


@pytest.mark.parametrize("y", [[0, 0, 1], [0] * 9 + [1] * 2 + [2], list(range(7)) * 3])
def test_values_on_equidistant_features(y):
    """All d_ij equal: numerators d (n_i - 1)/n_i, denominators d (C - 1)."""
    y = torch.tensor(y)
    n, classes = len(y), len(set(y.tolist()))
    x = torch.eye(n).double()  # d_ij = 2 in L1, sqrt(2) in L2
    assert ec_stfl_loss(x, y, "patent").item() == pytest.approx((n - classes) / (classes - 1))
    assert ec_stfl_loss(x, y, "paper").item() == pytest.approx((n - classes) / (classes - 1) / n)
    size = torch.bincount(y)[y].double()
    terms = 2 * (size - 1) / size * (n - size) / (2 + 1e-6) / (n - size + 1)
    assert ec_stfl_loss(x, y, "released").item() == pytest.approx(terms.sum().item() / n**2)
    assert within_between_ratio(x, y).item() == pytest.approx(1)


def test_size_at_the_prior_of_dfew():
    """Random features in many dimensions are nearly equidistant: about 3.6 and 0.15 at n = 24."""
    generator = torch.Generator().manual_seed(1)
    prior = torch.tensor(DFEW_COUNTS).double().expand(20_000, -1)
    y = torch.multinomial(prior, 24, replacement=True, generator=generator)
    classes = torch.nn.functional.one_hot(y, 7).any(dim=1).sum(dim=1)
    sizes = (24 - classes) / (classes - 1)
    assert sizes.mean().item() == pytest.approx(3.6, abs=0.05)
    generator.manual_seed(2)
    for form, factor in (("patent", 1), ("paper", 1 / 24)):
        x = torch.randn(24, 4096, generator=generator)
        one = (24 - len(set(y[0].tolist()))) / (len(set(y[0].tolist())) - 1)
        assert ec_stfl_loss(x, y[0], form).item() == pytest.approx(one * factor, rel=0.02)


# ---- derivatives -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", [1, 2])
def test_gradcheck_and_gradgradcheck(form, p):
    x, y = batch(7, 3, 3, seed=3)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ec_stfl_loss(x, y, form, p=p), (x,))
    assert torch.autograd.gradgradcheck(lambda x: ec_stfl_loss(x, y, form, p=p), (x,))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("n", "d", "classes"), [*CASES, (24, 32, 7)])
def test_closed_form_gradient_is_that_of_the_written_form(form, p, n, d, classes):
    x, y = batch(n, d, classes, seed=n)
    _, closed = value_and_gradient(x, y, form, p=p)
    _, written = value_and_gradient(x, y, form, written_out, p=p)
    torch.testing.assert_close(closed, written, rtol=1e-10, atol=1e-12)
    # and with create_graph=True it is the written form that is differentiated
    x.requires_grad_()
    (again,) = torch.autograd.grad(ec_stfl_loss(x, y, form, p=p), x, create_graph=True)
    assert again.requires_grad
    assert torch.equal(again.detach(), written)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_scales_with_what_comes_from_above(form):
    x, y = batch(9, 4, 3)
    _, gradient = value_and_gradient(x, y, form)
    z = x.clone().requires_grad_()
    (-2.5 * ec_stfl_loss(z, y, form)).backward()
    torch.testing.assert_close(z.grad, -2.5 * gradient)


@pytest.mark.parametrize("form", FORMS)
def test_translation_leaves_no_gradient_along_the_mean(form):
    """Invariance to translation, seen in the gradient: its rows add up to zero."""
    _, gradient = value_and_gradient(*batch(24, 8, 7), form)
    torch.testing.assert_close(gradient.sum(dim=0), torch.zeros(8).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("form", SCALE_FREE)
def test_scale_invariance_leaves_no_gradient_along_the_features(form):
    """Euler: a function of degree 0 has <x, gradient> = 0."""
    x, y = batch(24, 8, 7)
    _, gradient = value_and_gradient(x, y, form)
    assert (x * gradient).sum().abs() < 1e-12 * gradient.norm() * x.norm() + 1e-14


# ---- properties ------------------------------------------------------------------------------


@quick
@given(seed=seeds, scale=st.floats(1e-4, 1e4))
@pytest.mark.parametrize("form", SCALE_FREE)
@pytest.mark.parametrize("p", [1, 2])
def test_invariant_to_scale(form, p, seed, scale):
    x, y = batch(12, 5, 4, seed)
    assert ec_stfl_loss(x * scale, y, form, p=p).item() == pytest.approx(
        ec_stfl_loss(x, y, form, p=p).item(), rel=1e-10
    )


def test_released_form_is_not_invariant_to_scale_where_its_constant_counts():
    x, y = batch(12, 5, 4)
    assert ec_stfl_loss(x * 1e-6, y, "released") < 0.99 * ec_stfl_loss(x, y, "released")


@quick
@given(seed=seeds, far=st.floats(-100, 100))
@pytest.mark.parametrize("form", FORMS)
def test_invariant_to_translation(form, seed, far):
    x, y = batch(12, 5, 4, seed)
    away = far * torch.linspace(-1, 1, 5).double()
    assert ec_stfl_loss(x + away, y, form).item() == pytest.approx(
        ec_stfl_loss(x, y, form).item(), rel=1e-9
    )


@quick
@given(seed=seeds)
@pytest.mark.parametrize("form", FORMS)
def test_invariant_to_rotation_in_l2_only(form, seed):
    x, y = batch(12, 5, 4, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    q, _ = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))
    plain, turned = (ec_stfl_loss(z, y, form, p=2).item() for z in (x, x @ q))
    assert turned == pytest.approx(plain, rel=1e-10)
    plain, turned = (ec_stfl_loss(z, y, form, p=1).item() for z in (x, x @ q))
    assert turned != pytest.approx(plain, rel=1e-10)


@quick
@given(seed=seeds)
@pytest.mark.parametrize("form", FORMS)
def test_invariant_to_order_and_to_the_names_of_classes(form, seed):
    x, y = batch(14, 5, 4, seed)
    loss, gradient = value_and_gradient(x, y, form)
    order = torch.randperm(14, generator=torch.Generator().manual_seed(seed))
    names = torch.tensor([17, -3, 0, 5])
    other, moved = value_and_gradient(x[order], names[y[order]], form)
    assert other.item() == pytest.approx(loss.item(), rel=1e-12)
    torch.testing.assert_close(moved, gradient[order], rtol=1e-9, atol=1e-13)


@quick
@given(seed=seeds, n=st.integers(2, 20), dtype=st.sampled_from([torch.float32, torch.float64]))
@pytest.mark.parametrize("form", FORMS)
def test_zero_when_every_class_is_a_point(form, seed, n, dtype):
    centres, _ = batch(3, 6, 3, seed, dtype)
    y = torch.arange(n) % 3
    loss, gradient = value_and_gradient(centres[y], y, form)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))  # the documented subgradient


@quick
@given(seed=seeds, shrink=st.floats(0.05, 0.95))
@pytest.mark.parametrize("form", FORMS)
def test_falls_when_one_of_well_separated_classes_shrinks(form, seed, shrink):
    x, y = batch(21, 6, 3, seed)
    x = x + 30 * torch.eye(6).double()[y]
    mine = y == 1
    small = x.clone()
    small[mine] = x[mine].mean(dim=0) + shrink * (x[mine] - x[mine].mean(dim=0))
    assert ec_stfl_loss(small, y, form) < ec_stfl_loss(x, y, form)
    assert within_between_ratio(small, y) < within_between_ratio(x, y)


@quick
@given(seed=seeds)
def test_one_class_sent_away_is_enough_for_patent_and_paper_but_not_for_released(seed):
    """No class gets tighter, the other six stay as mixed as they were, and yet."""
    x, y = batch(28, 6, 7, seed)

    def sent(by, form):
        moved = x.clone()
        moved[y == 4] += by * torch.eye(6, dtype=x.dtype)[0]
        return ec_stfl_loss(moved, y, form).item()

    for form in ("patent", "paper"):
        assert sent(1e3, form) < 0.05 * sent(0, form)
        assert sent(1e6, form) == pytest.approx(1e-3 * sent(1e3, form), rel=0.05)  # like 1/D
    assert sent(1e6, "released") > 0.5 * sent(0, "released")


@quick
@given(seed=seeds)
@pytest.mark.parametrize("form", FORMS)
def test_a_small_step_against_the_gradient_lowers_the_loss(form, seed):
    x, y = batch(12, 6, 4, seed)
    loss, gradient = value_and_gradient(x, y, form)
    step = 1e-4 * x.norm() / gradient.norm()
    assert ec_stfl_loss(x - step * gradient, y, form) < loss


# ---- reductions and reports ------------------------------------------------------------------


def test_patent_is_n_times_paper_when_all_terms_are_equal():
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [3.0, 0.0], [3.0, 1.0]]).double()
    y = torch.tensor([0, 0, 1, 1])
    assert ec_stfl_loss(x, y, "patent").item() == pytest.approx(
        4 * ec_stfl_loss(x, y, "paper").item()
    )


@pytest.mark.parametrize("form", SCALE_FREE)
def test_size_free_loss_and_ratio_do_not_depend_on_the_batch_size(form):
    x, y = batch(12, 5, 3)
    once, thrice = batch_report(x, y, form), batch_report(x.repeat(3, 1), y.repeat(3), form)
    assert thrice.n == 3 * once.n
    assert thrice.size_free == pytest.approx(once.size_free, rel=1e-10)
    if form == "patent":
        assert thrice.loss == pytest.approx(3 * once.loss, rel=1e-10)


def test_size_free_losses_of_patent_and_paper_are_near_each_other():
    x, y = batch(70, 512, 7)
    patent, paper = (batch_report(x, y, form).size_free for form in SCALE_FREE)
    assert patent == pytest.approx(paper, rel=0.01)
    # N_i counts x_i itself, so a class of 10 shows 9/10 of its mean distance
    assert paper == pytest.approx(0.9 * within_between_ratio(x, y).item(), rel=0.01)


def test_ratio_by_hand():
    x = torch.tensor([[0.0], [1.0], [4.0], [6.0]])
    y = torch.tensor([0, 0, 1, 1])
    assert within_between_ratio(x, y).item() == pytest.approx(1.5 / ((4 + 6 + 3 + 5) / 4))
    assert not within_between_ratio(x.requires_grad_(), y).requires_grad


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.randn(4, 2), torch.zeros(4).long()),  # one class
        (torch.randn(4, 2), torch.arange(4)),  # nobody has a partner
        (torch.ones(4, 2), torch.arange(4) % 2),  # one point
        (torch.ones(1, 2), torch.zeros(1).long()),
    ],
)
def test_ratio_is_one_where_it_is_not_defined(x, y):
    assert within_between_ratio(x, y).item() == 1


def test_batch_report():
    x, _ = batch(6, 4, 3)
    report = batch_report(x, torch.tensor([0, 0, 0, 1, 1, 2]))
    assert (report.n, report.classes, report.alone, report.left_out) == (6, 3, 1, 0)
    assert report.loss == ec_stfl_loss(x, torch.tensor([0, 0, 0, 1, 1, 2])).item()
    assert batch_report(x, torch.zeros(6).long()).left_out == 6
    assert batch_report(x, torch.arange(6) % 2, "released").size_free is None
