"""Who trains and who is held out: whole folds, and of smaller training sets whole people.

And which labels they train on: those of the data set, of few raters, or some made wrong on purpose.
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

    With ``votes`` the label is what most of that many raters say, and a tie is drawn. With
    ``label_noise`` that share of the clips, rounded, gets one of the other classes, each as
    likely as the others. Every method with the same fold and seed trains on the same labels.

    Raises:
        UserError: more votes are asked for than a clip has.
    """
    labels = _voted(clipset, train, config) if config.votes else clipset.labels[train].copy()
    draws = np.random.default_rng([config.seed, config.fold])
    wrong = draws.permutation(len(labels))[: round(config.label_noise * len(labels))]
    labels[wrong] = (labels[wrong] + draws.integers(1, N_CLASSES, len(wrong))) % N_CLASSES
    return labels


def _voted(clipset: ClipSet, train: np.ndarray, config: RunConfig) -> np.ndarray:
    """Ask some of each clip's raters: (k,) int64."""
    draws = np.random.default_rng([config.seed, config.fold, config.votes])
    labels = np.empty(len(train), dtype=np.int64)
    for row, clip in enumerate(clipset.clips[i] for i in train):
        if sum(clip.votes) < config.votes:
            raise UserError(
                f"data set {clipset.name}: {config.votes} votes a clip are asked for, and "
                f"{clip.id!r} has {sum(clip.votes)}: ask for fewer, or train on the labels"
            )
        raters = np.repeat(np.arange(N_CLASSES), clip.votes)
        asked = np.bincount(draws.permutation(raters)[: config.votes], minlength=N_CLASSES)
        labels[row] = draws.choice(np.flatnonzero(asked == asked.max()))
    return labels
