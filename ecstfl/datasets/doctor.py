"""``ecstfl data doctor``: says what is in a data set, and everything that is wrong with it.

The reader's survey (missing files, labels, folds, counts against the published protocol) plus
what only the content shows: unreadable files, short clips, gaps in numbered frames, and
duplicates, both of files and of decoded pictures (a clip wrapped into another container).
Duplicates across folds are leakage and are told apart from those within one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from tqdm import tqdm

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.findings import Finding, Survey, few, leaking_groups
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, N_CLASSES
from ecstfl.video.files import frame_files

SHORT: Final = 16
"""Frames below which a clip is called short: it has fewer than a prepared clip."""

EDGES: Final = (1, 8, 16, 32, 64, 128, 256, 512)
"""Lower edges of the frame-count histogram; the last bin is open."""


@dataclass(frozen=True)
class Probe:
    """What one clip's files hold.

    Attributes:
        id: clip id.
        frames: decodable frames (image folders: images with a whole file structure).
        width: pixels, 0 when unknown.
        height: pixels, 0 when unknown.
        bytes: size on disk.
        file_hash: of the file's bytes (image folders: of all images in numeric order).
        picture_hash: of all decoded luma planes; '' when nothing was decoded.
        problem: why the clip cannot be read, or ''.
        gaps: frame numbers absent between the first and the last of an image folder.
        claimed: frames the video's header promises, 0 when it does not say.
    """

    id: str
    frames: int
    width: int = 0
    height: int = 0
    bytes: int = 0
    file_hash: str = ""
    picture_hash: str = ""
    problem: str = ""
    gaps: tuple[int, ...] = ()
    claimed: int = 0


@dataclass(frozen=True)
class Report:
    """Everything the doctor found; see :func:`report_text` and :func:`report_json`."""

    survey: Survey
    findings: tuple[Finding, ...]
    probes: tuple[Probe, ...]
    classes: tuple[int, ...]
    folds: dict[int, tuple[int, ...]]
    histogram: tuple[tuple[str, int], ...]
    seconds_per_frame: float | None
    root: str

    @property
    def errors(self) -> int:
        """Number of findings that would make results wrong or impossible."""
        return sum(f.severity == "error" for f in self.findings)


def examine(
    survey: Survey,
    root: Path | str = "",
    *,
    quick: bool = False,
    workers: int | None = None,
    progress: bool = False,
    time_frames: Callable[[Sequence[Clip]], float | None] | None = None,
) -> Report:
    """Examine a surveyed data set.

    Args:
        survey: from ``ecstfl.datasets.opening.survey_data``.
        root: named in the report.
        quick: do not open any clip (no duplicates, frame counts or unreadable files).
        workers: threads for decoding; None takes the number of cores.
        progress: show a bar.
        time_frames: measures preprocessing on a few clips, in seconds per frame; None leaves
            the expected time out.
    """
    clipset = survey.clipset
    findings = list(survey.findings)
    if not survey.of("group-across-folds"):
        findings.extend(leaking_groups(clipset))
    probes: tuple[Probe, ...] = ()
    if not quick:
        probes = _probe_all(clipset, workers or os.cpu_count() or 1, progress)
        findings.extend(_content_findings(clipset, probes))
    seconds = None
    if time_frames is not None and probes:
        seconds = time_frames(_typical(clipset, probes))
    complete = Survey(
        clipset,
        tuple(findings),
        survey.layout,
        survey.published_classes,
        survey.published_folds,
    )
    return Report(
        survey=complete,
        findings=complete.findings,
        probes=probes,
        classes=_per_class(clipset, None),
        folds={fold: _per_class(clipset, fold) for fold in clipset.folds},
        histogram=_histogram([p.frames for p in probes if not p.problem]),
        seconds_per_frame=seconds,
        root=str(root),
    )


def _probe_all(clipset: ClipSet, workers: int, progress: bool) -> tuple[Probe, ...]:
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        bar = tqdm(
            pool.map(probe, clipset),
            total=len(clipset),
            desc="reading clips",
            unit="clip",
            disable=not progress,
        )
        return tuple(bar)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # after Ctrl-C: only the clips under way


def probe(clip: Clip) -> Probe:
    """Read one clip to its end: frames, size, hashes; a problem is returned, not raised."""
    try:
        if clip.source.is_dir():
            return _probe_images(clip)
        return _probe_video(clip)
    except (OSError, ValueError, av.error.FFmpegError, cv2.error) as problem:
        said = " ".join(str(problem).split()) or type(problem).__name__
        return Probe(clip.id, 0, problem=said)


def measure_preprocessing(clips: Sequence[Clip], aligned: bool = False) -> float | None:
    """Time ``ecstfl.clips.preprocess`` on some clips.

    Args:
        clips: readable clips.
        aligned: they show aligned faces already, so no face is looked for.

    Returns:
        Seconds per source frame on this machine with the default options, one process; None
        when preprocessing is not available here (for example without the face model).
    """
    from ecstfl.clips.preprocess import PreprocessConfig, preprocess_clip

    config = PreprocessConfig(alignment="none" if aligned else "points5")
    frames, seconds = 0, 0.0
    for clip in clips:
        start = time.perf_counter()
        try:
            preprocess_clip(clip.source, config)
        except UserError:
            continue  # no face in this clip: it would be dropped, so it is no guide to the time
        seconds += time.perf_counter() - start
        frames += probe(clip).frames
    return seconds / frames if frames else None


def report_json(report: Report) -> dict[str, Any]:
    """Return the report as plain numbers, strings and lists."""
    clipset, frames = report.survey.clipset, [p.frames for p in report.probes if not p.problem]
    return {
        "data": clipset.name,
        "root": report.root,
        "layout": report.survey.layout,
        "synthetic": clipset.synthetic,
        "clips": len(clipset),
        "errors": report.errors,
        "findings": [asdict(f) for f in report.findings],
        "classes": {
            "names": list(CLASSES),
            "found": list(report.classes),
            "published": list(report.survey.published_classes or ()) or None,
        },
        "folds": {str(fold): list(counts) for fold, counts in report.folds.items()},
        "published_folds": list(report.survey.published_folds or ()) or None,
        "frames": {
            "total": sum(frames),
            "shortest": min(frames, default=0),
            "median": float(np.median(frames)) if frames else 0.0,
            "longest": max(frames, default=0),
            "histogram": dict(report.histogram),
        },
        "source_bytes": sum(p.bytes for p in report.probes),
        "prepared_bytes": {str(s): _disk(len(clipset), s) for s in (64, 112)},
        "seconds_per_frame": report.seconds_per_frame,
        "expected_seconds": _expected(report),
        "notes": list(clipset.notes),
    }


def report_text(report: Report) -> str:
    """Return the report as a table to read; long lists are cut, :func:`report_json` has all."""
    clipset = report.survey.clipset
    lines = [f"Data set {clipset.name}" + (f" in {report.root}" if report.root else "")]
    if report.survey.layout:
        lines.append(f"Layout: {report.survey.layout}")
    lines += ["", *_balance_table(report)]
    if report.probes:
        frames = [p.frames for p in report.probes if not p.problem]
        middle = f", median {np.median(frames):.0f}" if frames else ""
        lines += [
            "",
            f"Frames per clip: {min(frames, default=0)} to {max(frames, default=0)}{middle}",
            *_bars(report.histogram),
            "",
            f"On disk: {_bytes(sum(p.bytes for p in report.probes))} in {len(report.probes)} clips",
        ]
    lines.append(
        f"Prepared clips (16 frames) will take {_bytes(_disk(len(clipset), 64))} at 64 pixels, "
        f"{_bytes(_disk(len(clipset), 112))} at 112"
    )
    expected = _expected(report)
    if expected is not None and report.seconds_per_frame is not None:
        lines.append(
            f"Preprocessing will take about {_duration(expected)} in one process "
            f"({1000 * report.seconds_per_frame:.1f} ms a frame, measured here on a few clips)"
        )
    for note in clipset.notes:
        lines.append(f"Note: {note}")
    lines.append("")
    if not report.findings:
        lines.append("Nothing is wrong.")
    for finding in report.findings:
        lines.append(f"[{finding.severity}] {finding.kind}: {finding.message}")
    counted = Counter(f.severity for f in report.findings)
    lines.append("")
    lines.append(
        f"{counted['error']} error(s), {counted['warning']} warning(s), {counted['info']} remark(s)"
    )
    return "\n".join(lines)


def write_json(report: Report, path: Path) -> None:
    """Write :func:`report_json` to a file, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(report_json(report), indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as problem:
        raise UserError(f"{path}: cannot be written ({problem.strerror})") from None


# --- content ---------------------------------------------------------------------------------


def _probe_video(clip: Clip) -> Probe:
    size = clip.source.stat().st_size
    digest = hashlib.sha256()
    with clip.source.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    pictures = hashlib.sha256()
    frames = width = height = claimed = 0
    problem = ""
    try:
        with av.open(str(clip.source)) as container:
            if not container.streams.video:
                raise ValueError("no video in this file")
            claimed = container.streams.video[0].frames
            for frame in container.decode(video=0):
                plane = frame.planes[0]  # luma: what a change of container leaves as it is
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                pictures.update(np.ascontiguousarray(rows[:, : plane.width]))
                frames, width, height = frames + 1, frame.width, frame.height
    except (av.error.FFmpegError, ValueError) as error:
        # frames before the damage were decoded; the clip still counts as unreadable
        problem = f"after {frames} frames: {' '.join(str(error).split())}"
    if not problem and frames == 0:
        problem = "no frame could be decoded"
    if clip.sha256 is not None and clip.sha256 != digest.hexdigest():
        problem = "the file differs from its published sha256"
    return Probe(
        clip.id,
        frames,
        width,
        height,
        size,
        digest.hexdigest(),
        "" if problem else pictures.hexdigest(),
        problem,
        claimed=claimed,
    )


def _probe_images(clip: Clip) -> Probe:
    try:
        files = frame_files(clip.source)
    except UserError:
        files = []
    digest = hashlib.sha256()
    size, problem = 0, ""
    first = None
    for path in files:
        data = path.read_bytes()
        size += len(data)
        digest.update(data)
        if not problem and not _whole_image(data):
            problem = f"{path.name} is not a whole image"
        if first is None:
            first = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
            if first is None and not problem:
                problem = f"{path.name} cannot be decoded"
    if not files:
        problem = "the folder holds no images"
    height, width = first.shape[:2] if first is not None else (0, 0)
    numbers = [int(n[-1]) for n in (re.findall(r"\d+", p.stem) for p in files) if n]
    gaps = sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers)) if numbers else []
    return Probe(
        clip.id,
        len(files),
        width,
        height,
        size,
        digest.hexdigest() if files else "",
        "",
        problem,
        tuple(gaps),
    )


