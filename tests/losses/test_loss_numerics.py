"""What naive code gets wrong: zeros, scales, half precision, bad input, memory, compilation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

from ecstfl.losses import engine
from ecstfl.losses.ec_stfl import FORMS, ECSTFLLoss, ec_stfl_loss
from ecstfl.losses.report import batch_report, within_between_ratio

quick = settings(max_examples=25, deadline=None)


def features(n=24, d=64, classes=7, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x.to(dtype), torch.arange(n) % classes


def value_and_gradient(x, y, form, **options):
    x = x.detach().clone().requires_grad_()
    loss = ec_stfl_loss(x, y, form, **options)
    loss.backward()
    return loss.detach(), x.grad


# ---- degenerate batches ----------------------------------------------------------------------

pair = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
DEGENERATE = {
    "n = 1": (torch.ones(1, 3), [0]),
    "one class": (torch.arange(12.0).view(4, 3), [2, 2, 2, 2]),
    "all samples at one point": (torch.full((4, 3), 0.1), [0, 0, 1, 1]),
    "all zero": (torch.zeros(4, 3), [0, 1, 2, 3]),
    "duplicates within": (pair.repeat_interleave(2, 0), [0, 0, 1, 1]),
    "duplicates across": (pair.repeat(2, 1), [0, 0, 1, 1]),
    "one sample on all its negatives": (pair[[0, 1, 0, 0]], [0, 0, 1, 1]),
    "nobody has a partner": (torch.arange(12.0).view(4, 3), [0, 1, 2, 3]),
    "one stands alone": (torch.arange(9.0).view(3, 3), [0, 0, 1]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_batches_are_finite(case, dtype, p, form):
    x, y = DEGENERATE[case][0].to(dtype), torch.tensor(DEGENERATE[case][1])
    loss, gradient = value_and_gradient(x, y, form, p=p)
    assert torch.isfinite(loss)
    assert loss >= 0
    if form != "released" or dtype != torch.float16:  # float16 ends at 65,504, the slope at 1e12
        assert torch.isfinite(gradient).all()
    z = x.clone().requires_grad_()
    (again,) = torch.autograd.grad(ec_stfl_loss(z, y, form, p=p), z, create_graph=True)
    assert form == "released" or torch.isfinite(again).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_one_class_is_exactly_zero_with_zero_gradient(form, n, dtype):
    x = torch.randn(n, 6, dtype=dtype)
    loss, gradient = value_and_gradient(x, torch.full((n,), 4), form)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(x))


@pytest.mark.parametrize("form", FORMS)
def test_a_duplicate_pair_adds_nothing_of_its_own(form):
    """The subgradient at d_ij = 0 is 0: both twins feel the same, from the others."""
    x, y = features(8, 5, 2)
    x[2] = x[0]  # both of class 0
    _, gradient = value_and_gradient(x, y, form)
    torch.testing.assert_close(gradient[0], gradient[2], rtol=1e-5, atol=1e-7)
    assert gradient[0].norm() > 0


def test_terms_without_a_denominator_are_left_out_and_counted():
    x = torch.tensor([[0.0], [1.0], [0.0], [0.0]])
    y = torch.tensor([0, 0, 1, 1])
    report = batch_report(x, y)  # sample 0 lies on both its negatives
    assert report.left_out == 1
    assert report.loss == pytest.approx(0.5 / 1.0)  # what is left: sample 1


# ---- precision -------------------------------------------------------------------------------


def relative_errors(x, y, form):
    """Of float32 arithmetic (as shipped) against float64 by differences, on the same features."""
    loss, gradient = value_and_gradient(x, y, form)
    exact, slope = value_and_gradient(x.double(), y, form)
    return (
        abs(loss.item() / exact.item() - 1),
        ((gradient.double() - slope).norm() / slope.norm()).item(),
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_scales_and_common_means_cost_no_digits(form, scale, mean):
    x, y = features(24, 512)
    errors = relative_errors(scale * (x + mean), y, form)
    assert max(errors) < 1e-6


@pytest.mark.parametrize("form", ["patent", "paper"])
@pytest.mark.parametrize("spread", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5])
def test_error_bound_for_collapsing_classes(form, spread):
    """docs/loss.md: relative error <= 4 eps32 + 8 eps64 (r/d)^2, r/d = radius / least distance."""
    centres, _ = features(7, 1024, 7, seed=2)
    noise, y = features(24, 1024, 7, seed=3)
    x = centres[y] + spread * noise
    z = x.double() - x.double().mean(dim=0)
    d = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
    quotient = (z.norm(dim=1).max() / d[d > 0].min()).item()
    eps32, eps64 = torch.finfo(torch.float32).eps, torch.finfo(torch.float64).eps
    bound = 4 * eps32 + 8 * eps64 * quotient**2
    value_error, gradient_error = relative_errors(x, y, form)
    assert value_error < bound
    assert gradient_error < bound
    # and that is less than what rounding the features to float32 has done already
    assert 8 * eps64 * quotient**2 < eps32 * quotient


def test_the_usual_expansion_in_float32_would_fail_here():
    """The oracle of the test above is worth something: the naive way loses every digit."""
    centres, _ = features(7, 1024, 7, seed=2)
    noise, y = features(24, 1024, 7, seed=3)
    x = 100 + centres[y] + 1e-3 * noise
    exact = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist")
    naive = torch.cdist(x, x, compute_mode="use_mm_for_euclid_dist")
    within = (y[:, None] == y) & ~torch.eye(24, dtype=torch.bool)
    assert ((naive.double() - exact).abs() / exact)[within].max() > 0.1
    assert max(relative_errors(x, y, "paper")) < 1e-5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_computed_wide(form, dtype):
    x, y = features(dtype=dtype)
    loss, gradient = value_and_gradient(x, y, form)
    exact, slope = value_and_gradient(x.double(), y, form)
    assert loss.dtype == torch.float32
    assert gradient.dtype == dtype
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    torch.testing.assert_close(
        gradient.double(), slope, rtol=torch.finfo(dtype).eps, atol=float(smallest)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_scaled_loss_keeps_small_half_precision_gradients(dtype):
    """Mixed precision multiplies the loss, and finds no gradient lost already."""
    x, y = features(dtype=dtype)
    x = x * 256
    z = x.clone().requires_grad_()
    (2.0**16 * ec_stfl_loss(z, y, "paper")).backward()
    _, slope = value_and_gradient(x.double(), y, "paper")
    assert slope.abs().max() < torch.finfo(torch.float16).smallest_normal
    torch.testing.assert_close(
        z.grad.double(), 2.0**16 * slope, rtol=2 * torch.finfo(dtype).eps, atol=1e-7
    )


@pytest.mark.parametrize("form", FORMS)
def test_autocast_changes_nothing(form):
    x, y = features()
    plain = value_and_gradient(x, y, form)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = value_and_gradient(x, y, form)
    assert inside[0].dtype == torch.float32
    torch.testing.assert_close(inside, plain, rtol=0, atol=0)


def test_without_float64_on_the_device_distances_come_from_differences(monkeypatch):
    x, y = features(24, 256)
    expected = value_and_gradient(x, y, "patent")
    monkeypatch.setattr(engine, "wide", lambda x: torch.float32)
    assert not engine._has_products(x, 2.0)
    torch.testing.assert_close(value_and_gradient(x, y, "patent"), expected, rtol=1e-5, atol=1e-7)


# ---- memory ----------------------------------------------------------------------------------


def peak_megabytes(n, d, form):
    """Tensors alive at the worst moment of one forward + backward pass, beyond the features."""
    x, y = torch.randn(n, d, requires_grad=True), torch.arange(n) % 7
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        ec_stfl_loss(x, y, form).backward()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    assert peak >= x.nbytes  # the gradient itself: the events are really there
    return peak / 2**20


@pytest.mark.parametrize("form", FORMS)
def test_memory_is_that_of_pairs_not_of_pairs_times_features(form):
    """About 40 bytes a pair; one table of all differences alone would be 256 MB."""
    assert peak_megabytes(1024, 32, form) < 55


# ---- bad input -------------------------------------------------------------------------------

good, labels = torch.randn(4, 3), torch.tensor([0, 0, 1, 1])
BAD = {
    "a list": (([[0.0]], labels), "expected two torch tensors, got list"),
    "rank 1": ((good[0], labels), r"expected shape \(n, d\), got \(3,\)"),
    "rank 3": ((good[None], labels), r"got \(1, 4, 3\)"),
    "integers": ((good.long(), labels), "expected a real floating dtype, got torch.int64"),
    "complex": ((good.cfloat(), labels), "got torch.complex64"),
    "empty batch": ((good[:0], labels[:0]), r"expected n >= 1 and d >= 1, got shape \(0, 3\)"),
    "no features": ((good[:, :0], labels), r"got shape \(4, 0\)"),
    "too few labels": ((good, labels[:3]), r"expected shape \(4,\), got \(3,\)"),
    "one-hot labels": ((good, torch.eye(4)), r"expected shape \(4,\), got \(4, 4\)"),
    "float labels": ((good, labels.float()), "expected an integer dtype, got torch.float32"),
    "other device": ((good, labels.to("meta")), "expected device cpu .* got meta"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("function", [ec_stfl_loss, within_between_ratio, ECSTFLLoss()])
def test_bad_input_is_told(function, case):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        function(*arguments)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_value_that_is_not_finite_is_told_with_its_place(value, dtype):
    x = good.to(dtype, copy=True)
    x[2, 1] = value
    with pytest.raises(ValueError, match=rf"got {value} at \[2, 1\] \(1 such value"):
        ec_stfl_loss(x, labels)


def test_opposite_infinities_are_found():
    x = good.clone()
    x[0, 0], x[3, 2] = float("inf"), -float("inf")
    with pytest.raises(ValueError, match=r"got inf at \[0, 0\] \(2 such value"):
        ec_stfl_loss(x, labels)


def test_the_largest_float32_numbers_are_no_mistake():
    x = torch.tensor([[3e38], [-3e38], [3e38], [0.0]])
    loss, gradient = value_and_gradient(x, labels, "patent")
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_unknown_form_and_norm():
    with pytest.raises(ValueError, match=r"expected one of patent, paper, released, got 'eq9'"):
        ec_stfl_loss(good, labels, "eq9")
    with pytest.raises(ValueError, match=r"expected 1, 2 or None"):
        ec_stfl_loss(good, labels, p=3)
    with pytest.raises(ValueError, match=r"got 'eq9'"):
        ECSTFLLoss("eq9")


# ---- other ways to run -----------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_equals_eager(form, backend):
    torch._dynamo.reset()
    x, y = features()
    expected = value_and_gradient(x, y, form)
    compiled = torch.compile(lambda x, y: ec_stfl_loss(x, y, form), backend=backend, fullgraph=True)
    z = x.clone().requires_grad_()
    loss = compiled(z, y)
    loss.backward()
    torch.testing.assert_close((loss.detach(), z.grad), expected, rtol=1e-5, atol=1e-7)


def test_a_large_batch_compiles():
    torch._dynamo.reset()
    x, y = features(100, 16)
    compiled = torch.compile(ec_stfl_loss, backend="aot_eager", fullgraph=True)
    z = x.clone().requires_grad_()
    loss = compiled(z, y)
    loss.backward()
    torch.testing.assert_close((loss.detach(), z.grad), value_and_gradient(x, y, "patent"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("n", [24, 300])
def test_cuda_equals_cpu(form, dtype, n):
    x, y = features(n, 512, dtype=dtype)
    loss, gradient = value_and_gradient(x, y, form)
    other, slope = value_and_gradient(x.cuda(), y.cuda(), form)
    torch.testing.assert_close(other.cpu(), loss, rtol=1e-6, atol=0)
    tolerance = 1e-3 if dtype == torch.float16 else 1e-5
    torch.testing.assert_close(
        slope.cpu(), gradient, rtol=tolerance, atol=tolerance * gradient.abs().max().item()
    )


def test_the_batch_is_not_changed():
    x, y = features()
    before, names = x.clone(), y.clone()
    value_and_gradient(x, y, "patent")
    assert torch.equal(x, before)
    assert torch.equal(y, names)


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_are_not_contiguous(form):
    x, y = features(24, 64)
    wide = torch.stack([x, x], dim=2).view(24, 128)
    torch.testing.assert_close(
        value_and_gradient(wide[:, ::2], y, form), value_and_gradient(x, y, form)
    )


def test_no_gradient_wanted_none_computed():
    x, y = features()
    assert not ec_stfl_loss(x, y).requires_grad
    with torch.no_grad():
        assert not ec_stfl_loss(x.requires_grad_(), y).requires_grad
