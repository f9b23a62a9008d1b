"""All landed runs of a folder, and those that may be compared: softmax beside another method.

:mod:`lessonkit.stamp` reads and checks one run; here they are found and paired, so that a lesson
needs no run's id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecstfl.errors import UserError
from lessonkit.stamp import Precomputed, landed, load_precomputed


def landed_runs(folder: str = "quick", *, evaluate: str = "test") -> list[Precomputed]:
    """Read the finished runs of one landed folder, in the order of fold, seed and name.

    Args:
        folder: below ``results/landed``.
        evaluate: ``test`` or ``validation``: which kind of runs.

    Raises:
        UserError: there is none, or a file is missing or was changed.
    """
    place = landed(folder) / "runs"
    found = [load_precomputed(path.parent) for path in sorted(place.glob("*/run.json"))]
    found = [one for one in found if one.run["config"]["evaluate"] == evaluate]
    if not found:
        raise UserError(f"no finished {evaluate} run in {place}: restore it from the repository")
    return sorted(
        found,
        key=lambda one: (one.run["config"]["fold"], one.run["config"]["seed"], one.run["name"]),
    )


def landed_pairs(
    folder: str = "quick",
    method: str = "ec-stfl",
    *,
    form: str = "patent",
    weight: float | None = None,
) -> list[tuple[Precomputed, Precomputed]]:
    """Return (softmax only, method) of equal fold, seed and settings, on the same test clips.

    Args:
        folder: below ``results/landed``.
        method: as in :class:`ecstfl.runs.config.LossConfig`.
        form: of EC-STFL; other methods have no forms.
        weight: lambda; may be left out where all pairs have the same.

    Raises:
        UserError: there is no such pair, or pairs of several weights and none was asked for, or a
            file is missing or was changed.
    """
    pairs = []
    runs = landed_runs(folder)
    for first in runs:
        for second in runs:
            one, other = dict(first.run["config"]), dict(second.run["config"])
            plain, joint = one.pop("loss"), other.pop("loss")
            if (plain["method"], joint["method"]) != ("softmax", method) or one != other:
                continue
            if joint["form"] != form or weight not in (None, joint["weight"]):
                continue
            if np.array_equal(first.features["ids"], second.features["ids"]):
                pairs.append((first, second))
    if not pairs:
        raise UserError(
            f"results/landed/{folder} holds no pair of softmax and {method} with equal settings"
        )
    if len(weights := sorted({pair[1].run["config"]["loss"]["weight"] for pair in pairs})) > 1:
        raise UserError(
            f"results/landed/{folder} holds {method} at several weights: ask for one of "
            + ", ".join(f"{one:g}" for one in weights)
        )
    return pairs


def find_landed(name: str) -> Precomputed:
    """Read the landed run of this name, whatever folder it lies in.

    Of a run that was trained again there are several: ``full`` comes before ``full-repeat``.

    Args:
        name: as in ``run.json``; a shipped model names its run in its notes.

    Raises:
        UserError: there is none, or a file is missing or was changed.
    """
    root = landed().parent
    for path in sorted(root.glob("*/runs/*/run.json")):
        if path.parent.name == name:
            return load_precomputed(path.parent)
    raise UserError(
        f"no landed run is named {name!r} (looked below {root}): take model and results from one "
        "copy of the repository"
    )


def short_names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return names for a stamp: up to two as they are, of more the first, the last and the number.

    Args:
        runs: ``run.json`` of each; a lesson that draws more than two prints all names beside.
    """
    names = [str(run["name"]) for run in runs]
    return names if len(names) < 3 else [f"{names[0]} to {names[-1]} ({len(names)} runs)"]
