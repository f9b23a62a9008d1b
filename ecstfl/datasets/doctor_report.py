"""What ``ecstfl data doctor`` prints: counts beside the published ones, and findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ecstfl.datasets.doctor import Report
from ecstfl.labels import CLASSES


def report_text(report: Report) -> str:
    """Return the report as a table to read; a finding names the first of long lists."""
    inspection, frames = report.inspection, report.lengths
    clipset = inspection.clipset
    lines = [f"Data set {clipset.name}" + (f" in {report.root}" if report.root else "")]
    if inspection.layout:
        lines.append(f"Layout: {inspection.layout}")
    lines += ["", *_balance_table(report), ""]
    if frames:
        lines.append(
            f"Frames per clip: {min(frames)} to {max(frames)}, median {np.median(frames):.0f}"
        )
    lines += [f"Note: {note}" for note in clipset.notes]
    if not inspection.findings:
        lines.append("Nothing is wrong.")
    lines += [f"[{f.severity}] {f.kind}: {f.message}" for f in inspection.findings]
    n = Counter(f.severity for f in inspection.findings)
    lines += ["", f"{n['error']} error(s), {n['warning']} warning(s), {n['info']} remark(s)"]
    return "\n".join(lines)


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
