"""What all figures share: colours, markers, the line that says what was measured, plain settings.

Classes differ by colour *and* marker, so that figures can be read in greyscale and by
colour-blind readers. Every figure carries the marks of its data (synthetic, profile) in itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib.style

from ecstfl.evaluation.rows import METHOD_NAMES
from ecstfl.runs.run_folder import Run

# Okabe and Ito's colours, which keep apart under the common kinds of colour blindness.
COLOURS = ("#E69F00", "#0072B2", "#999999", "#D55E00", "#56B4E9", "#009E73", "#CC79A7")
MARKERS = ("o", "v", "s", "X", "^", "P", "D")


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw with matplotlib's own settings, whatever the user's matplotlibrc says.

    A user's ``text.usetex`` needs a LaTeX that is not there, and fonts and sizes would make other
    pictures of the same numbers. Used as a decorator, too: ``@plain_style()``. A figure must be
    made *and* saved under it, because some settings are read only when it is drawn.
    """
    with matplotlib.style.context("default", after_reset=False):
        yield


def marks(runs: Sequence[Run]) -> str:
    """Return the line that stands over every figure of these runs."""
    parts = []
    if any(run["synthetic"] for run in runs):
        parts.append("SYNTHETIC: rendered clips")
    configs = [run["config"] for run in runs]
    held_out = "validation" if configs[0]["evaluate"] == "validation" else "test"
    folds = _listed("fold", [c["fold"] for c in configs])
    parts.append(f"{configs[0]['profile']} profile, {held_out} {folds}")
    clips = {c["fold"]: run["n_held_out"] for c, run in zip(configs, runs, strict=True)}
    seeds = _listed("seed", [c["seed"] for c in configs])
    parts.append(f"n = {sum(clips.values())} clips, {seeds}")
    return " · ".join(parts)


def _listed(what: str, numbers: Sequence[int]) -> str:
    """Return e.g. ``fold 1``, ``folds 1-5``, ``seeds 0, 2``."""
    known = sorted(set(numbers))
    if len(known) == 1:
        return f"{what} {known[0]}"
    if len(known) > 2 and known == list(range(known[0], known[-1] + 1)):
        return f"{what}s {known[0]}-{known[-1]}"
    return f"{what}s {', '.join(map(str, known))}"


def title_of(run: Run) -> str:
    """Return a short name of the run's method."""
    loss = run["config"]["loss"]
    if loss["method"] == "softmax":
        return "softmax only"
    if loss["method"] != "ec-stfl":
        return f"{METHOD_NAMES[loss['method']]} (λ = {loss['weight']:g})"
    return f"EC-STFL ({loss['form']} form, λ = {loss['weight']:g})"
