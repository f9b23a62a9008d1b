"""A handful of rendered clips, prepared for training in a lesson, and how they are trained.

The lessons train in front of the student's eyes, so they take a few people of the embedded data
and a small network. What such a run scores means little; that it runs, falls and resumes is the
point. Everything here is synthetic.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecstfl.clips.augment import AugmentConfig
from ecstfl.clips.config import PreprocessConfig
from ecstfl.clips.preprocess_set import preprocess
from ecstfl.datasets.clipset import ClipSet
from ecstfl.datasets.embedded import find_data, open_embedded
from ecstfl.errors import UserError
from ecstfl.experiments.profiles import choose_methods, get_profile
from ecstfl.labels import CLASSES, label_index
from ecstfl.losses.methods import LossConfig
from ecstfl.models.backbones import BackboneConfig
from ecstfl.runs.config import OptimConfig, RunConfig, hash_clipset

PREPROCESS = PreprocessConfig(frames=8, size=48, margin=-0.12, shift=0.06)
"""As the quick profile, but stored at the size that the network takes."""

PLAIN_VIEW = AugmentConfig(
    size=48, frames=8, scale=0.0, shift=0.0, rotate=0.0, flip=0.0, contrast=0.0
)
"""No augmentation: a clip looks the same each time."""


def practice_clips(
    people_a_fold: int, cache: Path | None = None, *, expressions: Sequence[str] = CLASSES
) -> tuple[ClipSet, np.ndarray]:
    """Prepare the clips of the first people of each fold of the embedded data.

    Takes about a seventh of a second a clip the first time; then they come from the cache.

    Args:
        people_a_fold: 1..40; each person shows seven expressions, and there are five folds.
        cache: folder; default: ``cache`` of the repository, as the command line's.
        expressions: which of them.

    Returns:
        The clip set, and its clips (n, 8, 48, 48, 3) uint8.

    Raises:
        UserError: the embedded data is missing, or the number is out of range.
    """
    if not 1 <= people_a_fold <= 40:
        raise UserError(f"people_a_fold must be 1 to 40, got {people_a_fold}")
    everything = open_embedded(verify=False)
    wanted: set[str] = set()
    for fold in everything.folds:
        people = sorted({clip.group for clip in everything if clip.fold == fold})
        wanted |= set(people[:people_a_fold])
    labels = {label_index(name) for name in expressions}
    chosen = everything.subset(
        [clip.group in wanted and clip.label in labels for clip in everything]
    )
    cache = cache or _cache_folder()
    # in this process: a worker takes longer to start than these few clips to prepare
    prepared = preprocess(chosen, PREPROCESS, cache, workers=0, progress=False)
    return prepared.clipset, np.ascontiguousarray(prepared.clips)


def _cache_folder() -> Path:
    """``cache`` beside the embedded data; where that is read-only, one that may be written."""
    folder = find_data().parent / "cache"
    if os.access(folder if folder.exists() else folder.parent, os.W_OK):
        return folder
    return Path("cache")


def practice_run(
    clipset: ClipSet,
    *,
    method: str = "ec-stfl",
    weight: float = 0.1,
    form: str = "patent",
    seed: int = 0,
    epochs: int = 3,
    backbone: BackboneConfig | None = None,
    augment: AugmentConfig | None = None,
    lr: float = 1e-3,
    weight_decay: float = 1e-2,
) -> RunConfig:
    """Return the configuration of a small run on fold 1 of these clips.

    Args:
        clipset: from :func:`practice_clips`.
        method: ``softmax``, ``ec-stfl`` or a cousin.
        weight: lambda; 0 is taken for ``softmax``.
        form: of EC-STFL.
        seed: of everything that is drawn.
        epochs: passes over the training clips.
        backbone: the network; default: a C3D of width 8.
        augment: default: the quick profile's.
        lr: peak learning rate.
        weight_decay: AdamW's.
    """
    return RunConfig(
        data=clipset.name,
        data_hash=hash_clipset(clipset),
        synthetic=clipset.synthetic,
        profile="lesson",
        fold=1,
        seed=seed,
        preprocess=PREPROCESS,
        augment=augment or AugmentConfig(size=48, frames=8),
        backbone=backbone or BackboneConfig(width=8, fc=64),
        loss=LossConfig(method, form=form, weight=0.0 if method == "softmax" else weight),
        optim=OptimConfig(epochs=epochs, batch=28, lr=lr, weight_decay=weight_decay),
    )


def recipe_run(
    clipset: ClipSet,
    method: str = "ec-stfl",
    *,
    seed: int = 0,
    epochs: int | None = None,
    **net: Any,
) -> RunConfig:
    """Return a run on fold 1 of these clips by the quick profile's own recipe.

    Args:
        clipset: from :func:`practice_clips`.
        method: ``softmax`` or ``ec-stfl``, with the profile's form and weight.
        seed: of everything that is drawn.
        epochs: default: the profile's.
        net: changes of the profile's network, ``width=4`` say.

    Raises:
        UserError: the profile has no such method.
    """
    profile = choose_methods(get_profile("quick"), [method])
    return RunConfig(
        data=clipset.name,
        data_hash=hash_clipset(clipset),
        synthetic=clipset.synthetic,
        profile="lesson",
        fold=1,
        seed=seed,
        preprocess=PREPROCESS,
        augment=profile.augment,
        backbone=replace(profile.backbone, **net),
        loss=profile.methods[0],
        optim=replace(profile.optim, epochs=epochs or profile.optim.epochs),
    )
