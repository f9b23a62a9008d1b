"""Muon: torch's own on matrices, the plain iteration on kernels, singular values near 1."""

import copy

import pytest
import torch
from torch import nn

from ecstfl.errors import UserError
from ecstfl.training.muon import COEFFICIENTS, STEPS, Muon, orthogonalise


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 4))


def train(model, optimizers, steps=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(5, 6, generator=generator)
        for optimizer in optimizers:
            optimizer.zero_grad()
        model(x).square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()
    return [p.detach() for p in model.parameters() if p.ndim > 1]


def plain_iteration(matrix):
    """Newton-Schulz on the matrix itself, in float64."""
    a, b, c = COEFFICIENTS
    y = matrix.double() / matrix.double().norm()
    for _ in range(STEPS):
        y = a * y + b * (y @ y.T) @ y + c * (y @ y.T) @ (y @ y.T) @ y
    return y


@pytest.mark.parametrize("shape", [(3, 3), (8, 40), (40, 8), (1, 5), (128, 432)])
def test_the_small_square_gives_the_plain_iteration(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalise(matrix)
    torch.testing.assert_close(found.double(), plain_iteration(matrix), rtol=0, atol=2e-5)


@pytest.mark.parametrize("weakest", [1e-3, 1e-6, 1e-9])
def test_weak_directions_do_no_harm(weakest):
    """Few clips give gradients of low rank: float32 must not blow up what is nearly 0."""
    generator = torch.Generator().manual_seed(0)
    strengths = torch.logspace(0, torch.log10(torch.tensor(weakest)), 24)
    matrix = torch.randn(24, 24, generator=generator) * strengths
    matrix = matrix @ torch.randn(24, 90, generator=generator)
    found, expected = orthogonalise(matrix).double(), plain_iteration(matrix)
    assert (found - expected).norm() < 2e-3 * expected.norm()


def test_directions_stay_and_their_lengths_become_equal():
    generator = torch.Generator().manual_seed(0)
    u = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(20, 6, generator=generator, dtype=torch.float64))[0]
    matrix = u * torch.tensor([9.0, 4.0, 2.0, 1.0, 0.5, 0.2]) @ v.T
    lengths = u.T @ orthogonalise(matrix) @ v
    assert lengths.diagonal().min() > 0.6
    assert lengths.diagonal().max() < 1.3
    assert (lengths - lengths.diagonal().diag()).abs().max() < 1e-9
    assert torch.equal(orthogonalise(torch.zeros(2, 3)), torch.zeros(2, 3))


@pytest.mark.parametrize("exact", [True, False])
def test_on_matrices_it_is_torchs_muon(exact, monkeypatch):
    if exact:  # torch's rounds to bfloat16 first; without that, all digits are the same
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())
    ours, theirs = network(), network()
    matrices = [[p for p in m.parameters() if p.ndim > 1] for m in (ours, theirs)]
    options = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}
    a = train(ours, [Muon(matrices[0], **options)])
    b = train(theirs, [torch.optim.Muon(matrices[1], **options)])
    assert (a[0] - network()[0].weight).norm() > 0.1
    tolerance = 1e-5 if exact else 2e-2
    for left, right in zip(a, b, strict=True):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_a_kernel_is_a_matrix_with_a_row_for_each_output_channel(layout):
    torch.manual_seed(0)
    layer = nn.Conv3d(4, 6, 3, bias=False).to(memory_format=layout)
    optimizer = Muon(layer.parameters(), lr=0.1, momentum=0.95)
    momentum = torch.zeros(6, 4 * 27, dtype=torch.float64)
    weight = layer.weight.detach().double().flatten(1)
    for seed in range(3):
        clips = torch.randn(2, 4, 4, 5, 5, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        layer(clips).square().sum().backward()
        gradient = layer.weight.grad.double().flatten(1)
        momentum = 0.95 * momentum + 0.05 * gradient
        weight = weight - 0.1 * plain_iteration(0.95 * momentum + 0.05 * gradient)
        optimizer.step()
        torch.testing.assert_close(
            layer.weight.detach().double().flatten(1), weight, rtol=1e-4, atol=1e-5
        )


def test_a_tall_matrix_takes_longer_steps():
    weight = nn.Parameter(torch.zeros(16, 4))
    weight.grad = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=0.1, momentum=0.0).step()
    expected = -0.1 * 2 * orthogonalise(weight.grad)  # sqrt(16 / 4)
    torch.testing.assert_close(weight.detach(), expected)


def test_its_state_resumes_to_the_bit():
    model = network()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    optimizer = Muon(matrices, lr=0.03)
    train(model, [optimizer], steps=3)
    other = copy.deepcopy(model)
    twin = Muon([p for p in other.parameters() if p.ndim > 1], lr=1.0)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert twin.param_groups[0]["lr"] == 0.03
    for a, b in zip(train(model, [optimizer], seed=2), train(other, [twin], seed=2), strict=True):
        assert torch.equal(a, b)


def test_a_weight_without_a_gradient_stays():
    used, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    used.grad = torch.eye(2)
    Muon([used, unused], weight_decay=0.1).step()
    assert torch.equal(unused.detach(), torch.ones(2, 2))
    assert not torch.equal(used.detach(), torch.ones(2, 2))


def test_where_there_is_nothing_to_orthogonalise_it_says_so():
    with pytest.raises(UserError, match="nothing to orthogonalise: the list of weights is empty"):
        Muon([])
    with pytest.raises(UserError, match=r"got a weight of shape \(4,\): leave it to AdamW"):
        Muon(nn.Linear(3, 4).parameters())
    with pytest.raises(UserError, match=r"lr > 0, momentum in \[0, 1\).*got 0, 0.95, 0.0"):
        Muon([torch.zeros(2, 2)], lr=0)
    with pytest.raises(UserError, match=r"got 0.1, 1.0"):
        Muon([torch.zeros(2, 2)], lr=0.1, momentum=1.0)
