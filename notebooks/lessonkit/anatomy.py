"""What C3D is made of, by formula: shapes, parameters, multiply-adds, receptive fields.

Nothing here builds a network, but for the two probes at the end; the tests hold the formulas
against :class:`ecstfl.models.c3d.C3D`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ecstfl.models.c3d import C3D

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


@dataclass(frozen=True)
class Layer:
    """One layer and what it costs.

    Attributes:
        name: as in the paper.
        output: shape without the batch: (channels, T, H, W), or (units,).
        parameters: trainable numbers, BatchNorm's included.
        multiply_adds: for one clip, forwards.
        reach: frames and pixels of the input that one output number sees, (time, space), when
            the input is large enough; ``None`` for fully connected layers, which see all.
        step: frames and pixels of the input between two neighbours of the output.
    """

    name: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    reach: tuple[int, int] | None = None
    step: tuple[int, int] | None = None


def c3d_layers(
    n_classes: int = 7,
    *,
    width: int = 64,
    fc: int = 4096,
    frames: int = 16,
    size: int = 112,
    batch_norm: bool = False,
) -> tuple[Layer, ...]:
    """Return the layers of C3D in order; arguments as in :class:`ecstfl.models.c3d.C3D`.

    Source: Tran et al. 2015; every pooling rounds up.
    """
    layers = []
    channels, t, s = 3, frames, size
    reach, step = [1, 1], [1, 1]  # time, space
    for index, (name, factor, pooled) in enumerate(CONVOLUTIONS):
        out = width * factor
        weights = 27 * channels * out
        reach = [r + 2 * j for r, j in zip(reach, step, strict=True)]
        layers.append(
            Layer(
                f"conv{name}",
                (out, t, s, s),
                weights + (2 * out if batch_norm else out),
                weights * t * s * s,
                (reach[0], reach[1]),
                (step[0], step[1]),
            )
        )
        channels = out
        if pooled:
            kernel = (1 if index == 0 else 2, 2)
            t, s = math.ceil(t / kernel[0]), math.ceil(s / 2)
            reach = [r + (k - 1) * j for r, k, j in zip(reach, kernel, step, strict=True)]
            step = [k * j for k, j in zip(kernel, step, strict=True)]
            layers.append(
                Layer(
                    f"pool{name[0]}",
                    (out, t, s, s),
                    0,
                    0,
                    (reach[0], reach[1]),
                    (step[0], step[1]),
                )
            )
    inputs = channels * t * s * s
    for name, units in (("fc6", fc), ("fc7", fc), ("fc8", n_classes)):
        layers.append(Layer(name, (units,), (inputs + 1) * units, inputs * units))
        inputs = units
    return tuple(layers)


def total(layers: Sequence[Layer]) -> tuple[int, int]:
    """Return (parameters, multiply-adds of one clip) of all layers together."""
    return sum(x.parameters for x in layers), sum(x.multiply_adds for x in layers)


def _up_to(net: C3D, layer: str, clips: Tensor) -> Tensor:
    """Run a C3D up to a convolution or pooling; ReLU after each convolution."""
    modules = dict(net.named_children())
    if layer not in modules or not layer.startswith(("conv", "pool")):
        raise ValueError(f"layer: expected a convolution or pooling of C3D, got {layer!r}")
    x = clips
    for name, module in modules.items():
        x = module(x)
        if name == layer:
            break
        if name.startswith("conv"):
            x = torch.relu(x)
    return x


def _centre(features: Tensor) -> Tensor:
    """Sum over the channels of the middle place of (1, c, t, h, w)."""
    t, h, w = (n // 2 for n in features.shape[2:])
    return features[0, :, t, h, w].sum()


def footprint(layer: str, frames: int = 112, size: int = 224) -> tuple[int, int]:
    """Measure the reach of a layer: where does the gradient of one output number arrive?

    A C3D of width 1 with all weights 1 and with means instead of maxima, so that no path is
    blocked and none cancels another.

    Args:
        layer: name of a convolution or pooling.
        frames, size: of the input; larger than the reach, or it is cut off.

    Returns:
        (frames, pixels) that the gradient spans.
    """
    net = C3D(1, width=1, fc=1, frames=frames, size=size, dropout=0)
    for name, module in list(net.named_children()):
        if isinstance(module, nn.Conv3d):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.MaxPool3d):
            mean = nn.AvgPool3d(module.kernel_size, module.stride, ceil_mode=module.ceil_mode)
            setattr(net, name, mean)
    clips = torch.ones(1, 3, frames, size, size, requires_grad=True)
    _centre(_up_to(net, layer, clips)).backward()
    hit = clips.grad[0].abs().sum(dim=0) > 0  # (T, H, W)
    seen = hit.nonzero()
    span = seen.max(dim=0).values - seen.min(dim=0).values + 1
    return int(span[0]), int(span[1])


def sensitivity(
    layer: str,
    *,
    width: int = 8,
    frames: int = 16,
    size: int = 112,
    draws: int = 8,
    seed: int = 0,
) -> Tensor:
    """Measure how much each place of the input moves the middle of a layer, on average.

    Fresh networks with random weights and random input: what the architecture favours before
    any training (the effective receptive field of Luo et al., NeurIPS 2016).

    Args:
        layer: name of a convolution or pooling.
        width: channels of the first convolution.
        frames, size: of the input.
        draws: networks that are averaged.
        seed: of weights and input.

    Returns:
        (frames, size, size) mean absolute gradient, scaled to sum 1.
    """
    draw = torch.Generator().manual_seed(seed)
    mean = torch.zeros(frames, size, size)
    for _ in range(draws):
        net = C3D(1, width=width, fc=1, frames=frames, size=size, dropout=0)
        for module in net.modules():
            if isinstance(module, nn.Conv3d):
                scale = math.sqrt(2 / (27 * module.in_channels))
                with torch.no_grad():
                    module.weight.normal_(generator=draw).mul_(scale)
        clips = torch.randn(1, 3, frames, size, size, generator=draw).requires_grad_()
        _centre(_up_to(net, layer, clips)).backward()
        gradient = clips.grad[0].abs().sum(dim=0)
        mean += gradient / gradient.sum()
    return mean / draws
