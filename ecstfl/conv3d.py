"""A 3-D convolution that is safe under bfloat16 on the CPU.

torch 2.13.0 (oneDNN) computes the bfloat16 weight gradient of a padded convolution whose padding
reaches every frame of its input (3x3x3, padding 1, on two frames: C3D's conv4a and conv4b on
clips of eight frames) from memory that nobody has written. The result changes from call to call
and is sometimes NaN; in float32, and with more frames, it is right. With the padding written out
before the convolution another way through the library is taken, which is right.
``tests/test_conv3d.py`` shows both.
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
        x, (t, h, w) = F.pad(x, (w, w, h, h, t, t)), (0, 0, 0)
    return F.conv3d(x, weight, bias, stride, (t, h, w), dilation, groups)


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
