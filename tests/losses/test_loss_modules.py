"""ECSTFLLoss counts, JointLoss adds: L = L_S + lambda L_EC-STFL (claim 4)."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from ecstfl.losses.ec_stfl import FORMS, ECSTFLLoss, ec_stfl_loss
from ecstfl.losses.joint import JointLoss, constant, warmup
from ecstfl.losses.report import within_between_ratio


def batch(n=12, d=5, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator).requires_grad_()
    x = torch.randn(n, d, generator=generator).requires_grad_()
    return logits, x, torch.arange(n) % classes


@pytest.mark.parametrize("form", FORMS)
def test_module_equals_function(form):
    _, x, y = batch()
    assert ECSTFLLoss(form)(x, y).item() == ec_stfl_loss(x, y, form).item()
    assert ECSTFLLoss(form, p=1)(x, y).item() == ec_stfl_loss(x, y, form, p=1).item()


def test_counts_of_degenerate_batches():
    loss = ECSTFLLoss()
    x = torch.randn(4, 2)
    loss(x, torch.tensor([0, 0, 1, 1]))
    loss(x, torch.tensor([0, 0, 0, 0]))
    loss(x, torch.tensor([0, 0, 0, 1]))
    loss(x[:1], torch.tensor([3]))
    loss(torch.ones(4, 2), torch.tensor([0, 0, 1, 1]))
    assert loss.counts() == {"batches": 5, "one_class": 2, "alone": 2, "left_out": 4 + 1 + 4}
    loss.reset_counts()
    assert set(loss.counts().values()) == {0}


def test_counting_leaves_no_trace_in_checkpoints():
    joint = JointLoss(1.0)
    assert joint.state_dict() == {}
    assert list(joint.parameters()) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("weight", [0.3, 10.0])
def test_joint_loss_is_the_sum(form, weight):
    logits, x, y = batch()
    total, parts = JointLoss(weight, form)(logits, x, y)
    total.backward()
    assert total.item() == pytest.approx(
        cross_entropy(logits, y).item() + weight * ec_stfl_loss(x, y, form).item(), rel=1e-6
    )
    assert parts["ce"].item() == pytest.approx(cross_entropy(logits, y).item())
    assert parts["ec_stfl"].item() == ec_stfl_loss(x, y, form).item()
    # the L2 ratio, also beside the L1 form: it is there to compare forms
    assert parts["ratio"].item() == pytest.approx(within_between_ratio(x, y).item(), rel=1e-6)
    assert not any(part.requires_grad for part in parts.values())
    z = x.detach().clone().requires_grad_()
    ec_stfl_loss(z, y, form).backward()
    torch.testing.assert_close(x.grad, weight * z.grad, rtol=1e-5, atol=1e-8)


def test_weight_zero_is_the_softmax_loss_alone():
    logits, x, y = batch()
    total, parts = JointLoss(0.0)(logits, x, y)
    total.backward()
    assert x.grad is None
    assert total.item() == cross_entropy(logits, y).item()
    assert parts["ec_stfl"].item() == pytest.approx(ec_stfl_loss(x, y).item())


def test_one_class_batch_trains_on_softmax_and_is_counted():
    logits, x, y = batch(classes=3)
    joint = JointLoss(5.0)
    total, parts = joint(logits, x, torch.ones_like(y))
    total.backward()
    assert torch.equal(x.grad, torch.zeros_like(x))
    assert total.item() == parts["ce"].item()
    assert joint.counts()["one_class"] == 1
    joint.reset_counts()
    assert joint.counts()["batches"] == 0


def test_half_precision_logits_are_widened():
    logits, x, y = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = JointLoss(1.0)(logits.bfloat16(), x.bfloat16(), y)
    assert total.dtype == torch.float32


def test_schedule():
    logits, x, y = batch()
    joint = JointLoss(10.0, schedule=warmup(0.2, 0.6))
    weights = []
    for progress in (0.0, 0.2, 0.4, 0.6, 1.0):
        joint.set_progress(progress)
        weights.append(joint.current_weight)
        total, parts = joint(logits, x, y)
        assert total.item() == pytest.approx(
            (parts["ce"] + joint.current_weight * parts["ec_stfl"]).item(), rel=1e-6
        )
    assert weights == pytest.approx([0, 0, 5, 10, 10])
    assert constant(0.3) == 1
    assert JointLoss(3.0).current_weight == 3


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_bad_lambda(weight):
    with pytest.raises(ValueError, match=r"lambda.*finite number >= 0, got"):
        JointLoss(weight)


def test_bad_options():
    with pytest.raises(ValueError, match=r"expected one of patent"):
        JointLoss(form="eq9")
    with pytest.raises(ValueError, match=r"got 0.5 and 0.5"):
        warmup(0.5, 0.5)
    with pytest.raises(ValueError, match=r"progress: expected 0..1, got 7"):
        JointLoss(1.0).set_progress(7)
    with pytest.raises(ValueError, match=r"expected a finite factor >= 0, got -1"):
        JointLoss(1.0, schedule=lambda progress: -1.0)


def test_bad_logits_and_labels():
    logits, x, y = batch()
    with pytest.raises(ValueError, match=r"expected shape \(12, classes\), got \(11, 3\)"):
        JointLoss()(logits[1:], x, y)
    with pytest.raises(ValueError, match=r"expected 0..1 for 2 logits, got 0..2"):
        JointLoss()(logits[:, :2], x, y)
    with pytest.raises(ValueError, match=r"got -100..2"):
        JointLoss()(logits, x, torch.where(y == 0, -100, y))


def test_joint_loss_compiles():
    torch._dynamo.reset()
    logits, x, y = batch()
    joint = JointLoss(2.0)
    expected = joint(logits, x, y)[0]
    total, _ = torch.compile(joint, backend="aot_eager", fullgraph=True)(logits, x, y)
    total.backward()
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert x.grad.norm() > 0
    assert joint.counts()["batches"] == 2
