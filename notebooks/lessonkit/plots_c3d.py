"""Figures of lesson 05: what C3D costs, what it sees, how it pools, what is tapped.

Plain functions of plain values; each returns a figure whose title says what is to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecstfl.figures.style import COLOURS
from lessonkit.anatomy import Layer, c3d_layers, total

_BILLION = 1e9


def pool_windows(n: int = 7) -> Figure:
    """Draw which cells of a row the windows of three kinds of pooling (2, step 2) take."""
    plans = {
        "round down: PyTorch's default": [(k, k + 2) for k in range(0, n - 1, 2)],
        "round up: Caffe, and this package": [(k, min(k + 2, n)) for k in range(0, n, 2)],
        "pad by one, round down": [(k, k + 2) for k in range(-1, n, 2)],
    }
    figure = Figure(figsize=(9, 3.3), dpi=96, layout="constrained")
    axis = figure.subplots()
    for row, (name, windows) in enumerate(plans.items()):
        for cell in range(n):
            axis.add_patch(Rectangle((cell, row), 1, 0.5, fc="0.92", ec="0.5", lw=0.8))
            axis.text(cell + 0.5, row + 0.25, f"{cell}", ha="center", va="center", fontsize=9)
        for k, (low, high) in enumerate(windows):
            axis.plot(
                [low + 0.08, high - 0.08],
                [row + 0.62] * 2,
                lw=5,
                color=COLOURS[(1, 3)[k % 2]],
                ls="-" if k % 2 else (0, (0.6, 0.25)),
                solid_capstyle="butt",
            )
        inside = {cell for low, high in windows for cell in range(low, high)}
        lost = sorted(set(range(n)) - inside)
        what = f"{len(windows)} windows" + (f", cell {lost[0]} is lost" if lost else "")
        axis.text(n + 0.75, row + 0.3, f"{name}: {what}", va="center", fontsize=9)
    axis.set(xlim=(-1.1, n + 8.2), ylim=(2.9, -0.25))
    axis.set_yticks([])
    axis.set_xticks([])
    for side in axis.spines.values():
        side.set_visible(False)
    axis.set_xlabel("cells of conv5b along a row of the picture (bars: what one window takes)")
    axis.set_title(f"{n} cells, three poolings: two give 4, and not the same 4")
    return figure


def price_list(layers: Sequence[Layer]) -> Figure:
    """Draw parameters and multiply-adds of each layer, in percent of all."""
    kept = [x for x in layers if x.parameters]
    totals = total(layers)
    figure = Figure(figsize=(10, 4.2), dpi=96, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    shares = []
    for axis, k, name, unit in (
        (left, 0, "parameters", f"{totals[0]:,} in all"),
        (right, 1, "multiply-adds", f"{totals[1] / _BILLION:.2f} billion a clip"),
    ):
        values = [100 * (x.parameters, x.multiply_adds)[k] / totals[k] for x in kept]
        shares.append(values)
        bars = axis.barh(
            [x.name for x in kept],
            values,
            color=[COLOURS[1] if x.reach else COLOURS[0] for x in kept],
            hatch=["" if x.reach else "///" for x in kept],
            edgecolor="white",
        )
        axis.bar_label(bars, [f"{v:.1f}" for v in values], padding=3, fontsize=9)
        axis.set(xlabel=f"{name} (percent; {unit})", xlim=(0, 1.18 * max(values)))
    left.invert_yaxis()
    heavy = int(np.argmax(shares[0]))
    busy = int(np.argmax(shares[1]))
    left.set_title(f"{kept[heavy].name} holds {shares[0][heavy]:.0f} % of the parameters", size=10)
    right.set_title(
        f"{kept[busy].name} does {shares[1][busy]:.0f} % of the work, "
        f"{kept[heavy].name} {shares[1][heavy]:.1f} %",
        size=10,
    )
    return figure


def reach_on_face(face: np.ndarray, layers: Sequence[Layer], shown: Sequence[str]) -> Figure:
    """Draw what one number of some layers sees of a clip: pixels on a face, and frames.

    Args:
        face: (S, S, 3) uint8 crop.
        layers: of the network for that crop.
        shown: names of convolutions or poolings.
    """
    size = face.shape[0]
    frames = layers[0].output[1]
    chosen = [next(x for x in layers if x.name == name) for name in shown]
    figure = Figure(figsize=(10, 4.3), dpi=92, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
    left.imshow(face, extent=(0, size, size, 0))
    left.set_autoscale_on(False)
    styles = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
    for k, layer in enumerate(chosen):
        reach = layer.reach[1]
        low = size / 2 - reach / 2
        for width, ink in ((3.4, "black"), (1.8, COLOURS[(0, 4, 5, 3, 6)[k % 5]])):
            left.add_patch(
                Rectangle((low, low), reach, reach, fill=False, ec=ink, lw=width, ls=styles[k % 5])
            )
        if reach < size:
            box = {"fc": "white", "ec": "none", "pad": 1.5, "alpha": 0.85}
            left.text(
                size / 2, low - 2, layer.name, ha="center", va="bottom", fontsize=10, bbox=box
            )
    left.set(xlabel="x (pixels)", ylabel="y (pixels)")
    whole = [x.name for x in chosen if x.reach[1] >= size]
    left.set_title("pixels that one number sees", size=10)
    names = [x.name for x in chosen]
    times = [x.reach[0] for x in chosen]
    colours = [COLOURS[(0, 4, 5, 3, 6)[k % 5]] for k in range(len(chosen))]
    bars = right.barh(names, times, color=colours, edgecolor="0.2")
    right.bar_label(
        bars,
        [f"{x.reach[0]} frames, {x.reach[1]} x {x.reach[1]} pixels" for x in chosen],
        padding=4,
        fontsize=9,
        bbox={"fc": "white", "ec": "none", "pad": 1},
    )
    right.axvline(frames, color="0.2", lw=1.2, ls="--", label=f"the clip has {frames} frames")
    right.legend(loc="upper right", fontsize=9)
    right.invert_yaxis()
    right.set(xlabel="frames that one number sees", xlim=(0, 1.75 * max(times)))
    right.set_title("frames", size=10)
    first = chosen[0]
    figure.suptitle(
        f"From {first.name} ({first.reach[0]} frames, {first.reach[1]} pixels) to the whole face"
        + (f" in {whole[0]}" if whole else ""),
        size=11,
    )
    return figure


def half_area(field: np.ndarray) -> float:
    """Return the share of the places with any gradient that holds half of it, 0..1."""
    values = np.sort(field[field > 0])[::-1]
    return float((np.searchsorted(np.cumsum(values), values.sum() / 2) + 1) / len(values))


def effective_fields(fields: Mapping[str, tuple[np.ndarray, int]]) -> Figure:
    """Draw how much each pixel moves the middle of some layers, frames summed up.

    Args:
        fields: layer -> ((T, S, S) mean absolute gradient, its reach in pixels).
    """
    figure = Figure(figsize=(3.3 * len(fields), 3.9), dpi=92, layout="constrained")
    shares = []
    for axis, (name, (field, reach)) in zip(
        figure.subplots(1, len(fields), squeeze=False)[0], fields.items(), strict=True
    ):
        plane = field.sum(axis=0)
        shares.append(half_area(plane))
        image = axis.imshow(plane / plane.max(), cmap="cividis", vmin=0, vmax=1)
        size = plane.shape[0]
        # the unit at place size / 2 looks a little past the middle; draw where gradients are
        rows = np.flatnonzero(plane.sum(axis=1))
        columns = np.flatnonzero(plane.sum(axis=0))
        axis.add_patch(
            Rectangle(
                (columns[0] - 0.5, rows[0] - 0.5),
                columns[-1] - columns[0] + 1,
                rows[-1] - rows[0] + 1,
                fill=False,
                ec="white",
                ls="--",
            )
        )
        axis.set(xlabel="x (pixels)", xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
        axis.set_title(f"{name}: reach {reach}\nhalf in {100 * shares[-1]:.0f} % of it", size=10)
    figure.axes[0].set_ylabel("y (pixels)")
    figure.colorbar(image, ax=figure.axes, shrink=0.75, label="mean |gradient| (largest = 1)")
    figure.suptitle(
        "The middle counts most: half of the influence comes from "
        f"{100 * min(shares):.0f} to {100 * max(shares):.0f} % of the field",
        size=11,
    )
    return figure


def _price(axis: Axes, names: Sequence[str], values: Sequence[float], label: str) -> None:
    bars = axis.barh(names, values, color=COLOURS[1])
    axis.bar_label(bars, [f"{v:.3g}" for v in values], padding=4, fontsize=9)
    axis.set(xscale="log", xlabel=label, xlim=(min(values) / 3, max(values) * 8))


def c3d_price(width: int = 16, fc: int = 256, frames: int = 8, size: int = 48) -> Figure:
    """Draw parameters and multiply-adds of one C3D beside the published one."""
    own = f"width {width}, fc {fc},\n{frames} x {size} x {size}"
    return c3d_prices(
        {
            "as published": {},
            own: {"width": width, "fc": fc, "frames": frames, "size": size},
        }
    )


def c3d_prices(settings: Mapping[str, Mapping[str, int]]) -> Figure:
    """Draw parameters and multiply-adds of several C3Ds: the still twin of :func:`c3d_price`.

    Args:
        settings: name -> arguments of :func:`lessonkit.anatomy.c3d_layers`; the first is compared.
    """
    totals = [total(c3d_layers(7, **setting)) for setting in settings.values()]
    figure = Figure(figsize=(10, 0.5 * len(totals) + 1.9), dpi=96, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(settings)
    _price(left, names, [p / 1e6 for p, _ in totals], "parameters (millions; log scale)")
    _price(right, names, [m / _BILLION for _, m in totals], "multiply-adds a clip (billions; log)")
    left.invert_yaxis()  # shared with the right one
    figure.suptitle(
        f"{names[-1]}: 1/{totals[0][0] / totals[-1][0]:.0f} of the parameters, "
        f"1/{totals[0][1] / totals[-1][1]:.0f} of the work".replace("\n", " ")
    )
    return figure


def tapped(values: Mapping[str, np.ndarray]) -> Figure:
    """Draw the numbers that are tapped at some layers.

    Args:
        values: layer -> (n, d) features of the same clips.
    """
    figure = Figure(figsize=(3.4 * len(values), 3.5), dpi=96, layout="constrained")
    axes = figure.subplots(1, len(values), squeeze=False)[0]
    zeros = {}
    for k, (axis, (name, x)) in enumerate(zip(axes, values.items(), strict=True)):
        zeros[name] = float((x == 0).mean())
        axis.hist(
            x.ravel(),
            41,
            color=COLOURS[(1, 3, 5)[k % 3]],
        )
        axis.set(xlabel="value of a feature (arbitrary unit)", yscale="log")
        axis.set_title(f"{name}: {100 * zeros[name]:.0f} % are 0", size=10)
    axes[0].set_ylabel("features (count; log scale)")
    most = max(zeros, key=zeros.get)
    figure.suptitle(f"{most} has forgotten what was negative ({100 * zeros[most]:.0f} %)", size=11)
    return figure
