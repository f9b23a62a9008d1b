"""A picture of what was prepared, to be looked at before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ecstfl.clips.temporal import uniform_indices
from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.files import atomic_write
from ecstfl.video.reading import read_frames

if TYPE_CHECKING:
    from ecstfl.clips.preprocess_set import Prepared

_BOX, _CROP, _POINT = (255, 196, 0), (0, 224, 255), (255, 64, 64)
_ANY_SCRIPT = int(cv2.__version__.split(".")[0]) >= 5  # its built-in font is a TrueType one
_PAPER, _INK = (255, 255, 255), (20, 20, 20)


def contact_sheet(
    prepared: Prepared,
    max_clips: int = 16,
    max_dropped: int = 8,
    columns: int = 8,
    cell: int = 112,
    *,
    title: str = "",
    captions: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Draw some clips: a source frame with box, points and outline of the crop, then the crops.

    Args:
        prepared: the clips; those shown are spread evenly over the set.
        max_clips: rows of kept clips at most.
        max_dropped: rows of clips that were left out, each with its reason, at most.
        columns: frames of each clip, spread evenly.
        cell: height of a row, pixels.
        title: first line; default: how many clips were kept.
        captions: clip id -> line above its row; default: the id.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    n, length = len(prepared.clips), prepared.report["config"]["frames"]
    chosen = np.unique(uniform_indices(n, min(n, max_clips))) if n else np.zeros(0, int)
    shown = uniform_indices(length, min(columns, length))
    wide = cell * 16 // 9
    width = wide + len(shown) * (cell + 2) + 8
    title = title or f"{prepared.report['name']}: {n} of {prepared.report['n_clips']} clips kept"
    if prepared.report["synthetic"]:
        title += " (synthetic)"
    rows = [_text_row(title, width, 26, 0.55)]
    for i in chosen:
        clip = prepared.clipset.clips[i]
        track = prepared.track(int(i))
        middle = len(track.kept) // 2
        frame = _frame(Path(clip.source), int(track.kept[middle]))
        row = np.full((cell, width, 3), _PAPER, np.uint8)
        if frame is not None:
            size = prepared.clips.shape[2]
            box, points, matrix = (x[middle] for x in (track.boxes, track.points, track.matrices))
            drawn = _annotate(frame, box, points, matrix, size, cell)
            row[:, : min(wide, drawn.shape[1])] = drawn[:, :wide]
        for k, t in enumerate(shown):
            crop = cv2.resize(prepared.clips[i][t], (cell, cell), interpolation=cv2.INTER_LINEAR)
            left = wide + 6 + k * (cell + 2)
            row[:, left : left + cell] = crop
        rows += [_text_row((captions or {}).get(clip.id, clip.id), width, 18, 0.42), row]
    dropped = prepared.report["dropped"]
    for item in dropped[:max_dropped]:
        text = f"left out: {_name(item['id'])}: {item['reason']}"
        rows.append(_text_row(text, width, 18, 0.42))
    if len(dropped) > max_dropped:
        text = f"and {len(dropped) - max_dropped} more left out: see the report"
        rows.append(_text_row(text, width, 18, 0.42))
    return np.concatenate(rows, 0)


def save_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB as PNG, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise UserError(f"cannot write {path}: PNG encoding failed")
    with atomic_write(path) as file:
        file.write(data.tobytes())


def _annotate(
    frame: np.ndarray,
    box: np.ndarray,
    points: np.ndarray,
    matrix: np.ndarray,
    size: int,
    cell: int,
) -> np.ndarray:
    """The frame, ``cell`` pixels high, with box, points and the crop's outline."""
    zoom = cell / frame.shape[0]
    width = max(1, round(frame.shape[1] * zoom))
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    image = cv2.resize(frame, (width, cell), interpolation=method)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]]) - 0.5
    outline = (align.transform_points(corners, align.invert(matrix)) + 0.5) * zoom - 0.5
    if np.abs(outline).max() < 10_000:
        cv2.polylines(image, [np.int32(np.rint(outline * 8))], True, _CROP, 1, cv2.LINE_AA, 3)
    if np.isfinite(box).all():
        a, b = np.int32(np.rint((box.reshape(2, 2) + 0.5) * zoom - 0.5)).tolist()
        cv2.rectangle(image, a, b, _BOX, 1)
        for point in np.int32(np.rint((points + 0.5) * zoom - 0.5)).tolist():
            cv2.circle(image, point, 2, _POINT, -1, cv2.LINE_AA)
    return image


def _frame(source: Path, number: int) -> np.ndarray | None:
    """One frame of a source, or None when it cannot be read again."""
    try:
        for i, frame in enumerate(read_frames(source)):
            if i == number:
                return frame
    except UserError:
        pass
    return None


def _text_row(text: str, width: int, height: int, scale: float) -> np.ndarray:
    row = np.full((height, width, 3), _PAPER, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    plain = _name(text)
    while plain and cv2.getTextSize(plain, font, scale, 1)[0][0] > width - 8:
        plain = plain[:-4] + "..." if not plain.endswith("...") else plain[:-6] + "..."
        if len(plain) <= 3:
            break
    cv2.putText(row, plain, (4, height - 6), font, scale, _INK, 1, cv2.LINE_AA)
    return row


def _name(text: str) -> str:
    """What the built-in font can draw: before OpenCV 5, other letters than ASCII become '?'."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if _ANY_SCRIPT else plain.encode("ascii", "replace").decode()
