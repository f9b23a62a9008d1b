"""The EC-STFL loss against its plain-Python reference, and its documented properties."""

from __future__ import annotations

import pytest
import torch

from ecstfl import reference
from ecstfl.loss import FORMS, JointLoss, ec_stfl_loss, within_between_ratio


def batch(n, d, classes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = torch.randint(0, classes, (n,), generator=generator)
    return x.to(dtype), y


def value_and_gradient(x, y, form, **options):
    x = x.clone().requires_grad_()
    loss = ec_stfl_loss(x, y, form, **options)
    loss.backward()
    return loss.detach(), x.grad


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", [None, 1, 2])
@pytest.mark.parametrize(("n", "d", "classes"), [(2, 1, 2), (7, 3, 3), (24, 16, 7), (12, 5, 12)])
def test_equals_the_naive_loop_in_value_and_gradient(form, p, n, d, classes):
    x, y = batch(n, d, classes, seed=n)
    loss, gradient = value_and_gradient(x, y, form, p=p)
    order = {} if p is None else {"p": p}
    expected = reference.LOSS[form](x.tolist(), y.tolist(), **order)
    slope = torch.tensor(
        reference.GRADIENT[form](x.tolist(), y.tolist(), **order), dtype=torch.float64
    )
    assert loss.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", [1, 2])
def test_gradcheck_and_gradgradcheck(form, p):
    x, y = batch(6, 3, 3, seed=3)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ec_stfl_loss(x, y, form, p=p), (x,))
    assert torch.autograd.gradgradcheck(lambda x: ec_stfl_loss(x, y, form, p=p), (x,))


@pytest.mark.parametrize("form", FORMS)
def test_float32_agrees_with_float64(form):
    x, y = batch(24, 64, 7, dtype=torch.float32)
    loss, gradient = value_and_gradient(x, y, form)
    exact, slope = value_and_gradient(x.double(), y, form)
    assert loss.dtype == gradient.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
    torch.testing.assert_close(gradient.double(), slope, rtol=1e-5, atol=1e-7 * slope.abs().max())


@pytest.mark.parametrize("form", FORMS)
def test_one_class_is_zero_with_zero_gradient_and_counted(form):
    x = torch.randn(5, 3)
    y = torch.full((5,), 4)
    loss, gradient = value_and_gradient(x, y, form)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(x))
    joint = JointLoss(2.0, form)
    total, parts = joint(torch.randn(5, 7), x, y)
    assert total.item() == parts["ce"].item()
    assert joint.counts()["one_class"] == 1


def test_weight_zero_is_the_softmax_loss_alone():
    x, y = batch(12, 4, 3, dtype=torch.float32)
    x.requires_grad_()
    logits = torch.randn(12, 3, requires_grad=True)
    total, parts = JointLoss(0.0)(logits, x, y)
    total.backward()
    assert x.grad is None
    assert total.item() == torch.nn.functional.cross_entropy(logits, y).item()
    assert parts["ec_stfl"].item() == pytest.approx(ec_stfl_loss(x, y).item())
    assert parts["ratio"].item() == within_between_ratio(x, y).item()
