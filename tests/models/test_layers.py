"""Layers under bfloat16 on the CPU: gradients that repeat; pooling equal to torch's to the bit."""

import pytest
import torch
from torch import nn

from ecstfl.models.backbones import BACKBONES, BackboneConfig, build_backbone
from ecstfl.models.layers import Conv3d, MaxPool3d


def poison():
    """Leave NaN in blocks of memory of many sizes, where the next allocation may find it."""
    for size in (1_000, 5_000, 20_000, 100_000, 500_000, 1_000_000):
        torch.full((size,), float("nan"))


def gradients(network, clips, repeats=4):
    for _ in range(repeats):
        network.zero_grad()
        poison()
        with torch.autocast("cpu", torch.bfloat16):
            out = network(clips)
        (out.float() * torch.arange(out.numel()).view(out.shape).sin()).sum().backward()
        yield [p.grad.clone() for p in network.parameters()]


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_weight_gradient_is_finite_repeatable_and_right(frames, channels_last):
    torch.manual_seed(0)
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    clips = torch.randn(14, 16, frames, 6, 6).to(memory_format=layout)
    ours = Conv3d(16, 32, 3, padding=1, bias=False).to(memory_format=layout)
    exact = nn.Conv3d(16, 32, 3, padding=1, bias=False).double()
    exact.load_state_dict(ours.state_dict())
    out = exact(clips.double())
    (out * torch.arange(out.numel()).view(out.shape).sin()).sum().backward()
    scale = exact.weight.grad.abs().max()
    first, *others = gradients(ours, clips)
    assert all(torch.equal(first[0], other[0]) for other in others)
    # bfloat16 keeps 8 bits; CPUs without units for it add up in coarser steps
    assert (first[0] - exact.weight.grad).abs().max() < 0.02 * scale


def has_bfloat16_lstm():
    """Whether torch computes an LSTM in bfloat16 on this CPU: where there are no units, not."""
    try:
        with torch.autocast("cpu", torch.bfloat16):
            nn.LSTM(4, 4)(torch.zeros(2, 3, 4))
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_repeats_its_gradients(name):
    if name.endswith("lstm") and not has_bfloat16_lstm():
        pytest.skip("no LSTM in bfloat16 on this CPU")
    torch.manual_seed(0)
    fc = {"fc": 16} if name in ("c3d", "vgg11-lstm", "resnet18-lstm") else {}
    network = build_backbone(BackboneConfig(name, width=4, dropout=0, **fc), 8, 32)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d | nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = 0.0
    first, *others = gradients(network, torch.randn(4, 3, 8, 32, 32), repeats=2)
    assert all(grad.isfinite().all() for grad in first)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_it_is_torchs_convolution_everywhere_else():
    torch.manual_seed(0)
    ours = Conv3d(4, 6, (3, 1, 3), stride=(1, 2, 1), padding=(1, 0, 2))
    theirs = nn.Conv3d(4, 6, (3, 1, 3), stride=(1, 2, 1), padding=(1, 0, 2))
    theirs.load_state_dict(ours.state_dict())
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for frames in (1, 2, 5):
            clips = torch.randn(2, 4, frames, 8, 8, dtype=dtype)
            a, b = ours.to(dtype)(clips), theirs.to(dtype)(clips)
            assert a.shape == b.shape
            torch.testing.assert_close(a, b)
            if dtype != torch.bfloat16:
                assert torch.equal(a, b)  # the same call, bit for bit


def pooled(pool, clips, dtype):
    clips = clips.to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = pool(clips)
    weights = torch.arange(out.numel()).view(out.shape).sin().bfloat16()
    (out.float() * weights.float()).sum().backward()
    return out, clips.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.channels_last_3d, torch.contiguous_format])
@pytest.mark.parametrize(("window", "frames"), [((1, 2, 2), 3), (2, 5), ((2, 1, 1), 1)])
def test_values_and_gradients_are_torchs_to_the_bit(dtype, layout, window, frames):
    torch.manual_seed(0)
    clips = torch.randint(-9, 9, (3, 4, frames, 7, 6)).float()  # many ties
    clips = clips.to(memory_format=layout)
    ours, our_gradient = pooled(MaxPool3d(window, ceil_mode=True), clips, dtype)
    theirs, their_gradient = pooled(nn.MaxPool3d(window, ceil_mode=True), clips, dtype)
    assert ours.dtype == dtype
    assert torch.equal(ours.float(), theirs.float())
    assert torch.equal(our_gradient, their_gradient)


def test_shapes_are_known_without_numbers():
    """Costs are counted on torch's meta device, which has no autocast."""
    out = MaxPool3d(2, ceil_mode=True)(torch.empty(1, 3, 5, 7, 6, device="meta"))
    assert tuple(out.shape) == (1, 3, 3, 4, 3)


def test_windows_that_overlap_are_refused():
    MaxPool3d((1, 2, 2), (2, 2, 3))
    with pytest.raises(ValueError, match=r"windows of \(1, 3, 3\) overlap at stride \(1, 2, 2\)"):
        MaxPool3d((1, 3, 3), (1, 2, 2))
    with pytest.raises(ValueError, match="windows of 3 overlap at stride 2"):
        MaxPool3d(3, stride=2)
