"""FRESH or PRECOMPUTED: where the trained model behind a figure comes from.

A figure of a trained model looks the same whether it was trained a minute ago or landed with the
repository. :func:`stamp` writes which of the two it is, and the id of the run, into the picture
and into its text. What landed is under checksum: :func:`load_precomputed` refuses a changed file.

``python -m lessonkit.stamp`` writes ``results/landed/SHA256SUMS`` anew after a run has landed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ecstfl.datasets.embedded import read_checksums
from ecstfl.errors import UserError
from ecstfl.files import atomic_write
from ecstfl.runs.config import canonical_json
from ecstfl.runs.run_folder import read_features, read_run

SUMS: Final = "SHA256SUMS"
FRESH: Final = "FRESH: trained in this session"
PRECOMPUTED: Final = "PRECOMPUTED: landed with the repository"
_BAND = 0.3  # inches below a figure without a layout of its own


# --------------------------------------------------------------------------------------------
# Stamping a figure
# --------------------------------------------------------------------------------------------


class StampedFigure(Figure):
    """A figure whose text form, which notebooks keep beside the picture, is its stamp too."""

    stamped: str

    def __repr__(self) -> str:
        """Return the stamp."""
        return f"<Figure, {self.stamped}>"


def label_of(*runs: Mapping[str, Any] | str, fresh: bool) -> str:
    """Return the text of a stamp: FRESH or PRECOMPUTED, and the ids of the runs.

    Raises:
        ValueError: no run is named.
    """
    if not runs:
        raise ValueError("expected at least one run, got none")
    names = [run if isinstance(run, str) else str(run["name"]) for run in runs]
    return f"{FRESH if fresh else PRECOMPUTED} · {', '.join(names)}"


def stamp(figure: Figure, *runs: Mapping[str, Any] | str, fresh: bool) -> Figure:
    """Write into a figure whether its models were trained in this session, and their run ids.

    Args:
        figure: a matplotlib figure; it is changed.
        runs: ``run.json`` of each model, or run ids (see :func:`run_id`).
        fresh: True when trained in this session, False when landed with the repository.

    Returns:
        The same figure; its text form in a notebook is the stamp.

    Raises:
        ValueError: no run is named, or the figure has a stamp already.
    """
    if isinstance(figure, StampedFigure):
        raise ValueError(f"expected a figure without a stamp, got one that says {figure.stamped}")
    label = label_of(*runs, fresh=fresh)
    lines = label.replace(" · ", "\n") if len(label) > 12 * figure.get_figwidth() else label
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        title = figure.get_suptitle()
        if title:
            figure.suptitle(f"{title}\n{lines}")
        else:
            figure.suptitle(lines, fontsize=9, color="0.2")
    else:
        _below(figure, lines)
    figure.__class__ = StampedFigure
    figure.stamped = label  # type: ignore[attr-defined]
    return figure


def _below(figure: Figure, text: str) -> None:
    """Make the figure taller and write into the new band, so that nothing is covered."""
    height = figure.get_figheight()
    band = _BAND * (1 + text.count("\n") / 2)
    keep, shift = height / (height + band), band / (height + band)
    for axis in figure.axes:
        box = axis.get_position()
        axis.set_position((box.x0, box.y0 * keep + shift, box.width, box.height * keep))
    for words in (*figure.texts, figure._suptitle, figure._supxlabel):
        if words is not None and words.get_transform() == figure.transSubfigure:
            words.set_y(words.get_position()[1] * keep + shift)
    figure.set_figheight(height + band)
    figure.text(0.99, 0.01, text, ha="right", va="bottom", fontsize=8, color="0.2")


def run_id(name: str, **settings: Any) -> str:
    """Return an id for a model that a lesson trains itself: name and hash of its settings.

    Args:
        name: a short word, ``toy`` say.
        settings: all that decides the result (seed, epochs, weight, ...); plain values.
    """
    return f"{name}-{hashlib.sha256(canonical_json(settings).encode()).hexdigest()[:10]}"


# --------------------------------------------------------------------------------------------
# Landed runs
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Precomputed:
    """A landed run whose files are what they were when it landed.

    Attributes:
        directory: where it lies.
        run: ``run.json``: configuration, history, confusion matrix, provenance.
        features: ``features.npz``: ids, labels, predictions, logits, embeddings, ...
    """

    directory: Path
    run: dict[str, Any]
    features: dict[str, np.ndarray]


def landed(name: str = "quick") -> Path:
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


def landed_run(method: str, name: str = "quick", fold: int = 1, seed: int = 0) -> Precomputed:
    """Load the landed run of a method, for example ``landed_run("ec-stfl")``.

    Args:
        method: as in the configuration: ``softmax``, ``ec-stfl``, ...
        name: the folder under ``results/landed``.
        fold: the fold held out.
        seed: of the training.

    Raises:
        UserError: there is no such run, or a file was changed.
    """
    folder = landed(name) / "runs"
    names = sorted(p.parent.name for p in folder.glob("*/run.json"))
    for found in names:
        if found.startswith(f"{method}-fold{fold}-seed{seed}-"):
            return load_precomputed(folder / found)
    raise UserError(
        f"no landed run of {method}, fold {fold}, seed {seed} in {folder}; there are "
        f"{', '.join(names) or 'none'}"
    )


def load_precomputed(directory: Path) -> Precomputed:
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
    return Precomputed(directory, run, read_features(directory))


def checksums(root: Path) -> str:
    """Return the text of ``SHA256SUMS`` for all results under ``root``.

    Weights, locks and half-written files do not land, so they are left out.
    """
    files = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and not path.name.startswith(".")
        and path.name != SUMS
        and path.suffix not in (".safetensors", ".pt", ".part")
    ]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root).as_posix()}\n"
        for path in files
    ]
    return "".join(sorted(lines, key=lambda line: line[66:]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write ``SHA256SUMS`` of the landed results, or of the folder named. Returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    root = Path(given[0]) if given else Path(__file__).resolve().parents[2] / "results/landed"
    try:
        text = checksums(root)
        if not text:
            raise UserError(f"no results in {root}: name a folder with landed runs")
        with atomic_write(root / SUMS) as file:
            file.write(text.encode())
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{root / SUMS}: {len(text.splitlines())} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
