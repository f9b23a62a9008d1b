"""Lesson 00: a face to begin with, what the shipped model says, and two maps without names."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from ecstfl.datasets.clipset import ClipSet
from ecstfl.datasets.embedded import open_embedded
from ecstfl.datasets.real_clips import real_clips
from ecstfl.errors import UserError
from ecstfl.figures.style import COLOURS, MARKERS
from ecstfl.labels import CLASSES, label_index
from ecstfl.video.reading import read_frames
from lessonkit import frames


@dataclass(frozen=True)
class Face:
    """A clip of one expression.

    Attributes:
        label: 0..6, what it was made (or asked) to show.
        source: the video file.
        frames: (T, H, W, 3) uint8 RGB, all of them.
        about: who it is: rendered or real, and from where.
    """

    label: int
    source: Path
    frames: np.ndarray
    about: str

    @property
    def expression(self) -> str:
        """The name of the label."""
        return CLASSES[self.label]


def first_face(expression: str, person: int = 0, real: Path | None = None) -> Face:
    """Return a clip that the shipped model was not trained on.

    A real one where ``ecstfl data get real-clips`` has fetched some; else a rendered clip of
    somebody who is in no training data.

    Args:
        expression: a class name.
        person: which of the people, from 0.
        real: folder of the real clips; default: where the command puts them.

    Raises:
        UserError: unknown expression, or the embedded data is missing.
    """
    label = label_index(expression)
    clips, about = open_embedded(split="wild", verify=False), RENDERED
    with contextlib.suppress(UserError):  # an incomplete fetch: the rendered ones serve
        # a page that is built and given away holds nobody's face
        fetched = None if frames.wanted() else real_clips(real)
        if fetched is not None and label in fetched.labels:
            clips, about = fetched, "a real person, from CREMA-D (ODbL 1.0)"
    found = _of_person(clips, label, person)
    return Face(label, found, _frames(found), about)


RENDERED: Final = "SYNTHETIC: a rendered person, in no training data"


def seven_faces(person: int = 1) -> dict[str, np.ndarray]:
    """Return expression -> frames (12, H, W, 3) of one rendered person, in the order of labels."""
    clips = open_embedded(split="wild", verify=False)
    return {
        name: spread(_frames(_of_person(clips, c, person)), 12) for c, name in enumerate(CLASSES)
    }


def _of_person(clips: ClipSet, label: int, person: int) -> Path:
    """Return a clip of a label, of one of the people who show it."""
    found = sorted((c for c in clips if c.label == label), key=lambda c: (c.group, c.id))
    return Path(found[person % len(found)].source)


def _frames(source: Path) -> np.ndarray:
    return np.stack(list(read_frames(source)))


def spread(clip: np.ndarray, number: int) -> np.ndarray:
    """Return ``number`` frames, evenly spread over a clip; all of them when it has fewer."""
    if len(clip) <= number:
        return clip
    return clip[np.linspace(0, len(clip) - 1, number).round().astype(int)]


def said(probabilities: Sequence[float], truth: int) -> Figure:
    """Draw what a model says about one clip; what the clip shows is marked.

    Args:
        probabilities: (7,) sum 1.
        truth: 0..6.
    """
    figure = Figure(figsize=(6.4, 3.0), dpi=84, layout="constrained")
    axis = figure.subplots()
    colours = [COLOURS[1] if c == truth else "0.75" for c in range(len(CLASSES))]
    names = [f"{name} (shown)" if c == truth else name for c, name in enumerate(CLASSES)]
    bars = axis.barh(names, 100 * np.asarray(probabilities), color=colours, edgecolor="0.3")
    axis.bar_label(bars, [f"{100 * p:.0f}" for p in probabilities], padding=3)
    axis.invert_yaxis()
    axis.set(xlabel="probability (percent)", xlim=(0, 108))
    best = int(np.argmax(probabilities))
    axis.set_title(f"The model says {CLASSES[best]}: {100 * max(probabilities):.0f} %", fontsize=11)
    return figure


def two_maps(spaces: Mapping[str, np.ndarray], labels: np.ndarray, title: str) -> Figure:
    """Draw feature spaces side by side, seen from where they spread most (two principal axes).

    Args:
        spaces: name -> (n, d) features.
        labels: (n,) 0..6.
        title: what is to be seen.
    """
    figure = Figure(figsize=(9.2, 5.0), dpi=84, layout="constrained")
    axes = figure.subplots(1, len(spaces))
    for axis, (name, space) in zip(axes, spaces.items(), strict=True):
        points = flattened(space)
        for c in np.unique(labels):
            axis.scatter(
                *points[labels == c].T,
                s=24,
                c=COLOURS[c],
                marker=MARKERS[c],
                edgecolors="white",
                linewidths=0.35,
                label=CLASSES[c],
            )
        axis.set(xticks=[], yticks=[], title=name, xlabel="first main axis (no unit)", box_aspect=1)
        axis.set_aspect("equal", adjustable="datalim")
    axes[0].set_ylabel("second main axis (no unit)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.suptitle(title, fontsize=12)
    return figure


def flattened(space: np.ndarray) -> np.ndarray:
    """Return (n, 2): the two directions in which features (n, d) spread most."""
    centred = np.asarray(space, float) - np.mean(space, axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T
