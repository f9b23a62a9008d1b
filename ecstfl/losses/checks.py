"""What every loss refuses: features or labels of a wrong shape or type, and numbers like nan."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def check_batch(embeddings: Tensor, labels: Tensor) -> None:
    """Check that embeddings are (n, d) finite floats and labels (n,) integers beside them.

    Raises:
        ValueError: they are not; the message tells what was expected, got, and where.
    """
    if not isinstance(embeddings, Tensor) or not isinstance(labels, Tensor):
        raise ValueError(
            "embeddings and labels: expected two torch tensors, "
            f"got {type(embeddings).__name__} and {type(labels).__name__}"
        )
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings: expected shape (n, d), got {tuple(embeddings.shape)}")
    if not embeddings.is_floating_point():
        raise ValueError(f"embeddings: expected a real floating dtype, got {embeddings.dtype}")
    n, d = embeddings.shape
    if n == 0 or d == 0:
        raise ValueError(f"embeddings: expected n >= 1 and d >= 1, got shape ({n}, {d})")
    if tuple(labels.shape) != (n,):
        raise ValueError(f"labels: expected shape ({n},), got {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels: expected an integer dtype, got {labels.dtype}")
    if labels.device != embeddings.device:
        raise ValueError(
            f"labels: expected device {embeddings.device} (as the embeddings), got {labels.device}"
        )
    # Reading a value would break the graph of torch.compile; there the caller answers for it.
    if torch.compiler.is_compiling():
        return
    # A nan or inf anywhere makes the sum non-finite: one cheap pass. The search comes only then,
    # and finds nothing where finite numbers overflowed the sum.
    if not math.isfinite(embeddings.detach().sum().item()):
        bad = (~torch.isfinite(embeddings)).nonzero()
        if len(bad):
            i, k = bad[0].tolist()
            raise ValueError(
                f"embeddings: expected finite values, got {embeddings[i, k].item()} at "
                f"[{i}, {k}] ({len(bad)} such value(s) in all)"
            )


def check_labels(labels: Tensor, classes: int, why: str = "") -> None:
    """Check that labels are 0..classes-1; not inside torch.compile.

    Raises:
        ValueError: gives the lowest and the highest label.
    """
    if torch.compiler.is_compiling() or not len(labels):
        return
    low, high = torch.stack(torch.aminmax(labels)).tolist()
    if low < 0 or high >= classes:
        raise ValueError(f"labels: expected 0..{classes - 1}{why}, got {low}..{high}")
