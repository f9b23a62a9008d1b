"""A 2D network a frame, an LSTM over the frames: VGG11+LSTM and ResNet18+LSTM.

============  =============================================================
layer         output for 3 x 16 x 112 x 112 at full width
============  =============================================================
trunk         512 x 16 x 3 x 3 (VGG11), 512 x 16 x 4 x 4 (ResNet18)
pool          mean over the positions of each frame: 16 x 512
lstm          hidden state at each frame: 16 x hidden
last          hidden state after the last frame: hidden; **tapped here**
fc            classes
============  =============================================================

The DFEW paper prints no more of these two than their names, so the join is the plainest one:
global mean, one LSTM layer, last state. VGG11's fully connected layers are left out.

A 2D convolution over frames is written as a 3D one with a kernel of depth 1: the same numbers
without folding frames into the batch, and BatchNorm takes its statistics over the same set. A
2D state dict fits the trunk after ``unsqueeze(2)`` of its 4-D weights; names are torchvision's
(``features.0.weight``; ``conv1.weight``, ``layer1.0.conv1.weight``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecstfl.models.common import check_clips, check_dropout, check_sizes, initialise
from ecstfl.models.layers import Conv3d, MaxPool3d


def _convolution(
    channels: int, out: int, kernel: int, stride: int = 1, bias: bool = False
) -> nn.Conv3d:
    """Square kernel in each frame; stride 1 keeps the size."""
    pad = kernel // 2
    return Conv3d(channels, out, (1, kernel, kernel), (1, stride, stride), (0, pad, pad), bias=bias)


class VGG11(nn.Module):
    """The convolutions of VGG configuration A (Simonyan, Zisserman 2015), frame by frame.

    Args:
        width: channels of the first convolution (64 in the paper).
        batch_norm: BatchNorm after each convolution, as in torchvision's ``vgg11_bn``.
    """

    def __init__(self, width: int = 64, batch_norm: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for factor in (1, None, 2, None, 4, 4, None, 8, 8, None, 8, 8, None):
            if factor is None:
                layers.append(MaxPool3d((1, 2, 2)))
                continue
            out = width * factor
            layers.append(_convolution(channels, out, 3, bias=True))
            if batch_norm:
                layers.append(nn.BatchNorm3d(out))
            layers.append(nn.ReLU(inplace=True))
            channels = out
        self.features = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, clips: Tensor) -> Tensor:
        """Map (n, 3, T, H, W) to (n, 8 * width, T, H / 32, W / 32), at least 1 x 1."""
        x = clips
        for layer in self.features:
            # inputs under 32 pixels come down to one pixel before the last pooling
            if isinstance(layer, nn.MaxPool3d) and min(x.shape[3:]) < 2:
                continue
            x = layer(x)
        return x


class _Block(nn.Module):
    """ResNet's basic block, frame by frame."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, out, 3, stride)
        self.bn1 = nn.BatchNorm3d(out)
        self.conv2 = _convolution(out, out, 3)
        self.bn2 = nn.BatchNorm3d(out)
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                _convolution(channels, out, 1, stride), nn.BatchNorm3d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016) without its classifier, frame by frame.

    Args:
        width: channels of the first convolution (64 in the paper).
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv1 = _convolution(3, width, 7, 2)
        self.bn1 = nn.BatchNorm3d(width)
        self.maxpool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        channels = width
        for stage in range(4):
            out, stride = width * 2**stage, 1 if stage == 0 else 2
            blocks = nn.Sequential(_Block(channels, out, stride), _Block(out, out, 1))
            self.add_module(f"layer{stage + 1}", blocks)
            channels = out
        self.channels = channels

    def forward(self, clips: Tensor) -> Tensor:
        """Map (n, 3, T, H, W) to (n, 8 * width, T, H / 32, W / 32), at least 1 x 1."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(clips))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class CnnLstm(nn.Module):
    """A trunk a frame, one LSTM layer, a classifier; the tap is ``last``.

    Args:
        trunk: ``vgg11`` or ``resnet18``.
        n_classes: size of the logits.
        width: channels of the trunk's first convolution (64 in the papers).
        hidden: units of the LSTM, the size of the embedding.
        dropout: probability before the classifier, in [0, 1).
        batch_norm: of VGG11; ResNet18 always has it.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        trunk: str,
        n_classes: int = 7,
        *,
        width: int = 64,
        hidden: int = 512,
        dropout: float = 0.5,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        check_sizes("CnnLstm", n_classes=n_classes, width=width, hidden=hidden)
        check_dropout("CnnLstm", dropout)
        match trunk:
            case "vgg11":
                self.trunk: nn.Module = VGG11(width, batch_norm)
            case "resnet18":
                self.trunk = ResNet18(width)
            case _:
                raise ValueError(f"CnnLstm: trunk must be vgg11 or resnet18, got {trunk!r}")
        self.pool = nn.AdaptiveAvgPool3d((None, 1, 1))
        self.lstm = nn.LSTM(8 * width, hidden, batch_first=True)
        self.last = nn.Identity()
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden, n_classes)
        initialise(self, self.fc)

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (n, 3, T, H, W), float, to logits (n, n_classes).

        Raises:
            ValueError: the clips have another shape.
        """
        check_clips("CnnLstm", clips)
        x = self.pool(self.trunk(clips)).flatten(2)  # (n, 8 * width, T)
        states, _ = self.lstm(x.transpose(1, 2).contiguous())  # (n, T, hidden)
        x = self.last(states[:, -1])  # (n, hidden), the embedding: last
        return self.fc(self.drop(x))
