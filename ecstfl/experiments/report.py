"""From finished runs to the table, what changed, and the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from ecstfl.evaluation import differences as changes
from ecstfl.evaluation import repeat
from ecstfl.evaluation.table import build_table, markdown, to_csv, to_html, to_latex
from ecstfl.files import atomic_write
from ecstfl.runs.config import RunConfig
from ecstfl.runs.places import Places
from ecstfl.runs.run_folder import Run, finished_run, read_features, run_directory

if TYPE_CHECKING:
    from ecstfl.evaluation.one_class import Measured

DERIVED: Final = {"changes.md", "changes.csv", "one-class.md", "one-class.csv", "repeat.md"}
"""What stands beside a table only where there is something to compare."""


def render(
    configs: list[RunConfig],
    places: Places,
    *,
    command: str,
    data_notes: tuple[str, ...] = (),
    landed: Sequence[Run] = (),
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Write the table, what changed beside softmax-only, and the figures, from finished runs.

    Notes about the data stand below all tables. With ``landed`` runs also ``repeat.md``: what they
    gave beside what the finished runs of the same configurations give.

    Returns:
        Their paths, the table's first.
    """
    table = build_table(places.results, configs)
    table = replace(table, marks=(*table.marks, *data_notes))
    text = markdown(table)
    written = []
    contents = {
        "table.md": text,
        "table.csv": to_csv(table),
        "table.html": to_html(table),
        "table.tex": to_latex(table),
    }
    runs = {c: run for c in configs if (run := finished_run(places.results, c)) is not None}
    told = {}
    if comparisons := changes.compare(list(runs.values())):
        told = {
            "changes.md": changes.markdown(comparisons, table.marks),
            "changes.csv": changes.to_csv(comparisons),
        }
    measured = None
    if told:
        from ecstfl.evaluation import (
            one_class,  # it draws, too, and seaborn costs seconds to import
        )

        measured = one_class.measured(
            (run["name"], read_features(run_directory(places.results, config)))
            for config, run in runs.items()
        )
        told |= {
            "one-class.md": one_class.markdown(comparisons, measured, table.marks),
            "one-class.csv": one_class.csv(comparisons, measured),
        }
    if repeats := repeat.compare(landed, list(runs.values())):
        told["repeat.md"] = repeat.markdown(repeats, table.marks)
    for name in DERIVED - set(told):
        # nothing to compare: an earlier plan's answer would stand beside this table
        (places.results / name).unlink(missing_ok=True)
    for name, content in (contents | told).items():
        with atomic_write(places.results / name) as file:
            file.write(content.encode())
        written.append(places.results / name)
    say("")
    say(text)
    for name in ("changes.md", "repeat.md"):
        if name in told:
            say(told[name])
    pair = _first_pair(runs)
    if pair is not None:
        written += _draw(pair, runs, measured, places, command)
    for path in written:
        say(f"  {path}")
    return written


def _first_pair(runs: Iterable[RunConfig]) -> tuple[RunConfig, RunConfig] | None:
    """Return softmax-only and the first EC-STFL run of the same fold and seed."""
    for config in runs:
        if config.loss.method != "softmax":
            continue
        for other in runs:
            if other.loss.method != "ec-stfl" or other.backbone != config.backbone:
                continue
            if (other.fold, other.seed) == (config.fold, config.seed):
                return config, other
    return None


def _draw(
    pair: tuple[RunConfig, RunConfig],
    runs: dict[RunConfig, Run],
    measured: Measured | None,
    places: Places,
    command: str,
) -> list[Path]:
    """Draw what is not up to date: a pair of runs closely, and all finished runs together."""
    from ecstfl.evaluation import one_class
    from ecstfl.figures import comparison as figures  # seaborn and UMAP cost seconds to import
    from ecstfl.figures.forest import forest
    from ecstfl.figures.peeking import can_peek, peeking
    from ecstfl.figures.umap_grid import umap_grid

    # the same two methods on the same fold under every seed that both were trained with
    twins = [tuple(replace(c, seed=seed) for c in pair) for seed in {c.seed: 0 for c in runs}]
    twins = [pair, *(t for t in twins if t != pair and all(c in runs for c in t))]
    paired = [tuple(runs[c] for c in twin) for twin in twins]
    both = paired[0]

    def features(twin: Sequence[RunConfig]) -> tuple[dict[str, np.ndarray], ...]:
        return tuple(read_features(run_directory(places.results, c)) for c in twin)

    everything = list(runs.values())
    drawings: dict[str, tuple[Sequence[Run], Callable[[], Figure]]] = {
        "umap": (both, lambda: figures.umap_pair(both, features(pair))),
        "umap-grid": (
            [run for twin in paired for run in twin],
            lambda: umap_grid(list(zip(paired, map(features, twins), strict=True))),
        ),
        "confusion": (both, lambda: figures.confusion_pair(both)),
        "curves": (both, lambda: figures.learning_curves(both)),
    }
    if len(everything) > 2:
        drawings["confusion-pooled"] = (
            everything,
            lambda: figures.confusion_pooled(everything),
        )
    if measured is not None:
        drawings["forest"] = (everything, lambda: forest(everything))
        drawings["one-class"] = (everything, lambda: one_class.figure(everything, measured))
    if can_peek(everything):
        drawings["peeking"] = (everything, lambda: peeking(everything))
    written = []
    for name, (drawn, draw) in drawings.items():
        path = places.figures / name
        if not figures.up_to_date(path, drawn):
            figures.save_figure(draw(), path, drawn, command)
        written.append(path.with_suffix(".png"))
    return written