def _whole_image(data: bytes) -> bool:
    """Check begin and end marks: cheap, and finds files that were cut off."""
    if data[:2] == b"\xff\xd8":
        return b"\xff\xd9" in data[-64:]
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return b"IEND" in data[-64:]
    return (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None if data else False
    )


def _content_findings(clipset: ClipSet, probes: Sequence[Probe]) -> list[Finding]:
    findings = []
    files = {clip.id: clip.source for clip in clipset}
    broken = [p for p in probes if p.problem]
    if broken:
        findings.append(
            Finding(
                "unreadable",
                "error",
                f"{len(broken)} clip(s) cannot be read; first "
                f"{files[broken[0].id]}: {broken[0].problem}",
                tuple(p.id for p in broken),
            )
        )
    cut = [p for p in probes if not p.problem and p.frames < p.claimed]
    if cut:
        findings.append(
            Finding(
                "cut-off",
                "warning",
                f"{len(cut)} clip(s) hold fewer frames than their header says; first "
                f"{files[cut[0].id]}: {cut[0].frames} of {cut[0].claimed}",
                tuple(p.id for p in cut),
            )
        )
    short = [p for p in probes if not p.problem and p.frames < SHORT]
    if short:
        least = min(short, key=lambda p: p.frames)
        findings.append(
            Finding(
                "short-clip",
                "warning",
                f"{len(short)} clip(s) have fewer than {SHORT} frames (shortest: "
                f"{files[least.id]}, {least.frames}); they are stretched by interpolation",
                tuple(p.id for p in short),
            )
        )
    gaps = [p for p in probes if p.gaps]
    if gaps:
        findings.append(
            Finding(
                "frame-gap",
                "warning",
                f"{len(gaps)} clip(s) lack frames inside their numbering; first "
                f"{files[gaps[0].id]}: "
                f"{few(map(str, gaps[0].gaps))}",
                tuple(p.id for p in gaps),
            )
        )
    findings.extend(_duplicates(clipset, probes))
    return findings


