"""What a network costs before anything is trained: parameters, multiply-adds, embedding size.

Counted on torch's ``meta`` device, where tensors have shapes and no memory: the full-size C3D
takes no time and no space here. Multiply-adds are those of convolutions and matrix products of
one clip in the forward pass (Tran et al. count the same); a recurrent layer's are small beside them
and are left out where torch does not count them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from ecstfl.models.backbones import TITLES, BackboneConfig, build_backbone, embedding_size


@dataclass(frozen=True)
class NetworkCost:
    """One network at one size.

    Attributes:
        name: as in the configuration.
        title: as in tables.
        tap: the layer whose output EC-STFL sees.
        dim: d of that output.
        parameters: numbers that are learned.
        multiply_adds: of one clip, forward.
    """

    name: str
    title: str
    tap: str
    dim: int
    parameters: int
    multiply_adds: int


def network_cost(config: BackboneConfig, frames: int, size: int) -> NetworkCost:
    """Count one network on clips (1, 3, frames, size, size).

    Raises:
        UserError: unknown network or tap.
        ValueError: the network cannot take clips of this size.
    """
    with torch.device("meta"):
        model = build_backbone(config, frames, size).eval()
        with FlopCounterMode(display=False) as counted:
            model(torch.zeros(1, 3, frames, size, size))
        dim = embedding_size(model, config.tap, frames, size)
    return NetworkCost(
        config.name,
        TITLES[config.name],
        config.tap,
        dim,
        sum(p.numel() for p in model.parameters()),
        counted.get_total_flops() // 2,
    )
