"""What a plain batch holds of each class, and what EC-STFL can do with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from ecstfl.labels import CLASSES, DFEW_COUNTS


@dataclass(frozen=True)
class Composition:
    """Chances of one class in a plain batch, each 0..1.

    Attributes:
        name: of the class.
        share: of the class in the data.
        missing: no sample in the batch: nothing is pushed away from it.
        alone: exactly one: its numerator is 0, nothing is pulled together.
        pair: two or more: the loss can do its work.
    """

    name: str
    share: float
    missing: float
    alone: float
    pair: float


def composition(
    batch_size: int = 24,
    counts: Sequence[int] = DFEW_COUNTS,
    names: Sequence[str] | None = None,
) -> tuple[Composition, ...]:
    """How often each class is missing, alone, or usable in a plain shuffled batch.

    Exact (hypergeometric: a batch is drawn from the data without replacement).

    Args:
        batch_size: 1..sum(counts).
        counts: samples of each class; the default is DFEW's.
        names: of the classes; the default is `CLASSES` for seven, else their numbers.

    Returns:
        One `Composition` for each class, in the order given.

    Raises:
        ValueError: counts or batch size out of range, or names of another length.

    Example:
        >>> disgust = composition(24)[5]
        >>> disgust.name, round(disgust.missing, 3), round(disgust.pair, 3)
        ('Disgust', 0.741, 0.035)
    """
    sizes = [int(c) for c in counts]
    total = sum(sizes)
    if min(sizes) < 0:
        raise ValueError(f"counts: expected integers >= 0, got {min(sizes)}")
    if not 1 <= batch_size <= total:
        raise ValueError(f"batch_size: expected 1..{total} (all samples), got {batch_size}")
    if names is None:
        names = CLASSES if len(sizes) == len(CLASSES) else [str(i) for i in range(len(sizes))]
    if len(names) != len(sizes):
        raise ValueError(f"names: expected {len(sizes)}, one for each count, got {len(names)}")
    rows = []
    for name, size in zip(names, sizes, strict=True):
        drawn = hypergeom(total, size, batch_size)
        missing, alone = float(drawn.pmf(0)), float(drawn.pmf(1))
        pair = float(drawn.sf(1))
        rows.append(Composition(name, size / total, missing, alone, pair))
    return tuple(rows)


def observed_composition(
    batches: Iterable[Sequence[int]],
    labels: Sequence[int] | np.ndarray,
    names: Sequence[str] | None = None,
) -> tuple[Composition, ...]:
    """The same table, counted over batches that a sampler really gave.

    Args:
        batches: lists of indices into ``labels``.
        labels: (n,) integers >= 0.
        names: of the classes 0..max(labels).

    Raises:
        ValueError: labels are no integers >= 0, no batches, or names of another length.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(f"labels: expected integers >= 0, got {labels.min()}")
    size = int(labels.max()) + 1
    if names is None:
        names = CLASSES if size <= len(CLASSES) else [str(i) for i in range(size)]
        names = names[:size]
    if len(names) != size:
        raise ValueError(f"names: expected {size}, one for each class, got {len(names)}")
    held = np.array([np.bincount(labels[list(batch)], minlength=size) for batch in batches])
    if len(held) == 0:
        raise ValueError("batches: expected at least one, got none")
    share = np.bincount(labels, minlength=size) / len(labels)
    return tuple(
        Composition(
            name,
            float(share[c]),
            float((held[:, c] == 0).mean()),
            float((held[:, c] == 1).mean()),
            float((held[:, c] >= 2).mean()),
        )
        for c, name in enumerate(names)
    )