def _duplicates(clipset: ClipSet, probes: Sequence[Probe]) -> list[Finding]:
    """Group clips with equal bytes or equal decoded pictures."""
    clips = {clip.id: clip for clip in clipset}
    same: dict[str, list[str]] = defaultdict(list)
    for p in probes:
        # equal bytes decode to equal pictures, so the pictures decide where there are any
        if content := p.picture_hash or p.file_hash:
            same[content].append(p.id)
    within, across, labels = [], [], []
    for ids in same.values():
        if len(ids) < 2:
            continue
        pair = " = ".join(ids)
        folds = {clips[i].fold for i in ids}
        (across if len(folds) > 1 else within).append(pair)
        if len({clips[i].label for i in ids}) > 1:
            labels.append(pair)
    findings = []
    for kind, severity, items, text in (
        (
            "duplicate-across-folds",
            "error",
            across,
            "are the same pictures in different folds: training sees test clips (leakage)",
        ),
        ("duplicate", "warning", within, "are the same pictures in one fold"),
        ("duplicate-label", "error", labels, "are the same pictures under different labels"),
    ):
        if items:
            one = items[0].split(" = ")
            places = f"{clips[one[0]].source} and {clips[one[1]].source}"
            message = f"{len(items)} set(s) of clips {text}: {few(items, 3)} (first: {places})"
            findings.append(Finding(kind, severity, message, tuple(items)))
    return findings


