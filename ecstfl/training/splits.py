"""Who trains and who is held out: whole folds, and of smaller training sets whole people.

And which labels they train on: those of the data set, or with some made wrong on purpose.
"""

from __future__ import annotations

import numpy as np

from ecstfl.datasets.clipset import ClipSet
from ecstfl.errors import UserError
from ecstfl.labels import N_CLASSES
from ecstfl.metrics.intervals import people
from ecstfl.runs.config import RunConfig


def split_clips(clipset: ClipSet, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return (train, held-out) indices into ``clipset``, both (k,) int64.

    With ``evaluate="validation"`` the fold after the test fold is held out and the test fold
    is in neither part.

    Raises:
        UserError: no such fold, a group on both sides, or a part that is empty.
    """
    clipset.split(config.fold)  # checks the fold and its groups
    folds = np.array([-1 if clip.fold is None else clip.fold for clip in clipset])
    held_out, train = folds == config.fold, folds != config.fold
    if config.evaluate == "validation":
        if len(clipset.folds) < 3:
            raise UserError("validation needs at least three folds: one to test, one to validate")
        following = clipset.folds[(clipset.folds.index(config.fold) + 1) % len(clipset.folds)]
        clipset.subset(~held_out).split(following)
        held_out, train = folds == following, train & (folds != following)
    if not held_out.any() or not train.any():
        raise UserError(f"fold {config.fold} leaves no clips to train on or to score")
    if config.train_groups:
        who = people(clipset.groups)
        train &= np.isin(who, _drawn_people(who[train], config))
    return np.flatnonzero(train), np.flatnonzero(held_out)


def _drawn_people(who: np.ndarray, config: RunConfig) -> np.ndarray:
    """Draw the people of a smaller training set: a larger set holds every smaller one."""
    known = np.unique(who)
    if config.train_groups > len(known):
        raise UserError(f"train_groups is {config.train_groups}, but only {len(known)} can train")
    return np.random.default_rng(config.seed).permutation(known)[: config.train_groups]


def training_labels(clipset: ClipSet, train: np.ndarray, config: RunConfig) -> np.ndarray:
    """Return the labels (k,) int64 to train on, a share of them wrong if the run says so.

    With ``label_noise`` that share of the clips, rounded, gets one of the other classes, each as
    likely as the others. Every method with the same fold and seed trains on the same labels.
    """
    labels = clipset.labels[train].copy()
    draws = np.random.default_rng([config.seed, config.fold])
    wrong = draws.permutation(len(labels))[: round(config.label_noise * len(labels))]
    labels[wrong] = (labels[wrong] + draws.integers(1, N_CLASSES, len(wrong))) % N_CLASSES
    return labels
