"""What ``ecstfl data doctor`` prints and writes: counts beside the published ones, and findings."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from ecstfl.datasets.doctor import Report
from ecstfl.labels import CLASSES

EDGES: Final = (1, 8, 16, 32, 64, 128, 256, 512)
"""Lower edges of the frame-count histogram; the last bin is open."""


def report_json(report: Report) -> dict[str, Any]:
    """Return the report as plain numbers, strings and lists."""
    inspection, frames = report.inspection, report.lengths
    clipset = inspection.clipset
    return {
        "data": clipset.name,
        "root": report.root,
        "layout": inspection.layout,
        "synthetic": clipset.synthetic,
        "clips": len(clipset),
        "errors": report.errors,
        "findings": [asdict(f) for f in inspection.findings],
        "classes": {
            "names": list(CLASSES),
            "found": list(report.count()),
            "published": list(inspection.published_classes or ()) or None,
        },
        "folds": {str(fold): list(report.count(fold)) for fold in clipset.folds},
        "published_folds": list(inspection.published_folds or ()) or None,
        "frames": {
            "total": sum(frames),
            "shortest": min(frames, default=0),
            "median": float(np.median(frames)) if frames else 0.0,
            "longest": max(frames, default=0),
            "histogram": _histogram(frames),
        },
        "source_bytes": sum(p.bytes for p in report.probes),
        "prepared_bytes": {str(s): _prepared_bytes(len(clipset), s) for s in (64, 112)},
        "seconds_per_frame": report.seconds_per_frame,
        "expected_seconds": report.expected_seconds,
        "notes": list(clipset.notes),
    }


def report_text(report: Report) -> str:
    """Return the report as a table to read; long lists are cut, :func:`report_json` has all."""
    inspection, frames = report.inspection, report.lengths
    clipset = inspection.clipset
    lines = [f"Data set {clipset.name}" + (f" in {report.root}" if report.root else "")]
    if inspection.layout:
        lines.append(f"Layout: {inspection.layout}")
    lines += ["", *_balance_table(report)]
    if report.probes:
        middle = f", median {np.median(frames):.0f}" if frames else ""
        lines += [
            "",
            f"Frames per clip: {min(frames, default=0)} to {max(frames, default=0)}{middle}",
            *_bars(_histogram(frames)),
            "",
            f"On disk: {_bytes(sum(p.bytes for p in report.probes))} in {len(report.probes)} clips",
        ]
    small, large = (_bytes(_prepared_bytes(len(clipset), side)) for side in (64, 112))
    lines.append(f"Prepared clips (16 frames) will take {small} at 64 pixels, {large} at 112")
    if report.expected_seconds is not None and report.seconds_per_frame is not None:
        lines.append(
            f"Preprocessing will take about {_duration(report.expected_seconds)} in one process "
            f"({1000 * report.seconds_per_frame:.1f} ms a frame, measured here on a few clips)"
        )
    lines += [f"Note: {note}" for note in clipset.notes]
    lines.append("")
    if not inspection.findings:
        lines.append("Nothing is wrong.")
    lines += [f"[{f.severity}] {f.kind}: {f.message}" for f in inspection.findings]
    n = Counter(f.severity for f in inspection.findings)
    lines += ["", f"{n['error']} error(s), {n['warning']} warning(s), {n['info']} remark(s)"]
    return "\n".join(lines)


def _histogram(frames: Sequence[int]) -> dict[str, int]:
    """Clips by number of frames."""
    names = [f"{a}-{b - 1}" for a, b in itertools.pairwise(EDGES)] + [f"{EDGES[-1]}+"]
    counts = np.histogram(frames, bins=[*EDGES, np.iinfo(np.int64).max])[0]
    return dict(zip(names, counts.tolist(), strict=True)) if frames else {}


def _balance_table(report: Report) -> list[str]:
    """Class counts per fold, with the published ones where there are any."""

    def row(title: str, counts: Sequence[int]) -> str:
        return f"{title:>12}" + "".join(f"{n:>10,}" for n in [*counts, sum(counts)])

    inspection = report.inspection
    rows = [f"{'':>12}" + "".join(f"{name:>10}" for name in [*CLASSES, "all"])]
    published = dict(enumerate(inspection.published_folds or (), start=1))
    for fold in inspection.clipset.folds:
        line = row(f"fold {fold}", report.count(fold))
        rows.append(line + (f"   (published {published[fold]:,})" if fold in published else ""))
    rows.append(row("all", report.count()))
    if inspection.published_classes:
        rows.append(row("published", inspection.published_classes))
    return rows


def _bars(histogram: dict[str, int], width: int = 40) -> list[str]:
    most = max(histogram.values(), default=0)
    return [f"{name:>12} {n:>7,} {'#' * -(-width * n // most)}" for name, n in histogram.items()]


def _prepared_bytes(clips: int, size: int) -> int:
    return clips * 16 * size * size * 3


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
