"""From finished runs to the tables and the figures."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from ecstfl.evaluation import differences, reproduced, table, without_class
from ecstfl.evaluation.grid import Page
from ecstfl.evaluation.verdict import verdicts
from ecstfl.experiments.plan import Work
from ecstfl.figures.confusion import confusion_matrices
from ecstfl.figures.curves import learning_curves
from ecstfl.figures.files import save_figure, up_to_date
from ecstfl.figures.forest import forest
from ecstfl.figures.maps import umap_grid, umap_pair, why_no_map
from ecstfl.figures.without_class import without_class as draw_without_class
from ecstfl.files import write_text
from ecstfl.runs.config import RunConfig
from ecstfl.runs.places import Places
from ecstfl.runs.run_folder import Run, finished_run, read_features, run_directory

COMPARISONS: Final = {
    *("differences.md", "differences.csv", "without-one-class.md", "without-one-class.csv"),
    "trained-again.md",
}
"""What stands beside a table only where there is something to compare."""

Drawing = tuple[Sequence[Run], Callable[[], Figure]]


def render(
    configs: Sequence[RunConfig],
    places: Places,
    work: Work,
    *,
    data_notes: tuple[str, ...] = (),
    reference: Sequence[Run] = (),
) -> list[Path]:
    """Write the table, the differences to softmax-only, and the figures, from finished runs.

    Notes about the data stand below all tables. With ``reference`` runs also ``trained-again.md``:
    what they gave beside what the finished runs of the same configurations give.

    Returns:
        Their paths, the table's first.
    """
    built = table.build_table(places.results, configs)
    built = replace(built, marks=(*built.marks, *data_notes))
    runs = {c: run for c in configs if (run := finished_run(places.results, c)) is not None}
    pages: dict[str, Page] = {"table": table.page(built)}
    texts = {"table.csv": table.to_csv(built)}
    comparisons = differences.compare(list(runs.values()))
    measured = None
    if comparisons:
        measured = without_class.measured(
            (run["name"], read_features(run_directory(places.results, config)))
            for config, run in runs.items()
        )
        pages["differences"] = differences.page(comparisons, built.marks)
        pages["without-one-class"] = without_class.page(comparisons, measured, built.marks)
        texts["differences.csv"] = differences.to_csv(comparisons)
        texts["without-one-class.csv"] = without_class.to_csv(comparisons, measured)
    if again := reproduced.compare(reference, list(runs.values())):
        pages["trained-again"] = reproduced.page(again, built.marks)
    texts |= {f"{name}.md": page.markdown() for name, page in pages.items()}
    for name in COMPARISONS - set(texts):
        # nothing to compare: an earlier plan's answer would stand beside this table
        (places.results / name).unlink(missing_ok=True)
    written = [places.results / name for name in sorted(texts, key=lambda n: n != "table.md")]
    for path in written:
        write_text(path, texts[path.name])
    for name in ("table", "differences", "trained-again"):
        if name in pages:
            work.say("\n" * (name == "table") + pages[name].fitted(_columns()))
    for sentence in verdicts(comparisons, built.differences):
        work.say(f"What may be concluded: {sentence}")
    drawings = dict(_drawings(runs, places, comparisons, measured, work.say))
    written += draw(drawings, places, work)
    for path in written:
        work.say(f"  {path}")
    return written


def draw(drawings: Mapping[str, Drawing], places: Places, work: Work) -> list[Path]:
    """Draw what is not up to date: name -> the runs that it shows, and how to draw it."""
    for name, (shown, make) in drawings.items():
        if not up_to_date(places.figures / name, shown):
            save_figure(make(), places.figures / name, shown, work.command)
    return [(places.figures / name).with_suffix(".png") for name in drawings]


def _columns() -> int:
    """Width of the terminal; without one, as in a file, no limit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10**6


def _drawings(
    runs: dict[RunConfig, Run],
    places: Places,
    comparisons: Sequence[differences.Comparison],
    measured: without_class.Measured | None,
    say: Callable[[str], None],
) -> Iterable[tuple[str, Drawing]]:
    """Yield a pair of runs closely, and all finished runs together."""
    pair = _first_pair(runs)
    if pair is None:
        return
    # the same two methods on the same fold under every seed that both were trained with
    twins = [tuple(replace(c, seed=seed) for c in pair) for seed in {c.seed: 0 for c in runs}]
    twins = [pair, *(t for t in twins if t != pair and all(c in runs for c in t))]
    paired = [tuple(runs[c] for c in twin) for twin in twins]

    def features(twin: Sequence[RunConfig]) -> tuple[dict[str, np.ndarray], ...]:
        return tuple(read_features(run_directory(places.results, c)) for c in twin)

    both, everything = paired[0], list(runs.values())
    seeds = [run for twin in paired for run in twin]
    maps: dict[str, Drawing] = {
        "umap": (both, lambda: umap_pair(both, features(pair))),
        "umap-grid": (
            seeds,
            lambda: umap_grid(list(zip(paired, map(features, twins), strict=True))),
        ),
    }
    if all(up_to_date(places.figures / name, shown) for name, (shown, _) in maps.items()):
        lacking = []
    else:
        embeddings = [f["embeddings"] for twin in twins for f in features(twin)]
        lacking = [why for x in embeddings if (why := why_no_map(x))]
    if lacking:
        say(f"No map of the features: {lacking[0]}")
    else:
        yield from maps.items()
    yield "curves", (both, lambda: learning_curves(both))
    yield "confusion", (everything, lambda: confusion_matrices(everything))
    if comparisons:
        yield "forest", (everything, lambda: forest(everything))
        yield "without-one-class", (everything, lambda: draw_without_class(everything, measured))


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
