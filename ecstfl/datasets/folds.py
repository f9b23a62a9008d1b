"""Who is tested when: making folds, and refusing folds that leak or leave nothing to learn.

A *group* is whoever must not stand on both sides of a split: a person, an actor, a film.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ecstfl.datasets.clipset import ClipSet
from ecstfl.datasets.findings import Finding, Inspection, few
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES

N_FOLDS: Final = 5

LEAST_TO_MAP: Final = 4
"""Test clips below which no map is drawn: UMAP's start needs more points than dimensions."""


def assign_folds(clipset: ClipSet, folds: int = N_FOLDS) -> ClipSet:
    """Give every clip a test fold: classes spread evenly, no group on both sides.

    scikit-learn's ``StratifiedGroupKFold`` with a fixed seed; a clip without a group is a group
    of its own.

    Args:
        clipset: labelled clips.
        folds: how many; fewer when there are fewer groups.

    Raises:
        UserError: all clips belong to one group, so no split is possible.
    """
    groups = np.array([c.group or f"\0{i}" for i, c in enumerate(clipset)])
    count = min(folds, len(set(groups)))
    if count < 2:
        raise UserError(
            f"data set {clipset.name}: all {len(clipset)} clips belong to one group; give at "
            "least two groups (people, films) or none"
        )
    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=0)
    labels = clipset.labels
    with warnings.catch_warnings():
        # scikit-learn warns, or refuses when every class is rarer than the number of folds;
        # a rare class then simply misses from some folds, which the reader says
        warnings.simplefilter("ignore", UserWarning)
        try:
            parts = [test for _, test in splitter.split(labels, labels, groups)]
        except ValueError:
            order = {g: i for i, g in enumerate(dict.fromkeys(groups))}
            index = np.array([order[g] % count for g in groups])
            parts = [np.flatnonzero(index == k) for k in range(count)]
    fold = np.zeros(len(clipset), dtype=int)
    for number, test in enumerate(parts, start=1):
        fold[test] = number
    # a fold can come out empty when one group dominates: number the others without a gap
    renumber = {int(f): i for i, f in enumerate(sorted(set(fold.tolist())), start=1)}
    clips = tuple(replace(c, fold=renumber[int(f)]) for c, f in zip(clipset, fold, strict=True))
    return replace(clipset, clips=clips)


def leaking_groups(
    clipset: ClipSet, places: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """Report groups (people, films) whose clips are tested in more than one fold.

    Args:
        clipset: the clips.
        places: clip id -> where it is listed (file and line), for the sentence.
    """
    folds: dict[str, dict[int, str]] = {}  # group -> fold -> its first clip
    for clip in clipset:
        if clip.group and clip.fold is not None:
            folds.setdefault(clip.group, {}).setdefault(clip.fold, clip.id)
    leaking = tuple(sorted(group for group, seen in folds.items() if len(seen) > 1))
    if not leaking:
        return ()
    first = [
        f"{clip} in fold {fold}" + (f" ({places[clip]})" if places and clip in places else "")
        for fold, clip in list(folds[leaking[0]].items())[:2]
    ]
    text = (
        f"data set {clipset.name}: {len(leaking)} group(s) are in more than one fold: "
        f"{few(leaking)} (first: {' and '.join(first)}); training and test would share them, "
        "results would be inflated"
    )
    return (Finding("group-across-folds", "error", text, leaking),)


def too_small(clipset: ClipSet, cure: str = "add clips or people") -> tuple[Finding, ...]:
    """Report folds that cannot be trained or mapped: also to be asked right before training.

    What is trained on must show two expressions at least, since there is nothing to tell apart
    in one; a map of features needs :data:`LEAST_TO_MAP` test clips.

    Args:
        clipset: clips with folds, for example those that are left after preprocessing.
        cure: what to do, the end of the sentence.

    Returns:
        ``one-fold`` or ``too-small-to-train`` (errors), ``too-small-to-map`` (warning).
    """
    name, folds = f"data set {clipset.name}", clipset.folds
    if len(folds) == 1:
        text = (
            f"{name}: all {len(clipset)} clips are in fold {folds[0]}, which leaves none to train "
            f"on; {cure}"
        )
        return (Finding("one-fold", "error", text, (str(folds[0]),)),)
    found = []
    for fold in folds:
        train = Counter(c.label for c in clipset if c.fold != fold and c.label is not None)
        if len(train) < 2:
            shown = ", ".join(f"{n} clip(s) of {CLASSES[k]}" for k, n in train.items())
            text = (
                f"{name}: without fold {fold} only {shown or 'no clips'} are left to train on, and "
                f"at least two expressions are needed; {cure}"
            )
            found.append(Finding("too-small-to-train", "error", text, (str(fold),)))
            break
    sizes = Counter(c.fold for c in clipset if c.fold is not None)
    small = [str(fold) for fold in folds if sizes[fold] < LEAST_TO_MAP]
    if small:
        text = (
            f"{name}: fold(s) {few(small)} have fewer than {LEAST_TO_MAP} test clips: there will "
            "be a table, but no map of their features"
        )
        found.append(Finding("too-small-to-map", "warning", text, tuple(small)))
    return tuple(found)


def with_folds(
    clipset: ClipSet,
    findings: tuple[Finding, ...],
    layout: str,
    places: Mapping[str, str] | None = None,
) -> Inspection:
    """Finish the inspection of clips that people bring: make folds when there are none.

    Args:
        clipset: labelled clips, all of them with a fold or none.
        findings: what is known to be wrong already; with an error no folds are made.
        layout: what was recognised, in words.
        places: clip id -> where it is listed, for sentences.

    Returns:
        The clips with folds and, besides ``findings``, what is doubtful about classes, groups
        and the size of the folds.
    """
    found, shown = list(findings), Counter(clip.label for clip in clipset)
    absent = [name for label, name in enumerate(CLASSES) if not shown[label]]
    if absent:
        text = f"no clips of {', '.join(absent)}"
        found.append(Finding("class-missing", "warning", text, tuple(absent)))
    groupless = tuple(clip.id for clip in clipset if not clip.group)
    if groupless:
        text = (
            f"{len(groupless)} of {len(clipset)} clips have no group: if one person is in several "
            "clips, training and test share that person and results are inflated"
        )
        found.append(Finding("no-groups", "warning", text, groupless))
    found.extend(leaking_groups(clipset, places))
    sound = len(clipset) > 0 and not any(f.severity == "error" for f in found)
    if sound and not clipset.folds:
        try:
            clipset = assign_folds(clipset)
        except UserError as problem:
            found.append(Finding("one-group", "error", str(problem), (clipset.clips[0].group,)))
            return Inspection(clipset, tuple(found), layout=layout)
        made = len(clipset.folds)
        note = f"{made} stratified group folds made here (scikit-learn, seed 0)."
        clipset = replace(clipset, notes=(*clipset.notes, note))
        tested = {(clip.label, clip.fold) for clip in clipset}
        rare = [
            CLASSES[c] for c in sorted(shown) if any((c, f) not in tested for f in clipset.folds)
        ]
        if rare:
            text = f"{', '.join(rare)}: too few clips or groups to be in each of {made} folds"
            found.append(Finding("class-not-in-every-fold", "warning", text, tuple(rare)))
    if sound:
        found.extend(too_small(clipset))
    return Inspection(clipset, tuple(found), layout=layout)