# --- numbers ---------------------------------------------------------------------------------


def _per_class(clipset: ClipSet, fold: int | None) -> tuple[int, ...]:
    counts = Counter(c.label for c in clipset if fold is None or c.fold == fold)
    return tuple(counts[c] for c in range(N_CLASSES))


def _typical(clipset: ClipSet, probes: Sequence[Probe], most: int = 3) -> list[Clip]:
    """Choose readable clips of about median length."""
    clips = {clip.id: clip for clip in clipset}
    good = [p for p in probes if not p.problem]
    if not good:
        return []
    middle = float(np.median([p.frames for p in good]))
    return [clips[p.id] for p in sorted(good, key=lambda p: abs(p.frames - middle))[:most]]


def _histogram(frames: Sequence[int]) -> tuple[tuple[str, int], ...]:
    if not frames:
        return ()
    edges = np.array([*EDGES, np.iinfo(np.int64).max])
    counts = np.histogram(np.asarray(frames), bins=edges)[0]
    names = [f"{a}-{b - 1}" for a, b in itertools.pairwise(EDGES)] + [f"{EDGES[-1]}+"]
    return tuple((name, int(n)) for name, n in zip(names, counts, strict=True))


def _balance_table(report: Report) -> list[str]:
    """Class counts per fold, with the published ones where there are any."""
    head = f"{'':>12}" + "".join(f"{name:>10}" for name in CLASSES) + f"{'all':>10}"
    rows = [head]

    def row(title: str, counts: Sequence[int]) -> str:
        cells = "".join(f"{n:>10,}" for n in counts)
        return f"{title:>12}{cells}{sum(counts):>10,}"

    published = report.survey.published_folds
    for fold, counts in report.folds.items():
        line = row(f"fold {fold}", counts)
        if published and fold <= len(published):
            line += f"   (published {published[fold - 1]:,})"
        rows.append(line)
    rows.append(row("all", report.classes))
    if report.survey.published_classes:
        rows.append(row("published", report.survey.published_classes))
    return rows


def _bars(histogram: Sequence[tuple[str, int]], width: int = 40) -> list[str]:
    most = max((n for _, n in histogram), default=0)
    return [
        f"{name:>12} {n:>7,} {'#' * -(-width * n // most)}" if most else name
        for name, n in histogram
    ]


def _disk(clips: int, size: int) -> int:
    return clips * 16 * size * size * 3


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def _expected(report: Report) -> float | None:
    if report.seconds_per_frame is None:
        return None
    return report.seconds_per_frame * sum(p.frames for p in report.probes if not p.problem)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
