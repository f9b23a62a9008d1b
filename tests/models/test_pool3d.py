"""Pooling under autocast: torch's values and gradients to the bit, in the input's dtype."""

import pytest
import torch
from torch import nn

from ecstfl.models.pool3d import MaxPool3d


def results(pool, clips, dtype):
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
    ours, our_gradient = results(MaxPool3d(window, ceil_mode=True), clips, dtype)
    theirs, their_gradient = results(nn.MaxPool3d(window, ceil_mode=True), clips, dtype)
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
