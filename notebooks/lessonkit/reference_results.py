"""The runs that came with the repository: under checksum, found and paired for comparison.

They lie under ``results/landed``; a file that was changed since is refused. A lesson asks for a
method and a folder and needs no run's id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ecstfl.datasets.embedded import read_checksums
from ecstfl.errors import UserError
from ecstfl.runs.run_folder import read_features, read_run

SUMS: Final = "SHA256SUMS"


@dataclass(frozen=True)
class ReferenceRun:
    """A landed run whose files are what they were when it landed.

    Attributes:
        directory: where it lies.
        run: ``run.json``: configuration, history, confusion matrix, provenance.
        features: ``features.npz``: ids, labels, predictions, logits, embeddings, ...
    """

    directory: Path
    run: dict[str, Any]
    features: dict[str, np.ndarray]


def reference_folder(name: str = "quick") -> Path:
    """Return the folder of landed results ``results/landed/<name>``, wherever one works.

    Raises:
        UserError: it is not there; the sentence names those that are.
    """
    root = Path(__file__).resolve().parents[2] / "results" / "landed"
    folder = root / name
    if not folder.is_dir():
        known = sorted(p.name for p in root.glob("*") if p.is_dir())
        raise UserError(
            f"no landed results {name!r}; there are {', '.join(known)}"
            if known
            else f"the landed results are not in {root}: use a full copy of the ecstfl repository"
        )
    return folder


def load_reference_run(directory: Path) -> ReferenceRun:
    """Read a landed run after checking its files against ``SHA256SUMS``.

    The list lies in the run's folder or in one above it.

    Raises:
        UserError: there is no list, the list does not name a file of the run, or a file is
            missing or was changed.
    """
    directory = Path(directory).resolve()
    root = next((p for p in (directory, *directory.parents) if (p / SUMS).is_file()), None)
    if root is None:
        raise UserError(
            f"no {SUMS} beside or above {directory}: only landed runs can be shown as precomputed"
        )
    sums = read_checksums(root)
    for name in ("run.json", "features.npz"):
        path = directory / name
        listed = path.relative_to(root).as_posix()
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            raise UserError(f"{path} is missing: restore it from the repository") from None
        if sums.get(listed) != found:
            told = "was changed since it landed" if listed in sums else f"is not in {root / SUMS}"
            raise UserError(f"{path} {told}: restore it from the repository")
    run = read_run(directory)
    assert run is not None  # its checksum was right a moment ago
    return ReferenceRun(directory, run, read_features(directory))


def reference_runs(folder: str = "quick", *, evaluate: str = "test") -> list[ReferenceRun]:
    """Read the finished runs of one landed folder, in the order of fold, seed and name.

    Args:
        folder: below ``results/landed``.
        evaluate: ``test`` or ``validation``: which kind of runs.

    Raises:
        UserError: there is none, or a file is missing or was changed.
    """
    place = reference_folder(folder) / "runs"
    found = [load_reference_run(path.parent) for path in sorted(place.glob("*/run.json"))]
    found = [one for one in found if one.run["config"]["evaluate"] == evaluate]
    if not found:
        raise UserError(f"no finished {evaluate} run in {place}: restore it from the repository")
    return sorted(
        found,
        key=lambda one: (one.run["config"]["fold"], one.run["config"]["seed"], one.run["name"]),
    )


def reference_pairs(
    folder: str = "quick",
    method: str = "ec-stfl",
    *,
    form: str = "patent",
    weight: float | None = None,
) -> list[tuple[ReferenceRun, ReferenceRun]]:
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
    runs = reference_runs(folder)
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


def find_reference_run(name: str) -> ReferenceRun:
    """Read the landed run of this name, whatever folder it lies in.

    Of a run that was trained again there are several: ``full`` comes before ``full-repeat``.

    Args:
        name: as in ``run.json``; a shipped model names its run in its notes.

    Raises:
        UserError: there is none, or a file is missing or was changed.
    """
    root = reference_folder().parent
    for path in sorted(root.glob("*/runs/*/run.json")):
        if path.parent.name == name:
            return load_reference_run(path.parent)
    raise UserError(
        f"no landed run is named {name!r} (looked below {root}): take model and results from one "
        "copy of the repository"
    )
