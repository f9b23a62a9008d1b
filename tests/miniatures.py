"""Small data sets in the exact layouts of DFEW, RAVDESS and CREMA-D, to test on.

None of the three can be part of this repository, so their layouts are imitated with short
clips of our own: rendered faces from the embedded data when it is there, else moving patterns.
Every clip has content of its own, as the duplicate check needs.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import av
import cv2
import numpy as np

from ecstfl.errors import UserError
from ecstfl.labels import CLASSES

RAVDESS_CODES = {"01": 2, "03": 0, "04": 1, "05": 3, "06": 6, "07": 5, "08": 4}
"""Emotion code -> label, written down independently of the reader; calm (02) has none."""

CREMAD_CODES = {"ANG": 3, "DIS": 5, "FEA": 6, "HAP": 0, "NEU": 2, "SAD": 1}
CREMAD_SENTENCES = (
    "DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI",
)  # fmt: skip


def pattern(label: int, number: int, frames: int = 16, size: int = 32) -> np.ndarray:
    """Return (T, S, S, 3) uint8: a bar that moves, different for each (label, number)."""
    rng = np.random.default_rng([label, number])
    ground = rng.integers(40, 200, size=(4, 4, 3), dtype=np.uint8)
    still = cv2.resize(ground, (size, size), interpolation=cv2.INTER_LINEAR)
    clip = np.repeat(still[None], frames, axis=0)
    for t in range(frames):
        at = (2 * t + 3 * label) % (size - 4)
        clip[t, :, at : at + 4] = 30 * label + 20
    return clip


@functools.cache
def _embedded() -> dict[int, list[Path]]:
    """Videos of the embedded data by label; empty when it is not there."""
    try:
        from ecstfl.datasets.embedded import open_embedded
    except ImportError:
        return {}
    try:
        clips = open_embedded()
    except UserError:
        return {}
    by_label: dict[int, list[Path]] = {}
    for clip in clips:
        if clip.source.is_file():
            by_label.setdefault(clip.label, []).append(clip.source)
    return by_label if len(by_label) == len(CLASSES) else {}


def have_faces() -> bool:
    """Tell whether miniatures can show rendered faces."""
    return bool(_embedded())


def face(label: int, number: int) -> np.ndarray:
    """Return (T, H, W, 3) uint8 from the embedded data; beyond its end, clips are mirrored."""
    videos = _embedded()[label]
    with av.open(str(videos[number % len(videos)])) as container:
        clip = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    return np.ascontiguousarray(clip[:, :, ::-1]) if number // len(videos) % 2 else clip


def frames_of(label: int, number: int, faces: bool = False) -> np.ndarray:
    """Return clip ``number`` of an expression."""
    return face(label, number) if faces else pattern(label, number)


def write_video(path: Path, frames: np.ndarray, rate: int = 24) -> Path:
    """Write (T, H, W, 3) uint8 as H.264, or as Sorenson video when the name ends in .flv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flash = path.suffix == ".flv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flv" if flash else "libx264", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {} if flash else {"preset": "ultrafast", "threads": "1"}
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_images(folder: Path, frames: np.ndarray, name: str = "{n}.jpg") -> Path:
    """Write (T, H, W, 3) uint8 as numbered JPEG files, ``name`` formatted with n from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, image in enumerate(frames, start=1):
        cv2.imwrite(str(folder / name.format(n=n)), image[:, :, ::-1])
    return folder


def make_dfew(
    root: Path,
    per_fold: int = 1,
    version: str = "clip_224x224_16f",
    splits: str = "{part}(single-labeled)",
    first_label: int = 1,
    doubled: bool = False,
    faces: bool = False,
) -> Path:
    """Make DFEW with five folds of 7 x ``per_fold`` clips; ids run by fold, then class."""
    rows: dict[int, list[tuple[int, int]]] = {fold: [] for fold in range(1, 6)}
    media = root / "Clip" / version
    if doubled:
        media = media / version
    numbers = itertools.count(1, 3)  # gaps, as single-labelled DFEW has
    for fold, label, copy in itertools.product(rows, range(7), range(per_fold)):
        number = next(numbers)
        rows[fold].append((number, label))
        clip = frames_of(label, (fold - 1) * per_fold + copy, faces)
        if version == "original":
            write_video(media / f"{number}.mp4", clip)
        elif version == "clip_224x224_16f":
            write_images(media / f"{number:05d}", clip[:16], "{n}.jpg")
        else:
            write_images(media / f"{number:05d}", clip, f"{number:05d}_{{n:05d}}.jpg")
    for fold in rows:
        others = [row for f in rows if f != fold for row in rows[f]]
        for part, table in (("train", others), ("test", rows[fold])):
            folder = root / "EmoLabel_DataSplit" / splits.format(part=part)
            write_split(folder / f"set_{fold}.csv", table, first_label)
    return root


def write_split(path: Path, rows: list[tuple[int, int]], first_label: int = 1) -> None:
    """Write one split file of DFEW from (number, label 0..6)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["video_name,label", *(f"{n},{label + first_label}" for n, label in rows)]
    path.write_text("\n".join(lines) + "\n")


