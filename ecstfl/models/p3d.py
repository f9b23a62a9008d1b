"""P3D: pseudo-3D residual networks (Qiu, Yao, Mei, ICCV 2017).

A ResNet bottleneck whose 3x3 convolution S (1x3x3, in space) is joined by T (3x1x1, in time):

=====  ============================  =================================================
kind   between the 1x1x1 convolutions  in words
=====  ============================  =================================================
A      T(S(x))                       space, then time
B      S(x) + T(x)                   side by side
C      S(x) + T(S(x))                space, then time with a short way around it
=====  ============================  =================================================

The kinds take turns, A B C A B C ..., through the first three stages; the fourth sees one frame
that is left and has S alone. T halves after the stem and after each of the first three stages
(16 -> 8 -> 4 -> 2 -> 1). The name counts weighted layers: P3D-63 is ResNet-50 plus 13 T
convolutions. The DFEW paper names no depth; this is the smallest of the three that are published.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecstfl.models.common import check_clips, check_dropout, check_sizes, initialise
from ecstfl.models.layers import Conv3d, MaxPool3d

BLOCKS = (3, 4, 6, 3)
"""Blocks of the four stages."""


class _Bottleneck(nn.Module):
    """1x1x1 down, S and T in one of the three arrangements, 1x1x1 up to four times as wide."""

    def __init__(self, channels: int, middle: int, stride: int, kind: str) -> None:
        super().__init__()
        self.kind, out, step = kind, 4 * middle, (1, stride, stride)
        self.conv1 = Conv3d(channels, middle, 1, step, bias=False)
        self.bn1 = nn.BatchNorm3d(middle)
        self.conv_s = Conv3d(middle, middle, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.bn_s = nn.BatchNorm3d(middle)
        if kind != "2d":
            self.conv_t = Conv3d(middle, middle, (3, 1, 1), padding=(1, 0, 0), bias=False)
            self.bn_t = nn.BatchNorm3d(middle)
        self.conv2 = Conv3d(middle, out, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(out)
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                Conv3d(channels, out, 1, step, bias=False), nn.BatchNorm3d(out)
            )

    def _space(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn_s(self.conv_s(x)))

    def _time(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn_t(self.conv_t(x)))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        match self.kind:
            case "A":
                x = self._time(self._space(x))
            case "B":
                x = self._space(x) + self._time(x)
            case "C":
                x = self._space(x)
                x = x + self._time(x)
            case _:
                x = self._space(x)
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class P3D(nn.Module):
    """P3D-63, a pseudo-3D ResNet; the tap is ``avgpool``.

    Args:
        n_classes: size of the logits.
        width: channels of the stem (64 in the paper); the embedding has 32 times as many.
        dropout: probability before the classifier, in [0, 1); 0.5 in the authors' code.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, n_classes: int = 7, *, width: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        check_sizes("P3D", n_classes=n_classes, width=width)
        check_dropout("P3D", dropout)
        self.conv1 = Conv3d(3, width, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.maxpool = nn.MaxPool3d((2, 3, 3), 2, (0, 1, 1), ceil_mode=True)
        # ceil_mode: clips of few frames come down to one frame and stay there
        self.halve = MaxPool3d((2, 1, 1), (2, 1, 1), ceil_mode=True)
        channels, number = width, 0
        for stage, blocks in enumerate(BLOCKS):
            middle, layers = width * 2**stage, []
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                kind = "ABC"[number % 3] if stage < 3 else "2d"
                layers.append(_Bottleneck(channels, middle, stride, kind))
                channels, number = 4 * middle, number + 1
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, n_classes)
        initialise(self, self.fc)

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (n, 3, T, H, W), float, to logits (n, n_classes).

        Raises:
            ValueError: the clips have another shape.
        """
        check_clips("P3D", clips)
        x = self.maxpool(torch.relu(self.bn1(self.conv1(clips))))
        for layer in (self.layer1, self.layer2, self.layer3):
            x = self.halve(layer(x))
        x = self.avgpool(self.layer4(x)).flatten(1)  # (n, 32 * width), the embedding: avgpool
        return self.fc(self.drop(x))
