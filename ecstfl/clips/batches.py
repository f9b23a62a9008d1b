"""Batches of prepared clips on the device that trains, however large the data set is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ecstfl.clips.cache import StoredClips

SHARE: Final = 0.5
"""Share of a GPU's free memory that clips may take; network and activations need the rest."""

PIECE: Final = 64
"""Clips copied to a GPU at a time: 38 MB at 16 x 112 x 112, which any laptop has."""


class ClipBatches:
    """Some clips of an array, shown as a tensor (n, T, S, S, 3) uint8; indexing makes a batch.

    On a GPU whose free memory has room the clips lie there whole (DFEW: 7.04 GB). Otherwise
    each batch is read when it is asked for, from memory or from the mapped file, so that a data
    set may be larger than the memory of the machine. Both ways give the same numbers.

    Args:
        clips: (m, T, S, S, 3) uint8, in memory or mapped.
        rows: (n,) the clips to show, in this order.
        device: where batches are wanted.
        hold: keep the clips on the device; by default decided by its free memory (CPU: no,
            they are in memory or in the page cache already).
    """

    def __init__(
        self,
        clips: np.ndarray | StoredClips,
        rows: Sequence[int] | np.ndarray,
        device: torch.device | str,
        hold: bool | None = None,
    ) -> None:
        self.device = torch.device(device)
        self._clips, self._rows = clips, np.asarray(rows, dtype=np.int64)
        self._held: Tensor | None = None
        n_bytes = len(self._rows) * int(np.prod(clips.shape[1:], dtype=np.int64))
        if hold if hold is not None else self._has_room(n_bytes):
            shape = (len(self._rows), *clips.shape[1:])
            held = torch.empty(shape, dtype=torch.uint8, device=self.device)
            for start in range(0, len(held), PIECE):
                part = self._read(np.arange(start, min(start + PIECE, len(held))))
                held[start : start + PIECE].copy_(part)
            self._held = held

    @property
    def held(self) -> bool:
        """Whether the clips lie on the device."""
        return self._held is not None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor | Sequence[int] | slice) -> Tensor:
        """(b, T, S, S, 3) uint8 on the device, a tensor of its own.

        Args:
            index: positions 0..n-1, repeats allowed, or a slice.
        """
        if isinstance(index, slice):
            index = range(len(self))[index]
        positions = torch.as_tensor(index, dtype=torch.int64)
        if self._held is None:
            return self._read(positions.cpu().numpy()).to(self.device)
        return self._held.index_select(0, positions.to(self.device))

    def _read(self, positions: np.ndarray) -> Tensor:
        return torch.from_numpy(self._clips[self._rows[positions]])

    def _has_room(self, n_bytes: int) -> bool:
        if self.device.type != "cuda":
            return False
        return n_bytes <= SHARE * torch.cuda.mem_get_info(self.device)[0]