def ravdess_names(actor: int, modality: str = "02") -> list[tuple[str, int | None]]:
    """Name the 60 speech takes of an actor with their labels (None: calm)."""
    names = []
    for emotion, level, statement, repetition in itertools.product(
        ("01", "02", "03", "04", "05", "06", "07", "08"), ("01", "02"), ("01", "02"), ("01", "02")
    ):
        if emotion == "01" and level == "02":
            continue
        name = f"{modality}-01-{emotion}-{level}-{statement}-{repetition}-{actor:02d}"
        names.append((name, RAVDESS_CODES.get(emotion)))
    return names


def make_ravdess(
    root: Path, actors: tuple[int, ...] = (1, 2, 3), most: int = 60, faces: bool = False
) -> Path:
    """Make video-only RAVDESS speech; ``most`` takes per actor and emotion."""
    for actor in actors:
        count: dict[int | None, int] = {}
        for place, (name, label) in enumerate(ravdess_names(actor)):
            count[label] = count.get(label, 0) + 1
            if count[label] <= most:
                clip = frames_of(label or 0, actor * 100 + place, faces and label is not None)
                write_video(root / f"Actor_{actor:02d}" / f"{name}.mp4", clip)
    return root


def cremad_names(actor: int) -> list[tuple[str, int]]:
    """Name the 82 takes of an actor with their labels."""
    names = []
    for sentence, (emotion, label) in itertools.product(CREMAD_SENTENCES, CREMAD_CODES.items()):
        levels = ("LO", "MD", "HI") if sentence == "IEO" and emotion != "NEU" else ("XX",)
        names += [(f"{actor}_{sentence}_{emotion}_{level}", label) for level in levels]
    return names


def make_cremad(
    root: Path, actors: tuple[int, ...] = (1001, 1002, 1003), most: int = 82, faces: bool = False
) -> Path:
    """Make CREMA-D; ``most`` takes per actor and emotion."""
    for actor in actors:
        count = dict.fromkeys(range(7), 0)
        for place, (name, label) in enumerate(cremad_names(actor)):
            count[label] += 1
            if count[label] <= most:
                clip = frames_of(label, actor * 100 + place, faces)
                write_video(root / "VideoFlash" / f"{name}.flv", clip)
    return root


def make_folder(
    root: Path,
    people: tuple[str, ...] = ("ann", "bob", "cy", "dee", "eve"),
    clips: int = 1,
    faces: bool = False,
) -> Path:
    """Make ``root/<label>/<person>/*.mp4``, ``clips`` per person and class."""
    for place, person in enumerate(people):
        for label, name in enumerate(CLASSES):
            for n in range(clips):
                path = root / name.lower() / person / f"{'abcdefgh'[n]}.mp4"
                write_video(path, frames_of(label, place * clips + n, faces))
    return root
