"""I3D on RGB frames: Inception-v1 with every kernel inflated to 3D (Carreira, Zisserman 2017).

================  =============================  ============================
layer             kernel / stride                output for 3 x 16 x 112 x 112
================  =============================  ============================
Conv3d_1a_7x7     7x7x7 / 2x2x2                  64 x 8 x 56 x 56
MaxPool3d_2a_3x3  1x3x3 / 1x2x2                  64 x 8 x 28 x 28
Conv3d_2b_1x1     1x1x1                          64 x 8 x 28 x 28
Conv3d_2c_3x3     3x3x3                          192 x 8 x 28 x 28
MaxPool3d_3a_3x3  1x3x3 / 1x2x2                  192 x 8 x 14 x 14
Mixed_3b, 3c                                     480 x 8 x 14 x 14
MaxPool3d_4a_3x3  3x3x3 / 2x2x2                  480 x 4 x 7 x 7
Mixed_4b .. 4f                                   832 x 4 x 7 x 7
MaxPool3d_5a_2x2  2x2x2 / 2x2x2                  832 x 2 x 4 x 4
Mixed_5b, 5c                                     1024 x 2 x 4 x 4
avg_pool          all positions                  1024; **tapped here**
logits            1x1x1                          classes
================  =============================  ============================

A Mixed layer joins four branches: 1x1x1; 1x1x1 and 3x3x3; 1x1x1 and 3x3x3 (Inception's 5x5, as
in the authors' code); maximum 3x3x3 and 1x1x1. Padding is TensorFlow's SAME: an odd zero goes
to the end. The original averages 2x7x7 windows of a 224-pixel clip; here the average runs over
whatever is left, so that any input size works. Layers carry the names of the original, with
the parameter names of its common PyTorch port (``Mixed_3b.b1a.conv3d.weight``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecstfl.models.common import check_clips, check_dropout, check_sizes, initialise
from ecstfl.models.layers import Conv3d, conv3d

# Channels of the branches: 1x1x1 | reduce, 3x3x3 | reduce, 3x3x3 | after the maximum
# (Szegedy et al. 2015, Table 1).
_MIXED = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return zeros (before, after) so that the output has ceil(length / stride) positions."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def _pad(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> tuple[Tensor, list[int]]:
    """Return the tensor and the symmetric padding that is left for the layer itself to do."""
    both = [same_padding(n, k, s) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    if all(before == after for before, after in both):
        return x, [before for before, _ in both]
    return functional.pad(x, [end for pair in reversed(both) for end in pair]), [0, 0, 0]


class _Unit(nn.Module):
    """Convolution, BatchNorm, ReLU; the classifier is a convolution alone."""

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int = 1, *, plain: bool = False
    ) -> None:
        super().__init__()
        self.conv3d = Conv3d(channels, out, kernel, stride, bias=plain)
        # PyTorch's momentum, not the 0.01 of the port: short trainings from scratch need
        # running statistics that keep up. Published weights are not touched by it.
        self.bn = None if plain else nn.BatchNorm3d(out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        layer = self.conv3d
        x, padding = _pad(x, layer.kernel_size, layer.stride)
        x = conv3d(x, layer.weight, layer.bias, layer.stride, padding)
        return x if self.bn is None else torch.relu(self.bn(x))


class _Pool(nn.Module):
    """Maximum with SAME padding; zeros cannot win, because what comes in is not negative."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        x, padding = _pad(x, self.kernel, self.stride)
        return functional.max_pool3d(x, self.kernel, self.stride, padding)


class _Mixed(nn.Module):
    """Four branches over the same input, joined along the channels."""

    def __init__(self, channels: int, branches: tuple[int, ...]) -> None:
        super().__init__()
        one, reduce_1, three_1, reduce_2, three_2, pooled = branches
        self.b0 = _Unit(channels, one, 1)
        self.b1a = _Unit(channels, reduce_1, 1)
        self.b1b = _Unit(reduce_1, three_1, 3)
        self.b2a = _Unit(channels, reduce_2, 1)
        self.b2b = _Unit(reduce_2, three_2, 3)
        self.b3a = _Pool((3, 3, 3), (1, 1, 1))
        self.b3b = _Unit(channels, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.b0(x),
            self.b1b(self.b1a(x)),
            self.b2b(self.b2a(x)),
            self.b3b(self.b3a(x)),
        ]
        return torch.cat(branches, dim=1)


class I3D(nn.Module):
    """Inflated Inception-v1; the tap is ``avg_pool``.

    Args:
        n_classes: size of the logits.
        width: channels of the first convolution (64 in the paper); all others scale with it
            and are at least 1. The embedding has 16 times as many.
        dropout: probability before the classifier, in [0, 1); 0.5 in the authors' code.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, n_classes: int = 7, *, width: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        check_sizes("I3D", n_classes=n_classes, width=width)
        check_dropout("I3D", dropout)

        def scaled(channels: int) -> int:
            return max(1, channels * width // 64)

        self.Conv3d_1a_7x7 = _Unit(3, width, 7, 2)
        self.MaxPool3d_2a_3x3 = _Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = _Unit(width, width, 1)
        channels = scaled(192)
        self.Conv3d_2c_3x3 = _Unit(width, channels, 3)
        self.MaxPool3d_3a_3x3 = _Pool((1, 3, 3), (1, 2, 2))
        for name, full in _MIXED.items():
            if name == "4b":
                self.MaxPool3d_4a_3x3 = _Pool((3, 3, 3), (2, 2, 2))
            if name == "5b":
                self.MaxPool3d_5a_2x2 = _Pool((2, 2, 2), (2, 2, 2))
            branches = tuple(scaled(c) for c in full)
            self.add_module(f"Mixed_{name}", _Mixed(channels, branches))
            channels = branches[0] + branches[2] + branches[4] + branches[5]
        self._order = tuple(self._modules)  # the trunk, in the order in which it runs
        self.avg_pool = nn.AdaptiveAvgPool3d(1)
        self.drop = nn.Dropout(dropout)
        self.logits = _Unit(channels, n_classes, 1, plain=True)
        initialise(self, self.logits.conv3d)

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (n, 3, T, H, W), float, to logits (n, n_classes).

        Raises:
            ValueError: the clips have another shape.
        """
        check_clips("I3D", clips)
        x = clips
        for name in self._order:
            x = self.get_submodule(name)(x)
        x = self.avg_pool(x)  # (n, 16 * width, 1, 1, 1), the embedding: avg_pool
        return self.logits(self.drop(x)).flatten(1)
