"""When is EC-STFL worth it? A table and a picture of all landed settings: python -m tools.when.

Each line is a setting, and what EC-STFL changes in it: recognition, and the classes in feature
space. All numbers come from landed runs. All intervals are over folds, so that they can be
compared with each other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ecstfl.evaluation import without_class
from ecstfl.evaluation.differences import (
    MEASURES,
    SILHOUETTE,
    WAR,
    WITHIN_BETWEEN,
    Comparison,
    change,
    compare,
    notes,
)
from ecstfl.evaluation.grid import Grid, Page
from ecstfl.figures.files import save_figure
from ecstfl.figures.style import COLOURS, plain_style
from ecstfl.figures.without_class import without_class as draw_without_class
from ecstfl.files import write_text
from ecstfl.runs.run_folder import Run, read_features, read_run

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python -m tools.when"
SHOWN = (WAR, WITHIN_BETWEEN, SILHOUETTE)
AXES = (
    "change of WAR, points\n(right: better)",
    "change of within/between\n(left: tighter classes)",
    "change of silhouette\n(right: better separated)",
)


@dataclass(frozen=True)
class Setting:
    """One line.

    Attributes:
        name: what a reader should know of it.
        folder: below ``results/landed``.
        weight: lambda of the patent's form.
    """

    name: str
    folder: str
    weight: float


SETTINGS = (
    Setting("features bounded, 160 people, λ 0.3", "full", 0.3),
    Setting("the same, λ 1", "full", 1.0),
    Setting("features bounded, 120 people, λ 0.1", "validation", 0.1),
    Setting("the same, λ 0.3", "validation", 0.3),
    Setting("the same networks, wild clips", "wild", 0.3),
    Setting("the same, trained on one rater's labels", "one-rater", 0.3),
    Setting("the same, 40 % wrong labels", "wrong-labels", 0.3),
    Setting("the same, 20 people", "few-people", 0.3),
    Setting("the same, 120 people, but not bounded", "not-bounded", 0.3),
    Setting("features bounded, DFEW's class sizes, λ 0.3", "longtail", 0.3),
    Setting("not bounded, 160 people, λ 0.03", "unbounded", 0.03),
    Setting("not bounded, 160 people, λ 0.1", "unbounded", 0.1),
    Setting("not bounded, DFEW's class sizes, λ 0.03", "unbounded-longtail", 0.03),
    Setting("not bounded, DFEW's class sizes, λ 0.1", "unbounded-longtail", 0.1),
)
"""Those from 120 people to not bounded differ in one thing each."""

ALONE = ("not-bounded", "longtail")
"""Folders that hold runs only: what says which class carries their change is written here."""


def comparison(landed: Path, setting: Setting) -> Comparison:
    """Return the pairs of a setting's runs.

    Raises:
        ValueError: there are none.
    """
    runs = []
    for path in sorted((landed / setting.folder / "runs").glob("*/run.json")):
        run = read_run(path.parent)
        loss = run["config"]["loss"]
        patent = loss["method"] == "ec-stfl" and loss["form"] == "patent"
        if loss["method"] == "softmax" or (patent and loss["weight"] == setting.weight):
            runs.append(run)
    found = compare(runs)
    if len(found) != 1:
        raise ValueError(f"expected one comparison of {setting}, got {len(found)}")
    return found[0]


def table(settings: Sequence[tuple[str, Comparison]]) -> Grid:
    """Return a line a setting: its pairs, softmax-only's WAR, and the changes of all measures."""
    lines = []
    for name, found in settings:
        before = WAR.of([pair.baseline for pair in found.pairs])
        changes = [measure.tell(change(found.pairs, measure)) for measure in MEASURES]
        lines.append((name, scored_on(found), str(len(found.pairs)), WAR.show(before), *changes))
    head = ("setting", "scored on", "pairs", "softmax only, WAR, %", *(m.name for m in MEASURES))
    return Grid(head, tuple(lines))


def scored_on(found: Comparison) -> str:
    """Return what the clips are: test folds, validation folds, or another split."""
    run = found.pairs[0].ours
    return run.get("scored_on") or f"{run['config']['evaluate']} folds"


