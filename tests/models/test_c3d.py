"""C3D: the paper's numbers, an independent forward pass, and finite training."""

import pytest
import torch
from torch.nn import functional as F

from ecstfl.models.c3d import C3D


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("classes", "parameters"), [(7, 78_024_455), (101, 78_409_573), (487, 79_991_015)]
)
def test_full_width_parameters(classes, parameters):
    with torch.device("meta"):  # shapes only: a full-width C3D takes 300 MB
        model = C3D(classes)
    assert count(model) == parameters
    convolutions = [m for n, m in model.named_modules() if n.startswith("conv")]
    assert sum(count(m) for m in convolutions) == 27_655_936
    assert model.fc6.in_features == 8192


def test_layer_names_and_order_are_the_papers():
    names = [n for n, m in C3D(width=2, fc=4, size=16).named_modules() if n[:4] in ("conv", "pool")]
    assert names == [
        *("conv1a", "pool1", "conv2a", "pool2", "conv3a", "conv3b", "pool3"),
        *("conv4a", "conv4b", "pool4", "conv5a", "conv5b", "pool5"),
    ]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_forward_equals_the_functional_transcription(batch_norm):
    torch.manual_seed(0)
    model = C3D(5, width=2, fc=6, frames=16, size=28, batch_norm=batch_norm).eval()
    if batch_norm:  # fresh running statistics would make BatchNorm the identity
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
    clips = torch.randn(3, 3, 16, 28, 28)

    x = clips
    for name in ("1a", "2a", "3a", "3b", "4a", "4b", "5a", "5b"):
        convolution = getattr(model, f"conv{name}")
        x = F.conv3d(x, convolution.weight, convolution.bias, padding=1)
        if batch_norm:
            b = getattr(model, f"bn{name}")
            x = F.batch_norm(x, b.running_mean, b.running_var, b.weight, b.bias)
        x = F.relu(x)  # before the pooling, as in the paper
        if name in ("1a", "2a", "3b", "4b", "5b"):
            step = (1, 2, 2) if name == "1a" else 2
            x = F.max_pool3d(x, step, step, ceil_mode=True)
    x = x.flatten(1)
    for layer in (model.fc6, model.fc7):
        x = F.relu(F.linear(x, layer.weight, layer.bias))
    expected = F.linear(x, model.fc8.weight, model.fc8.bias)
    torch.testing.assert_close(model(clips), expected)


@pytest.mark.parametrize(("frames", "size"), [(1, 1), (8, 48), (16, 112), (5, 33)])
def test_any_input_size_works(frames, size):
    model = C3D(7, width=1, fc=3, frames=frames, size=size).eval()
    assert model(torch.zeros(2, 3, frames, size, size)).shape == (2, 7)


def test_wrong_shape_says_expected_and_got():
    with pytest.raises(ValueError, match=r"\(n, 3, 8, 16, 16\), got \(2, 3, 8, 16, 17\)"):
        C3D(width=1, fc=2, frames=8, size=16)(torch.zeros(2, 3, 8, 16, 17))


@pytest.mark.parametrize("bad", [{"width": 0}, {"dropout": 1.0}, {"frames": 0}])
def test_bad_arguments_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        C3D(**bad)


def test_training_stays_finite_and_learns_four_clips():
    torch.manual_seed(0)
    model = C3D(7, width=4, fc=16, frames=8, size=24, dropout=0.0, batch_norm=True)
    model = model.to(memory_format=torch.channels_last_3d)
    clips, labels = torch.randn(4, 3, 8, 24, 24), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(model(clips), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert losses[-1] < 0.2 < losses[0]
