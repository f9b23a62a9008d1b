"""``ecstfl data doctor``: says what is in a data set, and everything that is wrong with it.

The reader's findings (missing files, labels, folds, counts against the published protocol) plus
what only the content shows: unreadable and damaged files, short clips, gaps in numbered frames,
and duplicates of decoded pictures (a clip wrapped into another container is one, too).
Duplicates across folds are leakage and are told apart from those within one.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from tqdm import tqdm

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.findings import Finding, Inspection, few
from ecstfl.datasets.folds import leaking_groups
from ecstfl.errors import UserError
from ecstfl.labels import N_CLASSES
from ecstfl.video.files import content_sha256, frame_files
from ecstfl.video.reading import read_frames

SHORT: Final = 16
"""Frames below which a clip is called short: it has fewer than a prepared clip."""


@dataclass(frozen=True)
class Probe:
    """What one clip's files hold.

    Attributes:
        id: clip id.
        frames: decodable frames.
        content: hash of the decoded pictures; '' when the clip cannot be read.
        problem: why the clip cannot be read, or ''.
        remarks: damage that did not stop the reading.
        gaps: frame numbers absent between the first and the last of an image folder.
    """

    id: str
    frames: int = 0
    content: str = ""
    problem: str = ""
    remarks: tuple[str, ...] = ()
    gaps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything the doctor found; ``doctor_report`` prints it.

    Attributes:
        inspection: of the reader, with what the content showed among its findings.
        probes: one a clip; none when no clip was opened.
        root: named in the report.
    """

    inspection: Inspection
    probes: tuple[Probe, ...] = ()
    root: str = ""

    @property
    def errors(self) -> int:
        """Number of findings that would make results wrong or impossible."""
        return sum(f.severity == "error" for f in self.inspection.findings)

    @property
    def lengths(self) -> list[int]:
        """Frames of every readable clip."""
        return [p.frames for p in self.probes if not p.problem]

    def count(self, fold: int | None = None) -> tuple[int, ...]:
        """Clips per class, of one fold or of all."""
        clips = self.inspection.clipset
        counts = Counter(c.label for c in clips if fold is None or c.fold == fold)
        return tuple(counts[label] for label in range(N_CLASSES))


def examine(
    inspection: Inspection,
    root: Path | str = "",
    *,
    quick: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Report:
    """Examine a data set that its reader has inspected.

    Args:
        inspection: from ``ecstfl.datasets.opening.inspect_data``.
        root: named in the report.
        quick: do not open any clip (no duplicates, frame counts or unreadable files).
        workers: threads for decoding; None takes the number of cores.
        progress: show a bar.
    """
    clipset = inspection.clipset
    findings = list(inspection.findings)
    if not inspection.of("group-across-folds"):
        findings.extend(leaking_groups(clipset))
    probes: tuple[Probe, ...] = ()
    if not quick:
        pool = ThreadPoolExecutor(max_workers=workers or os.cpu_count() or 1)
        try:
            done = pool.map(probe, clipset)
            bar = {"desc": "reading clips", "unit": "clip", "disable": not progress}
            probes = tuple(tqdm(done, total=len(clipset), **bar))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # after Ctrl-C: only clips under way
        findings += _content_findings(clipset, probes)
    return Report(replace(inspection, findings=tuple(findings)), probes, str(root))


# --- content -------------------------------------------------------------------------------------


def probe(clip: Clip) -> Probe:
    """Read one clip to its end: frames, content; a problem is returned, not raised."""
    try:
        if clip.sha256 is not None and clip.sha256 != content_sha256(clip.source):
            raise UserError("the file differs from its published sha256")
        pictures, remarks, frames = hashlib.blake2b(), [], 0
        for frame in read_frames(clip.source, remarks):
            pictures.update(np.ascontiguousarray(frame))
            frames += 1
        files = frame_files(clip.source) if clip.source.is_dir() else []
        numbers = {int(n[-1]) for path in files if (n := re.findall(r"\d+", path.stem))}
        gaps = sorted(set(range(min(numbers), max(numbers))) - numbers) if numbers else []
        content = pictures.hexdigest()
        return Probe(clip.id, frames, content, remarks=tuple(remarks), gaps=tuple(gaps))
    except (UserError, OSError, ValueError, cv2.error) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        return Probe(clip.id, problem=problem.removeprefix(f"cannot read {clip.source}: "))


def _content_findings(clipset: ClipSet, probes: Sequence[Probe]) -> list[Finding]:
    """What the probes show, the first clip of each kind with its file."""
    files = {clip.id: clip.source for clip in clipset}
    good = [p for p in probes if not p.problem]
    broken = [(p, f": {p.problem}") for p in probes if p.problem]
    damaged = [(p, f": {p.remarks[0]}") for p in good if p.remarks]
    gaps = [(p, f": {few(map(str, p.gaps))}") for p in good if p.gaps]
    short = sorted((p for p in good if p.frames < SHORT), key=lambda p: p.frames)
    shortest = [(p, f", {p.frames} frames") for p in short]
    findings = []
    for kind, severity, found, what in (
        ("unreadable", "error", broken, "cannot be read"),
        ("damaged", "warning", damaged, "are cut off or damaged; what is readable is used"),
        (
            "short-clip",
            "warning",
            shortest,
            f"have fewer than {SHORT} frames and are stretched by interpolation",
        ),
        ("frame-gap", "warning", gaps, "lack frames inside their numbering"),
    ):
        if found:
            first, detail = found[0]
            text = f"{len(found)} clip(s) {what}; first {files[first.id]}{detail}"
            order = [p.id for p in probes if p in {q for q, _ in found}]
            findings.append(Finding(kind, severity, text, tuple(order)))
    return findings + _duplicates(clipset, good)


def _duplicates(clipset: ClipSet, probes: Sequence[Probe]) -> list[Finding]:
    """Group clips with equal pictures."""
    clips = {clip.id: clip for clip in clipset}
    same: dict[str, list[Clip]] = defaultdict(list)
    for p in probes:
        same[p.content].append(clips[p.id])
    sets = [found for found in same.values() if len(found) > 1]
    across = [found for found in sets if len({c.fold for c in found}) > 1]
    within = [found for found in sets if found not in across]
    labels = [found for found in sets if len({c.label for c in found}) > 1]
    findings = []
    for kind, severity, found, text in (
        (
            "duplicate-across-folds",
            "error",
            across,
            "in different folds: training sees test clips (leakage)",
        ),
        ("duplicate", "warning", within, "in one fold"),
        ("duplicate-label", "error", labels, "under different labels"),
    ):
        if found:
            items = tuple(" = ".join(c.id for c in group) for group in found)
            places = " and ".join(str(c.source) for c in found[0][:2])
            message = (
                f"{len(found)} set(s) of clips are the same pictures {text}: {few(items, 3)} "
                f"(first: {places})"
            )
            findings.append(Finding(kind, severity, message, items))
    return findings
