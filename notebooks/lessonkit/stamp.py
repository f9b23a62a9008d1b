"""FRESH or PRECOMPUTED: where the trained model behind a figure comes from.

A figure of a trained model looks the same whether it was trained a minute ago or landed with the
repository. :func:`stamp` writes which of the two it is into the picture, and the names of the runs
into its text form, which a notebook keeps beside the picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ecstfl.runs.config import canonical_json

FRESH: Final = "FRESH: trained in this session"
PRECOMPUTED: Final = "PRECOMPUTED: came with the repository"
_BAND = 0.3  # inches below a figure without a layout of its own


class StampedFigure(Figure):
    """A figure whose text form, which notebooks keep beside the picture, is its stamp too."""

    stamped: str

    def __repr__(self) -> str:
        """Return the stamp."""
        return f"<Figure, {self.stamped}>"


def label_of(*runs: Mapping[str, Any] | str, fresh: bool) -> str:
    """Return FRESH or PRECOMPUTED with the names of the runs: of more than two, first and last.

    Raises:
        ValueError: no run is named.
    """
    if not runs:
        raise ValueError("expected at least one run, got none")
    names = [run if isinstance(run, str) else str(run["name"]) for run in runs]
    if len(names) > 2:
        names = [f"{names[0]} to {names[-1]} ({len(names)} runs)"]
    return f"{FRESH if fresh else PRECOMPUTED} · {', '.join(names)}"


def stamp(figure: Figure, *runs: Mapping[str, Any] | str, fresh: bool) -> Figure:
    """Write into a figure whether its models were trained in this session.

    Args:
        figure: a matplotlib figure; it is changed.
        runs: ``run.json`` of each model, or run ids (see :func:`run_id`).
        fresh: True when trained in this session, False when landed with the repository.

    Returns:
        The same figure; its text form in a notebook names the runs too.

    Raises:
        ValueError: no run is named, or the figure has a stamp already.
    """
    if isinstance(figure, StampedFigure):
        raise ValueError(f"expected a figure without a stamp, got one that says {figure.stamped}")
    label = label_of(*runs, fresh=fresh)
    lines = label.partition(" · ")[0] + (f", {len(runs)} runs" if len(runs) > 1 else "")
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
    keep, shift = height / (height + _BAND), _BAND / (height + _BAND)
    for axis in figure.axes:
        box = axis.get_position()
        axis.set_position((box.x0, box.y0 * keep + shift, box.width, box.height * keep))
    for words in (*figure.texts, figure._suptitle, figure._supxlabel):
        if words is not None and words.get_transform() == figure.transSubfigure:
            words.set_y(words.get_position()[1] * keep + shift)
    figure.set_figheight(height + _BAND)
    figure.text(0.99, 0.01, text, ha="right", va="bottom", fontsize=8, color="0.2")


def run_id(name: str, **settings: Any) -> str:
    """Return an id for a model that a lesson trains itself: name and hash of its settings.

    Args:
        name: a short word, ``toy`` say.
        settings: all that decides the result (seed, epochs, weight, ...); plain values.
    """
    return f"{name}-{hashlib.sha256(canonical_json(settings).encode()).hexdigest()[:10]}"