def page(settings: Sequence[tuple[str, Comparison]]) -> str:
    """Return the table with what must be known to read it."""
    told = [
        "synthetic: rendered clips, says nothing about accuracy on real faces",
        "EC-STFL of the patent's form",
        "wild: 210 clips of 30 other people, the same for all folds, so that the interval holds "
        "the luck of trainings, not that of people",
        "one rater's labels: 21 % are not what was shown (simulated raters)",
        "120 people, but not bounded: today's recipe without BatchNorm at fc6 and fc7; the last "
        "four lines: the earlier recipe",
        *notes([found for _, found in settings], len(MEASURES)),
    ]
    return Page((table(settings),), tuple(told)).markdown()


@plain_style()
def picture(settings: Sequence[tuple[str, Comparison]]) -> Figure:
    """Draw the changes of recognition and of the classes, a row a setting."""
    figure = Figure(figsize=(11, 1.9 + 0.55 * len(settings)), layout="constrained")
    panels = figure.subplots(1, len(SHOWN), sharey=True)
    rows = np.arange(len(settings))
    for axis, measure, label, colour in zip(panels, SHOWN, AXES, COLOURS[1::2], strict=False):
        for row, (_, found) in zip(rows, settings, strict=True):
            gain = change(found.pairs, measure)
            axis.plot([gain.low, gain.high], [row, row], color=colour, lw=2.5)
            axis.plot(gain.value, row, "D", ms=8, color=colour, mec="black")
            each = [pair.gain(measure) for pair in found.pairs]
            axis.plot(each, [row + 0.28] * len(each), ".", color="0.5", ms=4)
        axis.axvline(0, color="0", lw=1.2, zorder=0)
        axis.grid(axis="x", color="0.9", zorder=-1)
        axis.set_xlabel(label)
    names = [f"{name}\n({len(found.pairs)} pairs)" for name, found in settings]
    panels[0].set_yticks(rows, names, fontsize=9)
    panels[0].set_ylim(len(settings) - 0.4, -0.6)
    figure.suptitle(
        "SYNTHETIC: rendered clips · C3D, EC-STFL of the patent's form against softmax only\n"
        "diamond and bar: mean and 95 % interval over folds; grey: single pairs of runs",
        fontsize=10,
    )
    return figure


def runs_of(settings: Sequence[tuple[str, Comparison]]) -> list[Run]:
    """Return all runs behind the lines, each once."""
    found = {
        (run["name"], run.get("scored_on")): run
        for _, c in settings
        for p in c.pairs
        for run in (p.baseline, p.ours)
    }
    return list(found.values())


def one_class(landed: Path, folder: str) -> tuple[Page, Figure, list[Run]]:
    """Return the page and the picture that say which class carries a setting's change."""
    paths = [path.parent for path in sorted((landed / folder / "runs").glob("*/run.json"))]
    runs = [read_run(path) for path in paths]
    features = (read_features(path) for path in paths)
    measured = without_class.measured(zip((run["name"] for run in runs), features, strict=True))
    folds = sorted({run["config"]["evaluate"] for run in runs})
    marks = ("synthetic: rendered clips", f"scored on {', '.join(folds)} folds")
    told = without_class.page(compare(runs), measured, marks)
    return told, draw_without_class(runs, measured), runs


def main() -> int:
    """Write ``when`` and the settings' ``without-one-class`` to the landed results and figures."""
    landed = ROOT / "results" / "landed"
    settings = [(setting.name, comparison(landed, setting)) for setting in SETTINGS]
    write_text(landed / "when.md", page(settings))
    print(landed / "when.md")
    figures = ROOT / "figures" / "landed"
    drawn = [(figures / "when", picture(settings), runs_of(settings))]
    for folder in ALONE:
        told, figure, runs = one_class(landed, folder)
        write_text(landed / folder / "without-one-class.md", told.markdown())
        drawn.append((figures / folder / "without-one-class", figure, runs))
    for path, figure, runs in drawn:
        for written in save_figure(figure, path, runs, COMMAND):
            print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
