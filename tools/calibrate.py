"""Fit a model's temperature on validation runs, measure it on the test fold, and draw both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.special import softmax

from ecstfl.errors import UserError
from ecstfl.metrics.calibration import (
    Reliability,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)
from ecstfl.runs.config import RunConfig, from_dict
from ecstfl.runs.run_folder import read_features, read_run


@dataclass(frozen=True)
class Calibration:
    """A temperature and what it does.

    Attributes:
        temperature: fitted on validation clips.
        fitted_on: their number.
        validation_runs: names of the runs they come from.
        nll_before, nll_after: of the test fold, nats.
        before, after: reliability on the test fold.
    """

    temperature: float
    fitted_on: int
    validation_runs: tuple[str, ...]
    nll_before: float
    nll_after: float
    before: Reliability
    after: Reliability

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def calibrate(test_run: Path, validation_runs: Sequence[Path], bins: int = 10) -> Calibration:
    """Fit a temperature on validation runs and measure it on the test fold.

    The validation runs hold out another fold than the tested one and are otherwise set up as the
    tested run (seeds may differ), so that their logits are as over-confident as its own.

    Args:
        test_run: directory of a finished run with ``evaluate="test"``.
        validation_runs: directories of finished runs with ``evaluate="validation"``; their clips
            are pooled.

    Raises:
        UserError: a run is missing, of the wrong kind, or set up differently.
    """
    config, _ = _run(test_run)
    if config.evaluate != "test":
        raise UserError(f"{test_run} is a validation run: name the run that scored the test fold")
    if not validation_runs:
        raise UserError(
            "calibration needs a validation run: ecstfl train --validate with the same settings"
        )
    logits, labels, names = [], [], []
    for directory in validation_runs:
        other, other_run = _run(directory)
        if other.evaluate != "validation":
            raise UserError(
                f"{directory} scored the test fold, on which nothing may be fitted: use a run of "
                "ecstfl train --validate"
            )
        differs = _first_difference(config, other)
        if differs:
            raise UserError(f"{directory} has another {differs} than {test_run}")
        features = read_features(Path(directory))
        logits.append(features["logits"].astype(np.float64))
        labels.append(features["labels"].astype(int))
        names.append(str(other_run["name"]))
    temperature = fit_temperature(np.concatenate(logits), np.concatenate(labels))
    test = read_features(Path(test_run))
    test_logits, test_labels = test["logits"].astype(np.float64), test["labels"].astype(int)
    return Calibration(
        temperature,
        int(sum(map(len, labels))),
        tuple(names),
        negative_log_likelihood(test_logits, test_labels),
        negative_log_likelihood(test_logits, test_labels, temperature),
        reliability(softmax(test_logits, axis=1), test_labels, bins),
        reliability(softmax(test_logits / temperature, axis=1), test_labels, bins),
    )


def _run(directory: Path) -> tuple[RunConfig, dict[str, Any]]:
    run = read_run(Path(directory))
    if run is None:
        raise UserError(f"no finished run in {directory}: it must hold run.json")
    return from_dict(RunConfig, run["config"]), run


def _first_difference(test: RunConfig, validation: RunConfig) -> str:
    """Name of the first setting, other than the seed, in which two runs differ; empty for none."""
    ours, theirs = asdict(test), asdict(validation)
    for name, value in ours.items():
        if name not in ("evaluate", "seed") and theirs.get(name) != value:
            return name
    return ""


def reliability_figure(before: Reliability, after: Reliability, note: str) -> Figure:
    """Draw accuracy against confidence, before and after temperature scaling.

    Args:
        before, after: of the same clips.
        note: printed below the title (data, fold, number of clips).
    """
    figure = Figure(figsize=(9, 5.9), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, result, name in zip(
        axes, (before, after), ("as trained", "with temperature"), strict=True
    ):
        axis.plot([0, 1], [0, 1], color="0.6", lw=1, zorder=1)
        shown = [i for i, count in enumerate(result.counts) if count]
        width = result.edges[1] - result.edges[0]
        axis.bar(
            [result.edges[i] for i in shown],
            [result.accuracy[i] for i in shown],
            width,
            align="edge",
            color="#56B4E9",
            edgecolor="white",
            zorder=2,
        )
        for i in shown:
            axis.plot(result.confidence[i], result.accuracy[i], "o", color="#0072B2", zorder=4)
            axis.annotate(
                str(result.counts[i]),
                (result.edges[i] + width / 2, 0.02),
                ha="center",
                fontsize=8,
                zorder=5,
            )
        axis.set(title=f"{name}: ECE {100 * result.ece:.1f} %", xlim=(0, 1), ylim=(0, 1))
        axis.set_xlabel("confidence (numbers: clips)")
        axis.set_aspect("equal")
    axes[0].set_ylabel("share that is right")
    figure.suptitle(f"Is a confidence of 0.8 right eight times in ten?\n{note}", fontsize=11)
    return figure
