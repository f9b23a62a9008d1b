"""RAVDESS: 24 actors speak two sentences in eight emotions (video-only or audio-video files).

Source: https://zenodo.org/records/1188976, CC BY-NC-SA 4.0. A file name says everything::

    Actor_12/02-01-06-01-02-01-12.mp4
             |  |  |  |  |  |  actor 01..24 (odd: male, even: female)
             |  |  |  |  |  repetition 01, 02
             |  |  |  |  statement 01, 02
             |  |  |  intensity 01 normal, 02 strong (never strong for neutral)
             |  |  emotion 01 neutral 02 calm 03 happy 04 sad 05 angry 06 fearful 07 disgust
             |  |          08 surprised
             |  channel 01 speech, 02 song
             modality 01 audio-video, 02 video only, 03 audio only

The 01- and 02- files of a take show the same pictures, so one of them is read (02- if both are
there). Calm has no counterpart among the seven expressions and song is another task: both are
left out, which the notes say. Reference: Livingstone and Russo, PLoS ONE 13(5), 2018.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Final

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.findings import (
    Inspection,
    existing_folder,
    listed,
    videos_below,
)
from ecstfl.datasets.folds import too_small
from ecstfl.errors import UserError
from ecstfl.labels import label_index

EMOTIONS: Final = {
    "01": "Neutral",
    "02": None,  # calm
    "03": "Happy",
    "04": "Sad",
    "05": "Angry",
    "06": "Fear",
    "07": "Disgust",
    "08": "Surprise",
}
"""RAVDESS emotion code -> class name; None is left out."""

ACTORS: Final = 24
N_FOLDS: Final = 5
CLASS_COUNTS: Final = (192, 192, 96, 192, 192, 192, 192)
"""Speech takes per class of the full set, without calm: 24 actors x 8 (neutral: x 4)."""

_NAME = re.compile(r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")


def fold_of(actor: int) -> int:
    """Return the fold 1..5 of an actor: a man and a woman (1 and 2, 3 and 4, ...) go together.

    A fixed rule, so that a partly downloaded set has the same folds as the whole one. Folds
    hold 6, 6, 4, 4 and 4 actors.
    """
    return (actor - 1) // 2 % N_FOLDS + 1


def inspect_ravdess(root: Path | str) -> Inspection:
    """Look through a copy of RAVDESS and list everything that is not as published.

    Args:
        root: folder with ``Actor_01`` ... anywhere below it.

    Returns:
        Clips by actor, then name; group = actor, folds 1..5 by :func:`fold_of`.

    Raises:
        UserError: no file below ``root`` is named like a RAVDESS video.
    """
    top = existing_folder(root, "ravdess")
    takes: dict[str, Path] = {}  # name without the modality -> file
    songs: set[str] = set()
    calm: set[str] = set()
    strange, twice = [], []
    # video-only files first, so that their audio-video twins find the take already there
    for path in sorted(videos_below(top), key=lambda p: (p.name[:2] != "02", p.name, p)):
        match, take = _NAME.fullmatch(path.stem), path.stem[3:]
        strong_neutral = match is not None and (match[3], match[4]) == ("01", "02")
        if match is None or strong_neutral or not 1 <= int(match[7]) <= ACTORS:
            strange.append(path.relative_to(top).as_posix())
        elif match[2] == "02":
            songs.add(take)
        elif EMOTIONS[match[3]] is None:
            calm.add(take)
        elif takes.setdefault(take, path) != path and takes[take].name == path.name:
            twice.append(path.relative_to(top).as_posix())
    if not takes and not songs and not calm:
        raise UserError(
            f"data set ravdess: no file below {top} is named like 02-01-06-01-02-01-12.mp4; "
            "point --root at the folder that holds Actor_01 ... Actor_24"
        )
    clips = tuple(
        Clip(
            id=path.stem,
            source=path,
            label=label_index(str(EMOTIONS[take[3:5]])),
            group=f"actor_{take[-2:]}",
            fold=fold_of(int(take[-2:])),
        )
        for take, path in sorted(takes.items(), key=lambda item: (item[0][-2:], item[0]))
    )
    actors = sorted({take[-2:] for take in takes})
    lost = [f"02-{take}" for actor in actors for take in _takes_of(actor) if take not in takes]
    gone = [f"{a:02d}" for a in range(1, ACTORS + 1) if f"{a:02d}" not in actors]
    packed = sorted(p.name for p in top.rglob("Video_Speech_Actor_*.zip") if p.stem[-2:] in gone)
    notes = [
        "RAVDESS: acted speech by North American actors, one take per clip; "
        f"folds are actor-disjoint ({len(actors)} of {ACTORS} actors)."
    ]
    if calm:
        notes.append(f"RAVDESS: {len(calm)} calm takes left out, DFEW has no such class.")
    if songs:
        notes.append(f"RAVDESS: {len(songs)} song takes left out.")
    clipset = ClipSet("ravdess", clips, notes=tuple(notes))
    warn = ("warning", "RAVDESS")
    missing = f"{len(lost)} takes of the actors present are missing"
    unknown = "videos are not named like RAVDESS files, left out"
    findings = (
        *listed("missing-clip", *warn, missing, lost),
        *listed("missing-actor", *warn, f"{len(gone)} of {ACTORS} actors are missing", gone),
        *listed("not-unpacked", "error", top, "archives were not unpacked", packed),
        *listed("unknown-name", *warn, unknown, strange),
        *listed("name-twice", *warn, "files occur twice, the first by path is read", twice),
        *too_small(clipset, "get actors of several folds, for example --actors 1-4"),
    )
    layout = f"{len(takes)} speech takes of {len(actors)} actors below {top}"
    return Inspection(clipset, findings, layout, published_classes=CLASS_COUNTS)


def _takes_of(actor: str) -> list[str]:
    """Name the 52 speech takes of an actor that have one of the seven labels."""
    return [
        f"01-{emotion}-{intensity}-{statement}-{repetition}-{actor}"
        for emotion, intensity, statement, repetition in itertools.product(
            EMOTIONS, ("01", "02"), ("01", "02"), ("01", "02")
        )
        if EMOTIONS[emotion] is not None and (emotion, intensity) != ("01", "02")
    ]
