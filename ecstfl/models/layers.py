"""Convolution and max pooling in 3-D that are right, and fast, under bfloat16 on the CPU.

**Convolution.** torch 2.13.0 (oneDNN) computes the bfloat16 weight gradient of a padded
convolution whose padding reaches every frame of its input (3x3x3, padding 1, on two frames: C3D's
conv4a and conv4b on clips of eight frames) from memory that nobody has written. The result changes
from call to call and is sometimes NaN; in float32, and with more frames, it is right.
``tests/models/test_layers.py`` shows it.

Where every frame can reach every other one, nothing is left to slide over time, and the same sum
is a 2-D convolution: the frames' channels side by side, and of the kernel only those slices that
meet a frame. That never enters the broken code, and leaves out the products with padded frames: two
thirds of conv5a and conv5b at eight frames, a third of conv4a and conv4b. Elsewhere (a kernel of
seven frames over six) the padding is written out before the convolution, which is right, too.

**Pooling.** On the CPU, torch's autocast takes ``max_pool3d`` for an operation that needs float32:
it copies the largest tensors of C3D into twice the memory and back. But a maximum is one of its
inputs, and where windows do not overlap each gradient goes to one place: in bfloat16 both are the
same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: Sequence[int] = (0, 0, 0),
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve as ``torch.nn.functional.conv3d``; padding is (T, H, W), zeros on both sides."""
    t, h, w = padding
    if t and x.shape[2] <= 2 * t and _is_cpu_bfloat16(x):
        steps, holes = triple(stride), triple(dilation)
        centred = weight.shape[2] == 2 * t + 1 and steps[0] == holes[0] == groups == 1
        if centred and x.shape[2] <= t + 1:
            return _conv_all_frames(x, weight, bias, steps[1:], (h, w), holes[1:])
        x, (t, h, w) = F.pad(x, (w, w, h, h, t, t)), (0, 0, 0)
    return F.conv3d(x, weight, bias, stride, (t, h, w), dilation, groups)


def _conv_all_frames(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """Convolve T frames with a kernel of at least 2T - 1, centred in time, as one 2-D convolution.

    Output frame i is the sum over the frames j of frame j convolved with slice j - i of the kernel,
    counted from its middle.
    """
    frames, middle = x.shape[2], weight.shape[2] // 2
    rows = [
        torch.cat([weight[:, :, middle + j - i] for j in range(frames)], dim=1)
        for i in range(frames)
    ]
    flat = torch.cat(x.unbind(2), dim=1)  # (n, T * in, H, W)
    bias = None if bias is None else bias.repeat(frames)
    out = F.conv2d(flat, torch.cat(rows), bias, stride, padding, dilation)  # (n, T * out, H', W')
    return torch.stack(out.chunk(frames, dim=1), dim=2)


class Conv3d(nn.Conv3d):
    """``torch.nn.Conv3d`` with numeric padding of zeros: the same names, weights and values.

    Input (n, in, T, H, W) and output (n, out, T', H', W') as there.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return conv3d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)


def _is_cpu_bfloat16(x: Tensor) -> bool:
    if x.device.type != "cpu":
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return x.dtype == torch.bfloat16


def triple(value: int | Sequence[int]) -> tuple[int, int, int]:
    """Return a setting of the three axes (T, H, W), of which one number means all three."""
    t, h, w = (value,) * 3 if isinstance(value, int) else value
    return t, h, w


class MaxPool3d(nn.MaxPool3d):
    """``torch.nn.MaxPool3d`` whose output has its input's dtype, under autocast too.

    For windows that do not overlap; where they do, gradients add up, better in float32.

    Raises:
        ValueError: the stride is smaller than the window.
    """

    def __init__(self, *args: object, **settings: object) -> None:
        super().__init__(*args, **settings)
        pairs = zip(triple(self.kernel_size), triple(self.stride), strict=True)
        if any(stride < side for side, stride in pairs):
            raise ValueError(
                f"windows of {self.kernel_size} overlap at stride {self.stride}: use nn.MaxPool3d"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Pool (n, C, T, H, W)."""
        if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input)
