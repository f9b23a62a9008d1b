"""C3D: the patent's backbone (embodiment step 3-1), as in Tran et al. 2015.

============  =======================  ==============================================
layer         kernel / stride          output at full width, 3 x 16 x 112 x 112 input
============  =======================  ==============================================
conv1a        3x3x3                    64 x 16 x 112 x 112
pool1         1x2x2 / 1x2x2            64 x 16 x 56 x 56
conv2a        3x3x3                    128 x 16 x 56 x 56
pool2         2x2x2 / 2x2x2            128 x 8 x 28 x 28
conv3a, 3b    3x3x3                    256 x 8 x 28 x 28
pool3         2x2x2 / 2x2x2            256 x 4 x 14 x 14
conv4a, 4b    3x3x3                    512 x 4 x 14 x 14
pool4         2x2x2 / 2x2x2            512 x 2 x 7 x 7
conv5a, 5b    3x3x3                    512 x 2 x 7 x 7
pool5         2x2x2 / 2x2x2 (ceil)     512 x 1 x 4 x 4 = 8192
fc6           8192 -> 4096             ReLU, dropout
fc7           4096 -> 4096             ReLU, dropout; **the EC-STFL loss is tapped here**
fc8           4096 -> classes          logits
============  =======================  ==============================================

Every pooling rounds up (``ceil_mode=True``), as Caffe does. At 112 x 112 only pool5 meets an
odd size (7 -> 4), which is what makes fc6 see 8192 numbers. Padding pool5 by (0, 1, 1) also
gives 4 x 4 but pools other windows; the two are not interchangeable.

At full width without BatchNorm there are 78,024,455 parameters for 7 classes. The authors'
baseline adds BatchNorm after every convolution (``batch_norm=True``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ecstfl.models.conv3d import Conv3d
from ecstfl.models.pool3d import MaxPool3d

CONVOLUTIONS = (
    ("1a", 1, True),
    ("2a", 2, True),
    ("3a", 4, False),
    ("3b", 4, True),
    ("4a", 8, False),
    ("4b", 8, True),
    ("5a", 8, False),
    ("5b", 8, True),
)
"""Name, channels in units of the first layer's, and whether a pooling follows."""


class C3D(nn.Module):
    """Eight 3x3x3 convolutions and three fully connected layers.

    Layers carry the paper's names (``conv1a`` ... ``conv5b``, ``fc6``, ``fc7``, ``fc8``);
    ``relu7`` is fc7 after its ReLU. Both can be tapped by name for the EC-STFL loss.

    Args:
        n_classes: size of the logits.
        width: channels of conv1a (64 in the paper); all other layers scale with it.
        fc: units of fc6 and fc7 (4096 in the paper).
        frames: T of the input, at least 1.
        size: height and width S of the input in pixels, at least 1.
        dropout: probability after fc6 and fc7, in [0, 1).
        batch_norm: BatchNorm3d after each convolution, as in the authors' baseline.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        n_classes: int = 7,
        *,
        width: int = 64,
        fc: int = 4096,
        frames: int = 16,
        size: int = 112,
        dropout: float = 0.5,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (
            ("n_classes", n_classes),
            ("width", width),
            ("fc", fc),
            ("frames", frames),
            ("size", size),
        ):
            if value < 1:
                raise ValueError(f"C3D: {name} must be at least 1, got {value}")
        if not 0 <= dropout < 1:
            raise ValueError(f"C3D: dropout must be in [0, 1), got {dropout}")
        self.input_shape = (3, frames, size, size)

        channels, t, s = 3, frames, size
        for index, (name, factor, pooled) in enumerate(CONVOLUTIONS):
            out = width * factor
            # A bias before BatchNorm would be subtracted again.
            self.add_module(f"conv{name}", Conv3d(channels, out, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                self.add_module(f"bn{name}", nn.BatchNorm3d(out))
            if pooled:
                step = (1, 2, 2) if index == 0 else (2, 2, 2)  # pool1 keeps every frame
                self.add_module(f"pool{name[0]}", MaxPool3d(step, step, ceil_mode=True))
                t, s = math.ceil(t / step[0]), math.ceil(s / 2)
            channels = out
        self.fc6 = nn.Linear(channels * t * s * s, fc)
        self.relu6 = nn.ReLU()
        self.drop6 = nn.Dropout(dropout)
        self.fc7 = nn.Linear(fc, fc)
        self.relu7 = nn.ReLU()
        self.drop7 = nn.Dropout(dropout)
        self.fc8 = nn.Linear(fc, n_classes)
        self._initialise()

    def _initialise(self) -> None:
        # From scratch and without BatchNorm, eight ReLU layers need He's variance to start at all.
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if isinstance(module, nn.Conv3d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.fc8.weight, std=0.01)  # start near uniform probabilities

    def forward(self, clips: Tensor) -> Tensor:
        """Map clips (n, 3, T, S, S), float, to logits (n, n_classes).

        Raises:
            ValueError: the clips are not of the shape that the network was built for.
        """
        if tuple(clips.shape[1:]) != self.input_shape:
            raise ValueError(
                f"C3D: expected clips of shape (n, {', '.join(map(str, self.input_shape))}), "
                f"got {tuple(clips.shape)}"
            )
        x = clips
        for name, _, pooled in CONVOLUTIONS:
            x = self.get_submodule(f"conv{name}")(x)
            if f"bn{name}" in self._modules:
                x = self.get_submodule(f"bn{name}")(x)
            if pooled:
                # ReLU and maximum commute: pooling first gives the same values and gradients,
                # and leaves ReLU a quarter or an eighth of the numbers to touch.
                x = self.get_submodule(f"pool{name[0]}")(x)
            x = torch.relu(x)
        x = x.flatten(1)  # (n, 8 * width * t * s * s)
        x = self.drop6(self.relu6(self.fc6(x)))
        x = self.drop7(self.relu7(self.fc7(x)))  # the embedding, before dropout: relu7
        return self.fc8(x)
