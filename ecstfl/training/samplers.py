"""What is in a batch: m samples of each class, or plain shuffling, and what that means.

EC-STFL sees only what one batch holds: a class with one sample has nothing to be pulled to, an
absent class is not pushed away. At DFEW's class counts a plain batch of 24 holds two or more
Disgust clips 3.5 % of the time.

Batches are lists of indices, a function of (seed, epoch) alone. Several processes cut up each
batch, not the order of batches.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

from ecstfl.distributed import world_size
from ecstfl.runs.config import OptimConfig


def epoch_batches(
    labels: np.ndarray, config: OptimConfig, seed: int, epoch: int
) -> list[list[int]]:
    """Return the batches of one epoch as lists of indices; a batch of one clip is left out."""
    if config.per_class:
        sampler = MPerClassSampler(labels, config.per_class, config.batch, seed)
        sampler.set_epoch(epoch)
        batches = list(sampler)
    else:
        batches = plain_batches(len(labels), config.batch, seed, epoch)
    return [batch for batch in batches if len(batch) >= _fewest()]


def plain_batches(n: int, batch_size: int, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    """Return shuffled batches: each of n samples once, whatever its class; the last may be short.

    Raises:
        ValueError: any argument out of range.
    """
    _at_least("n", n, 1)
    _at_least("batch_size", batch_size, 1)
    order = np.random.default_rng((seed, epoch)).permutation(n)
    return [order[start : start + batch_size].tolist() for start in range(0, n, batch_size)]


def parts_of_batch(batch: list[int], parts: int) -> list[list[int]]:
    """Cut a batch into equal parts of at least two clips."""
    parts = max(1, min(parts, len(batch) // _fewest()))
    cuts = [round(i * len(batch) / parts) for i in range(parts + 1)]
    return [batch[a:b] for a, b in itertools.pairwise(cuts)]


def _fewest() -> int:
    """BatchNorm has no variance for one clip, and no process may be left without any."""
    return max(2, world_size())


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


class MPerClassSampler(Sampler[list[int]]):
    """Batches in which every class present has at least ``m`` samples.

    A batch holds ``k = min(classes, batch_size // m)`` classes, as evenly as ``batch_size``
    allows (their counts differ by at most one); the classes take turns when k is less than all.
    The batches form one endless stream: each class is dealt like a deck of cards, shuffled anew
    when it has run out, so that no sample returns before all others of its class have been
    seen, across batches and epochs, and no sample stands twice in a batch unless its class is
    smaller than its share. Epoch e is a stretch of that stream, so that stopping and resuming at
    epoch e gives the same batches.

    Args:
        labels: (n,) integers.
        m: least number of samples of a class present, >= 1.
        batch_size: samples of one batch, >= m; the size is always met.
        seed: of the shuffling.
        batches: batches of one epoch; ``None``: n // batch_size, at least 1.

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
    ) -> None:
        labels = _as_labels(labels)
        self.m = _at_least("m", m, 1)
        self.batch_size = _at_least("batch_size", batch_size, self.m)
        self.seed = _at_least("seed", seed, 0)
        if batches is None:
            batches = max(1, len(labels) // self.batch_size)
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
            yield self._batch(self.epoch * self.batches + step, decks)

    def _batch(self, number: int, decks: dict[tuple[int, int], np.ndarray]) -> list[int]:
        """Return batch ``number`` of the stream."""
        classes = len(self._members)
        turn, t = divmod(number, classes)
        # another order of classes in each round: no class keeps the same company
        order = np.random.default_rng((self.seed, 0, turn)).permutation(classes)
        batch = [
            self._deal(c, turn * self.batch_size + self._before[t, position] + card, decks)
            for position, c in enumerate(order)
            for card in range(self._counts[t, position])
        ]
        rng = np.random.default_rng((self.seed, 1, number))
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
