"""Learning curves: cross-entropy, accuracy and the ratio of distances, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecstfl.figures.style import COLOURS, marks, plain_style, title_of
from ecstfl.labels import CLASSES
from ecstfl.runs.run_folder import Run


@plain_style()
def learning_curves(runs: Sequence[Run]) -> Figure:
    """Draw cross-entropy, accuracy and the within/between ratio over the epochs.

    The curve of the held-out fold is drawn only; the last epoch is the result whatever it shows.
    """
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    loss, accuracy, ratio = figure.subplots(1, 3)
    for run, style, colour in zip(runs, ("-", "--", ":", "-."), COLOURS[1::2], strict=False):
        history, name = run["history"], title_of(run)
        epochs = [r["epoch"] for r in history]
        loss.plot(epochs, [r["ce"] for r in history], style, color=colour, label=name)
        train = [100 * r["train_war"] for r in history]
        accuracy.plot(epochs, train, style, color=colour, alpha=0.5, label=f"{name}: training")
        scored = [(r["epoch"], 100 * r["held_out_war"]) for r in history if "held_out_war" in r]
        accuracy.plot(
            *zip(*scored, strict=True),
            style,
            color=colour,
            marker="o",
            ms=4,
            label=f"{name}: held out",
        )
        ratio.plot(epochs, [r["ratio"] for r in history], style, color=colour, label=name)
    loss.set(title="Cross-entropy on training batches", xlabel="epoch", ylabel="nats")
    _curve_end(loss)
    accuracy.axhline(100 / len(CLASSES), color="0.6", lw=1)
    accuracy.set(title="Accuracy (line: chance)", xlabel="epoch", ylabel="WAR, %", ylim=(0, 100))
    accuracy.legend(fontsize=8)
    ratio.set(
        title="Within / between class distances, training",
        xlabel="epoch",
        ylabel="ratio (lower: tighter classes)",
    )
    _curve_end(ratio)
    for axis in (loss, accuracy, ratio):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(marks(runs), fontsize=10)
    return figure


def _curve_end(axis: Axes) -> None:
    axis.set_ylim(0, 1.1 * axis.get_ylim()[1])
    axis.legend(fontsize=8)
