"""What is in a batch: m samples of each class, or plain shuffling, and what that means.

EC-STFL sees only what one batch holds: a class with one sample has nothing to be pulled to, an
absent class is not pushed away. At DFEW's class counts a plain batch of 24 holds two or more
Disgust clips 3.5 % of the time (`composition`).

Both samplers are *batch* samplers: they yield lists of indices, for
``DataLoader(..., batch_sampler=sampler)``. Batches are a function of (seed, epoch, rank) alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import hypergeom
from torch.utils.data import Sampler

from ecstfl.labels import CLASSES, DFEW_COUNTS


def _as_labels(labels: Sequence[int] | np.ndarray | torch.Tensor) -> np.ndarray:
    """(n,) int64; ValueError unless one-dimensional integers, n >= 1."""
    array = np.asarray(labels)
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "iu":
        raise ValueError(
            f"labels: expected (n,) integers, n >= 1, got {array.dtype} of shape {array.shape}"
        )
    return array.astype(np.int64)


def _at_least(name: str, value: int, low: int) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name}: expected an integer >= {low}, got {value!r}")
    return int(value)


def _ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Given values, or those of the running process group, or (0, 1)."""
    if (rank is None) != (world_size is None):
        raise ValueError(f"rank and world_size: give both or none, got {rank} and {world_size}")
    if rank is None or world_size is None:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not distributed:
            return 0, 1
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    world_size = _at_least("world_size", world_size, 1)
    if not 0 <= rank < world_size:
        raise ValueError(f"rank: expected 0..{world_size - 1}, got {rank}")
    return rank, world_size


