"""The networks to which EC-STFL can be attached (claim 3-1), by name.

=============  ==============================================  =============  ==============
name           network                                         file           tap (claim 3-2)
=============  ==============================================  =============  ==============
c3d            C3D (Tran 2015), the patent's                   c3d.py         relu7
r3d18          R3D-18 (Tran 2018)                              resnet3d.py    avgpool
resnet3d18     3D ResNet-18 (Hara 2018)                        resnet3d.py    avgpool
r2plus1d18     R(2+1)D-18 (Tran 2018)                          resnet3d.py    avgpool
p3d            P3D-63 (Qiu 2017)                               p3d.py         avgpool
i3d            I3D on RGB (Carreira, Zisserman 2017)           i3d.py         avg_pool
vgg11-lstm     VGG11 a frame, LSTM                             cnn_lstm.py    last
resnet18-lstm  ResNet18 a frame, LSTM                          cnn_lstm.py    last
=============  ==============================================  =============  ==============

The paper's seven are all of these but R(2+1)D-18. The tap is the last layer before the
classifier, dropout left out. C3D can also be tapped at fc6, relu6 and fc7; the others have one
fully connected layer only, the classifier.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ecstfl.errors import UserError, one_of
from ecstfl.labels import N_CLASSES
from ecstfl.models import c3d, cnn_lstm, i3d, p3d, resnet3d
from ecstfl.models.tap import Tap

TAPS = {
    "c3d": "relu7",
    "r3d18": "avgpool",
    "resnet3d18": "avgpool",
    "r2plus1d18": "avgpool",
    "p3d": "avgpool",
    "i3d": "avg_pool",
    "vgg11-lstm": "last",
    "resnet18-lstm": "last",
}
"""Where EC-STFL is tapped unless a configuration says otherwise."""

BACKBONES = tuple(TAPS)

TITLES = {
    "c3d": "C3D",
    "r3d18": "R3D-18",
    "resnet3d18": "3D ResNet-18",
    "r2plus1d18": "R(2+1)D-18",
    "p3d": "P3D-63",
    "i3d": "I3D-RGB",
    "vgg11-lstm": "VGG11+LSTM",
    "resnet18-lstm": "ResNet18+LSTM",
}
"""Names for tables and figures."""

WITHOUT_BATCH_NORM = ("c3d", "vgg11-lstm")
"""Networks that can be built without BatchNorm; the others are defined with it."""

C3D_ONLY = ("pool_first", "fc_batch_norm", "open_start")
"""Options of :class:`BackboneConfig` that other networks do not have."""


@dataclass(frozen=True)
class BackboneConfig:
    """The network (claim 3-1) and where the loss is tapped (claim 3-2).

    Attributes:
        name: one of :data:`BACKBONES`.
        width: channels of the first convolution (64 in the paper).
        fc: units of C3D's fully connected layers (4096 in the paper) or of the LSTM; other
            networks have neither.
        dropout: probability, in [0, 1).
        batch_norm: BatchNorm after each convolution, as the authors' baseline has it; only
            C3D and VGG11 can do without.
        tap: name of the layer whose output the EC-STFL loss sees; ``relu7`` is fc7 after its
            ReLU, ``fc7`` before it (the patent does not say which). With ``fc_batch_norm``,
            ``fc6`` and ``fc7`` become ``bn6`` and ``bn7``: the features that BatchNorm bounds. A
            network that is not C3D has no ``relu7`` and takes its own default, see :data:`TAPS`.
        pool_first: C3D only: BatchNorm after the pooling where one follows.
        fc_batch_norm: C3D only: BatchNorm after fc6 and fc7.
        open_start: C3D only: BatchNorm starts so that ReLU lets most numbers pass. For all three
            see :class:`~ecstfl.models.c3d.C3D`.

    Raises:
        UserError: an unknown network, no width, or options that do not go together.
    """

    name: str = "c3d"
    width: int = 16
    fc: int = 256
    dropout: float = 0.2
    batch_norm: bool = True
    tap: str = "relu7"
    pool_first: bool = False
    fc_batch_norm: bool = False
    open_start: bool = False

    def __post_init__(self) -> None:
        one_of("backbone", self.name, BACKBONES)
        if min(self.width, self.fc) < 1:
            raise UserError(
                f"a network needs width >= 1 and fc >= 1, got {self.width} and {self.fc}"
            )
        if not self.batch_norm and self.name not in WITHOUT_BATCH_NORM:
            raise UserError(f"{self.name} is defined with BatchNorm: leave batch_norm on")
        for option in C3D_ONLY:
            if not getattr(self, option):
                continue
            if self.name != "c3d":
                raise UserError(f"{option} is an option of c3d, not of {self.name}: leave it off")
            if option != "fc_batch_norm" and not self.batch_norm:
                raise UserError(f"{option} is about BatchNorm after convolutions: set batch_norm")
        if self.name != "c3d" and self.tap == TAPS["c3d"]:
            # settled here, before anything is hashed: one experiment has one name
            object.__setattr__(self, "tap", TAPS[self.name])
        if self.fc_batch_norm and self.tap in ("fc6", "fc7"):
            object.__setattr__(self, "tap", self.tap.replace("fc", "bn"))


def build_backbone(config: BackboneConfig, frames: int, size: int) -> nn.Module:
    """Build an untrained network for clips (n, 3, frames, size, size), 7 logits.

    Args:
        config: name, width, fc (units of C3D's fully connected layers or of the LSTM; the
            others have none), dropout before the classifier, batch_norm, tap.
        frames: T of the clips.
        size: height and width of the clips in pixels.

    Raises:
        UserError: unknown name, or the network has no layer of the tap's name.
        ValueError: the dropout is out of range.
    """
    model = _build(config, frames, size)
    layers = [name for name, _ in model.named_modules() if name]
    if config.tap not in layers:
        raise UserError(
            f"{config.name} has no layer {config.tap!r} to tap: use {TAPS[config.name]} "
            f"or another of its layers ({', '.join(n for n in layers if '.' not in n)})"
        )
    return model


def _build(config: BackboneConfig, frames: int, size: int) -> nn.Module:
    width, dropout = config.width, config.dropout
    match config.name:
        case "c3d":
            return c3d.C3D(
                N_CLASSES,
                width=width,
                fc=config.fc,
                frames=frames,
                size=size,
                dropout=dropout,
                batch_norm=config.batch_norm,
                pool_first=config.pool_first,
                fc_batch_norm=config.fc_batch_norm,
                open_start=config.open_start,
            )
        case "r3d18":
            return resnet3d.R3D18(N_CLASSES, width=width, dropout=dropout)
        case "resnet3d18":
            return resnet3d.ResNet3D18(N_CLASSES, width=width, dropout=dropout)
        case "r2plus1d18":
            return resnet3d.R2Plus1D18(N_CLASSES, width=width, dropout=dropout)
        case "p3d":
            return p3d.P3D(N_CLASSES, width=width, dropout=dropout)
        case "i3d":
            return i3d.I3D(N_CLASSES, width=width, dropout=dropout)
        case "vgg11-lstm" | "resnet18-lstm":
            return cnn_lstm.CnnLstm(
                config.name.removesuffix("-lstm"),
                N_CLASSES,
                width=width,
                hidden=config.fc,
                dropout=dropout,
                batch_norm=config.batch_norm,
            )
    raise UserError(f"unknown backbone {config.name!r}: use one of {', '.join(BACKBONES)}")


def embedding_size(model: nn.Module, tap: str, frames: int, size: int) -> int:
    """Return d of the tapped embedding for clips (n, 3, frames, size, size).

    Runs one black clip in evaluation mode: no running statistic and no random number is touched.
    """
    device = next(model.parameters()).device
    training = model.training
    try:
        with torch.inference_mode(), Tap(model.eval(), tap) as tapped:
            _, embedding = tapped(torch.zeros(1, 3, frames, size, size, device=device))
    finally:
        model.train(training)
    return embedding.shape[1]
