"""A contact sheet: one strong frame of each clip, people by rows, expressions by columns."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from ecstfl.datasets.embedded import load_truth, open_embedded
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES

TILE, HEADER = 104, 22


def read_video(path: Path) -> np.ndarray:
    """All frames of a video, (T, H, W, 3) uint8 RGB."""
    import av

    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def write_sheet(root: Path, target: Path, people: int = 16) -> None:
    """Write a JPEG with 7 faces of each of ``people`` identities, two identities a row.

    Shown is the visible frame in which the face moves most. The people are taken at even
    distances from the default split, so nothing is picked by hand.

    Raises:
        UserError: there is no finished pack, or the file cannot be written.
    """
    clips, truth = open_embedded(root), load_truth(root)
    groups = sorted(set(clips.groups.tolist()), key=int)
    chosen = [groups[int(i)] for i in np.linspace(0, len(groups) - 1, min(people, len(groups)))]
    columns = 2 * len(CLASSES)
    rows = (len(chosen) + 1) // 2
    sheet = np.full((HEADER + rows * TILE, columns * TILE, 3), 255, np.uint8)
    for column in range(columns):
        at = (column * TILE + 6, 15)
        text = CLASSES[column % len(CLASSES)]
        cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    for i, group in enumerate(chosen):
        for clip in clips:
            if clip.group != group:
                continue
            known = truth[clip.id]
            strength = known.units[:, : truth.unit_names.index("AU45")].sum(1)
            frame = read_video(clip.source)[int(np.where(known.visible, strength, -1).argmax())]
            tile = cv2.resize(frame, (TILE, TILE), interpolation=cv2.INTER_AREA)
            y, x = HEADER + i // 2 * TILE, (i % 2 * len(CLASSES) + clip.label) * TILE
            sheet[y : y + TILE, x : x + TILE] = tile
    ok, data = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not ok:
        raise UserError(f"the sheet {target} could not be encoded")
    part = target.with_name(target.name + ".part")
    try:
        part.write_bytes(data.tobytes())
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write {target}: {error.strerror}") from None