class MPerClassSampler(Sampler[list[int]]):
    """Batches in which every class present has at least ``m`` samples.

    A batch holds ``k = min(classes, batch_size // m)`` classes, as evenly as ``batch_size``
    allows (their counts differ by at most one); the classes take turns when k is less than all.
    The batches form one endless stream: each class is dealt like a deck of cards, shuffled anew
    when it has run out, so that no sample returns before all others of its class have been
    seen, across batches, epochs and ranks, and no sample stands twice in a batch unless its
    class is smaller than its share. Epoch e is a stretch of that stream, so that stopping and
    resuming at epoch e gives the same batches.

    Args:
        labels: (n,) integers.
        m: least number of samples of a class present, >= 1.
        batch_size: samples of one batch on one rank, >= m; the size is always met.
        seed: of the shuffling.
        batches: batches of one epoch on one rank; ``None``: n // (batch_size * world_size),
            at least 1.
        rank: this process; ``None``: asked from `torch.distributed` where it runs.
        world_size: number of processes.

    Raises:
        ValueError: any argument out of range.
    """

    def __init__(
        self,
        labels: Sequence[int] | np.ndarray | torch.Tensor,
        m: int,
        batch_size: int,
        seed: int = 0,
        *,
        batches: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        labels = _as_labels(labels)
        self.m = _at_least("m", m, 1)
        self.batch_size = _at_least("batch_size", batch_size, self.m)
        self.seed = _at_least("seed", seed, 0)
        self.rank, self.world_size = _ranks(rank, world_size)
        if batches is None:
            batches = max(1, len(labels) // (self.batch_size * self.world_size))
        self.batches = _at_least("batches", batches, 1)
        self.epoch = 0
        self._members = [np.flatnonzero(labels == c) for c in np.unique(labels)]
        classes = len(self._members)
        self.classes_per_batch = min(classes, self.batch_size // self.m)
        # share[r]: samples of the class in role r; roles beyond classes_per_batch get none
        k = self.classes_per_batch
        share = np.zeros(classes, dtype=np.int64)
        share[:k] = self.batch_size // k
        share[: self.batch_size % k] += 1
        # In batch t of a round of `classes` batches, position c has role (c - t) mod classes:
        # after one round every position has had every role once, i.e. batch_size samples.
        turn = (np.arange(classes)[None] - np.arange(classes)[:, None]) % classes
        self._counts = share[turn]  # (batch in the round, position)
        self._before = np.cumsum(self._counts, axis=0) - self._counts
        self._most = int(share.max())

    def set_epoch(self, epoch: int) -> None:
        """Choose the stretch of the stream that the next iteration gives."""
        self.epoch = _at_least("epoch", epoch, 0)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        decks: dict[tuple[int, int], np.ndarray] = {}  # of this iteration only
        for step in range(self.batches):
            yield self._batch((self.epoch * self.batches + step) * self.world_size, decks)

    def _batch(self, first: int, decks: dict[tuple[int, int], np.ndarray]) -> list[int]:
        """Batch number ``first + rank`` of the stream."""
        classes = len(self._members)
        turn, t = divmod(first + self.rank, classes)
        # another order of classes in each round: no class keeps the same company
        order = np.random.default_rng((self.seed, 0, turn)).permutation(classes)
        batch = [
            self._deal(c, turn * self.batch_size + self._before[t, position] + card, decks)
            for position, c in enumerate(order)
            for card in range(self._counts[t, position])
        ]
        rng = np.random.default_rng((self.seed, 1, first + self.rank))
        return [int(batch[i]) for i in rng.permutation(len(batch))]

    def _deal(self, c: int, card: int, decks: dict[tuple[int, int], np.ndarray]) -> int:
        """Card number ``card`` of the endless deck of class c."""
        number, place = divmod(int(card), len(self._members[c]))
        if (c, number) not in decks:
            decks[c, number] = self._deck(c, number)
        return decks[c, number][place]

    def _shuffled(self, c: int, number: int) -> np.ndarray:
        return np.random.default_rng((self.seed, 2, c, number)).permutation(self._members[c])

    def _deck(self, c: int, number: int) -> np.ndarray:
        """Deck ``number``: a shuffle whose head avoids the tail of the deck before it.

        A batch may straddle two decks; it must not hold one sample twice.
        """
        most = self._most
        if len(self._members[c]) < 3 * most:  # too few to keep apart: one order, again and again
            return self._shuffled(c, 0)
        deck = self._shuffled(c, number)
        if number > 0:
            tail = set(self._shuffled(c, number - 1)[-most:].tolist())
            # the tail itself is left in place, as the next deck relies on it
            free = [i for i in range(most, len(deck) - most) if deck[i] not in tail]
            for i in range(most):
                if deck[i] in tail:
                    j = free.pop(0)
                    deck[i], deck[j] = deck[j], deck[i]
        return deck


class PlainSampler(Sampler[list[int]]):
    """Shuffled batches: each sample once an epoch, whatever its class.

    Args:
        n: number of samples, >= 1.
        batch_size: samples of one batch on one rank.
        seed: of the shuffling; epoch e is shuffled with (seed, e).
        drop_last: leave out the rest that does not fill a batch on every rank; otherwise the
            last batch of a rank may be short, and ranks share the rest as evenly as possible.
        rank: this process; ``None``: asked from `torch.distributed` where it runs.
        world_size: number of processes.

    Raises:
        ValueError: any argument out of range, or there are fewer samples than ranks.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int = 0,
        *,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        self.rank, self.world_size = _ranks(rank, world_size)
        self.n = _at_least("n", n, self.world_size)
        self.batch_size = _at_least("batch_size", batch_size, 1)
        self.seed = _at_least("seed", seed, 0)
        self.drop_last = drop_last
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the shuffle of the next iteration."""
        self.epoch = _at_least("epoch", epoch, 0)

    def __len__(self) -> int:
        whole, rest = divmod(self.n, self.batch_size * self.world_size)
        # a rest smaller than the number of ranks would leave a rank without a batch
        return whole if self.drop_last or rest < self.world_size else whole + 1

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.n)
        step = self.batch_size * self.world_size
        for start in range(0, len(self) * step, step):
            yield order[start : start + step][self.rank :: self.world_size].tolist()


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
    sizes = [_at_least("counts", c, 0) for c in counts]
    total = sum(sizes)
    batch_size = _at_least("batch_size", batch_size, 1)
    if batch_size > total:
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
    batches: Sequence[Sequence[int]] | Sampler[list[int]],
    labels: Sequence[int] | np.ndarray | torch.Tensor,
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
    labels = _as_labels(labels)
    if labels.min() < 0:
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
