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

Three more options are this project's own, for training from scratch in few epochs; none of them
changes the layers above (see the recipe in ``docs/``):

* ``pool_first``: BatchNorm after the pooling, not before it. It then touches a quarter or an eighth
  of the numbers.
* ``open_start``: BatchNorm starts with bias 1 (and weight 0.7 where a pooling comes before it), so
  that ReLU lets most numbers pass. Eight layers without shortcuts learn faster while they are
  nearly linear.
* ``fc_batch_norm``: BatchNorm after fc6 and fc7. Each feature that the loss sees then has a fixed
  spread over the batch, so that no class can be sent further and further away.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ecstfl.models.common import check_dropout, check_sizes
from ecstfl.models.layers import Conv3d, MaxPool3d


class C3D(nn.Module):
    """Eight 3x3x3 convolutions and three fully connected layers.

    Layers carry the paper's names (``conv1a`` ... ``conv5b``, ``fc6``, ``fc7``, ``fc8``);
    ``relu7`` is fc7 after its ReLU. Both can be tapped by name for the EC-STFL loss. With
    ``fc_batch_norm`` fc7 is followed by ``bn7``: tap this or ``relu7`` for bounded features.

    Args:
        n_classes: size of the logits.
        width: channels of conv1a (64 in the paper); all other layers scale with it.
        fc: units of fc6 and fc7 (4096 in the paper).
        frames: T of the input, at least 1.
        size: height and width S of the input in pixels, at least 1.
        dropout: probability after fc6 and fc7, in [0, 1).
        batch_norm: BatchNorm3d after each convolution, as in the authors' baseline.
        pool_first: where a pooling follows, conv -> pool -> BatchNorm -> ReLU instead of
            conv -> BatchNorm -> pool -> ReLU.
        fc_batch_norm: BatchNorm between fc6, fc7 and their ReLU.
        open_start: every BatchNorm starts with bias 1 instead of 0, and those behind a pooling
            with weight 0.7 instead of 1.

    Raises:
        ValueError: an argument is out of range, or an option needs another one.
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
        pool_first: bool = False,
        fc_batch_norm: bool = False,
        open_start: bool = False,
    ) -> None:
        super().__init__()
        check_sizes("C3D", n_classes=n_classes, width=width, fc=fc, frames=frames, size=size)
        check_dropout("C3D", dropout)
        if (pool_first or open_start) and not batch_norm:
            raise ValueError("C3D: pool_first and open_start are about BatchNorm: set batch_norm")
        self.input_shape = (3, frames, size, size)
        self.pool_first = pool_first

        def conv(inputs: int, outputs: int) -> nn.Module:
            # A bias before BatchNorm would be subtracted again.
            return Conv3d(inputs, outputs, 3, padding=1, bias=not batch_norm)

        def norm(channels: int) -> nn.Module:
            return nn.BatchNorm3d(channels) if batch_norm else nn.Identity()

        def pool(*window: int) -> nn.Module:
            return MaxPool3d(window, window, ceil_mode=True)

        w = width
        self.conv1a, self.bn1a, self.pool1 = conv(3, w), norm(w), pool(1, 2, 2)  # keeps all frames
        self.conv2a, self.bn2a, self.pool2 = conv(w, 2 * w), norm(2 * w), pool(2, 2, 2)
        self.conv3a, self.bn3a = conv(2 * w, 4 * w), norm(4 * w)
        self.conv3b, self.bn3b, self.pool3 = conv(4 * w, 4 * w), norm(4 * w), pool(2, 2, 2)
        self.conv4a, self.bn4a = conv(4 * w, 8 * w), norm(8 * w)
        self.conv4b, self.bn4b, self.pool4 = conv(8 * w, 8 * w), norm(8 * w), pool(2, 2, 2)
        self.conv5a, self.bn5a = conv(8 * w, 8 * w), norm(8 * w)
        self.conv5b, self.bn5b, self.pool5 = conv(8 * w, 8 * w), norm(8 * w), pool(2, 2, 2)
        t, s = math.ceil(frames / 16), math.ceil(size / 32)  # what the poolings leave
        self.fc6 = nn.Linear(8 * w * t * s * s, fc, bias=not fc_batch_norm)
        self.bn6 = nn.BatchNorm1d(fc) if fc_batch_norm else nn.Identity()
        self.relu6, self.drop6 = nn.ReLU(), nn.Dropout(dropout)
        self.fc7 = nn.Linear(fc, fc, bias=not fc_batch_norm)
        self.bn7 = nn.BatchNorm1d(fc) if fc_batch_norm else nn.Identity()
        self.relu7, self.drop7 = nn.ReLU(), nn.Dropout(dropout)
        self.fc8 = nn.Linear(fc, n_classes)
        self._initialise(open_start)

    def _initialise(self, open_start: bool) -> None:
        # From scratch and without BatchNorm, eight ReLU layers need He's variance to start at all.
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if isinstance(module, nn.Conv3d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.fc8.weight, std=0.01)  # start near uniform probabilities
        if open_start:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm3d | nn.BatchNorm1d):
                    nn.init.ones_(module.bias)
            if self.pool_first:
                for norm in (self.bn1a, self.bn2a, self.bn3b, self.bn4b, self.bn5b):
                    nn.init.constant_(norm.weight, 0.7)

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
        relu = torch.relu
        x = relu(self._norm_and_pool(self.conv1a(clips), self.bn1a, self.pool1))
        x = relu(self._norm_and_pool(self.conv2a(x), self.bn2a, self.pool2))
        x = relu(self.bn3a(self.conv3a(x)))
        x = relu(self._norm_and_pool(self.conv3b(x), self.bn3b, self.pool3))
        x = relu(self.bn4a(self.conv4a(x)))
        x = relu(self._norm_and_pool(self.conv4b(x), self.bn4b, self.pool4))
        x = relu(self.bn5a(self.conv5a(x)))
        x = relu(self._norm_and_pool(self.conv5b(x), self.bn5b, self.pool5))
        x = x.flatten(1)  # (n, 8 * width * t * s * s)
        x = self.drop6(self.relu6(self.bn6(self.fc6(x))))
        x = self.drop7(self.relu7(self.bn7(self.fc7(x))))  # the loss sees relu7, before dropout
        return self.fc8(x)

    def _norm_and_pool(self, x: Tensor, norm: nn.Module, pool: nn.Module) -> Tensor:
        """BatchNorm and pooling in the order of this network; ReLU comes after both.

        ReLU and maximum commute: pooling before ReLU gives the same values and gradients, and
        leaves ReLU a quarter or an eighth of the numbers to touch. BatchNorm and maximum do not.
        """
        return norm(pool(x)) if self.pool_first else pool(norm(x))
