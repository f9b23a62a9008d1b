"""Max pooling that stays in the precision of its input.

On the CPU, torch's autocast takes ``max_pool3d`` for an operation that needs float32: it copies the
largest tensors of C3D into twice the memory and back. But a maximum is one of its inputs, and where
windows do not overlap each gradient goes to one place: in bfloat16 both are the same numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecstfl.models.conv3d import triple


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
