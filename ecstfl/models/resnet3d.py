"""Residual networks of 18 layers over clips: R3D-18, R(2+1)D-18 and the 3D ResNet-18.

============  ====================================  ====================================
              R3D-18, R(2+1)D-18 (Tran 2018)        3D ResNet-18 (Hara 2018)
============  ====================================  ====================================
stem          3x7x7 / 1x2x2, 64; or 1x7x7 / 1x2x2,  7x7x7 / 1x2x2, 64
              45 and 3x1x1, 64
pooling       none                                  maximum 3x3x3 / 2x2x2
layer1 .. 4   2 blocks each of 64, 128, 256, 512    the same
first block   1x1x1 convolution with BatchNorm      every other position, missing channels
of layer2-4                                         filled with zeros ("type A"): no weights
layer4 of a   512 x 2 x 7 x 7                       512 x 1 x 4 x 4
112 px clip
avgpool       512; **tapped here**                  512; **tapped here**
parameters    33,371,472 and 31,505,325             33,235,280
(400 classes)
============  ====================================  ====================================

So "R3D18" and "3D ResNet18", two rows of the paper's table, are two networks: the second sees a
quarter of the positions in space and half of those in time, an eighth of layer1's work.

R3D-18 and R(2+1)D-18 carry torchvision's parameter names (``stem.0.weight``,
``layer1.0.conv1.0.weight``, ...), the 3D ResNet-18 those of 2D ResNets (``conv1.weight``,
``layer1.0.bn1.weight``, ...), so that published weights load by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecstfl.models.common import check_clips, check_dropout, check_sizes, initialise
from ecstfl.models.layers import Conv3d


class _Block(nn.Module):
    """Two convolutions and a shortcut, named as torchvision's."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            self._convolution(channels, out, channels, stride),
            nn.BatchNorm3d(out),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(self._convolution(out, out, channels, 1), nn.BatchNorm3d(out))
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                Conv3d(channels, out, 1, stride, bias=False), nn.BatchNorm3d(out)
            )

    def _convolution(self, channels: int, out: int, entering: int, stride: int) -> nn.Module:
        return Conv3d(channels, out, 3, stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.conv2(self.conv1(x)) + shortcut)


class _FactorisedBlock(_Block):
    """The same with every 3x3x3 convolution split into space and time."""

    def _convolution(self, channels: int, out: int, entering: int, stride: int) -> nn.Module:
        # The paper's M: the pair has as many weights as one 3x3x3 convolution from what enters the
        # block to ``out``. The published weights use it for the second pair too.
        middle = max(1, entering * out * 27 // (entering * 9 + 3 * out))
        return nn.Sequential(
            Conv3d(channels, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            Conv3d(middle, out, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )


class _PlainBlock(nn.Module):
    """Two 3x3x3 convolutions, named as in 2D ResNets, with a shortcut without weights."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride, self.missing = stride, out - channels
        self.conv1 = Conv3d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(out)
        self.conv2 = Conv3d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(out)

    def forward(self, x: Tensor) -> Tensor:
        s = self.stride
        shortcut = x[:, :, ::s, ::s, ::s]
        if self.missing:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, 0, 0, self.missing))
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class _Residual18(nn.Module):
    """An entry, four stages of two blocks, mean over all positions, dropout, classifier.

    Args:
        n_classes: size of the logits.
        width: channels of the first convolution (64 in the paper); the embedding has 8 times as
            many.
        dropout: probability before the classifier, in [0, 1); none in the paper.

    Raises:
        ValueError: an argument is out of range.
    """

    block: type[nn.Module]

    def __init__(self, n_classes: int = 7, *, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, n_classes=n_classes, width=width)
        check_dropout(name, dropout)
        self._add_entry(width)  # first, so that parameters are in the usual order
        channels = width
        for stage in range(4):
            out, stride = width * 2**stage, 1 if stage == 0 else 2
            stages = nn.Sequential(self.block(channels, out, stride), self.block(out, out, 1))
            self.add_module(f"layer{stage + 1}", stages)
            channels = out
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, n_classes)
        initialise(self, self.fc)

    def _add_entry(self, width: int) -> None:
        raise NotImplementedError

    def _enter(self, clips: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (n, 3, T, H, W), float, to logits (n, n_classes).

        Raises:
            ValueError: the clips have another shape.
        """
        check_clips(type(self).__name__, clips)
        x = self._enter(clips)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.avgpool(x).flatten(1)  # (n, 8 * width), the embedding: avgpool
        return self.fc(self.drop(x))


class R3D18(_Residual18):
    """R3D-18: 3x3x3 convolutions in residual blocks; the tap is ``avgpool``.

    The same state dict gives the same logits as torchvision's ``r3d_18``.
    """

    block = _Block

    def _add_entry(self, width: int) -> None:
        self.stem = nn.Sequential(
            Conv3d(3, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )

    def _enter(self, clips: Tensor) -> Tensor:
        return self.stem(clips)


class R2Plus1D18(R3D18):
    """R(2+1)D-18: R3D-18 with its convolutions split into space and time.

    The same state dict gives the same logits as torchvision's ``r2plus1d_18``.
    """

    block = _FactorisedBlock

    def _add_entry(self, width: int) -> None:
        middle = max(1, 45 * width // 64)  # the authors' 45; their formula for M would give 83
        self.stem = nn.Sequential(
            Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            Conv3d(middle, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )


class ResNet3D18(_Residual18):
    """3D ResNet-18 of Hara et al. (CVPR 2018), shortcut type A; the tap is ``avgpool``."""

    block = _PlainBlock

    def _add_entry(self, width: int) -> None:
        self.conv1 = Conv3d(3, width, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.maxpool = nn.MaxPool3d(3, 2, 1)

    def _enter(self, clips: Tensor) -> Tensor:
        return self.maxpool(torch.relu(self.bn1(self.conv1(clips))))
