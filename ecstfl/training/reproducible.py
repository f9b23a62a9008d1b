"""The same run, the same numbers: seeds of an epoch, and torch's deterministic operators."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

from ecstfl.distributed import rank


@contextlib.contextmanager
def reproducible_arithmetic(device: str) -> Iterator[None]:
    """Use torch's deterministic operators on the CPU: a resumed run gives the same bits.

    torch would also fill every new buffer with NaN, to expose operators that read what they have
    not written; ``tests/models/test_layers.py`` looks for those. No bit of a result depends on it.
    """
    before = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(device == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill


def seed_epoch(seed: int, epoch: int) -> torch.Generator:
    """Seed dropout for an epoch, and return the generator that draws its augmentation.

    Processes of one training draw the same augmentation and different dropout.
    """
    torch.manual_seed(_mixed(seed, epoch, 2 + rank()))
    return torch.Generator().manual_seed(_mixed(seed, epoch, 1))


def _mixed(seed: int, epoch: int, stream: int) -> int:
    """Derive an independent 63-bit seed."""
    return int(np.random.SeedSequence([seed, epoch, stream]).generate_state(1, np.uint64)[0] >> 1)
