"""``ecstfl preprocess``: from what the user points at to a folder of clips with a report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecstfl.cli.options import add_quiet, add_workers
from ecstfl.clips import temporal
from ecstfl.clips.array import write_clip_array
from ecstfl.clips.config import PreprocessConfig
from ecstfl.clips.contact_sheet import contact_sheet, save_png
from ecstfl.clips.preprocess_set import preprocess
from ecstfl.datasets.opening import clips_from_inputs
from ecstfl.faces import align
from ecstfl.faces.detection import BACKENDS
from ecstfl.files import write_json, write_text

ABOUT = {
    "frames": "frames of a clip",
    "size": "side in pixels",
    "margin": "crop larger (> 0) or tighter (< 0) than the reference by this share",
    "shift": "move the crop down the face by this share of its reference side",
    "alignment": ", ".join(align.ALIGNMENTS),
    "smoothing": "Gaussian over the landmarks in time, frames; 0: none",
    "temporal": ", ".join(temporal.METHODS),
    "backend": ", ".join(BACKENDS),
    "landmarks": "folder of landmark files, for backend landmarks",
    "detector_side": "detector input, pixels; 640 finds smaller faces, four times slower",
    "min_coverage": "leave out clips with a face in a smaller share of their frames",
    "threshold": "least confidence of RetinaFace, 0 to 1",
    "max_frames": "refuse longer videos",
}
"""Options of :class:`PreprocessConfig` that take a value, and what ``--help`` says of them."""


def add_preprocess(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``preprocess``; every default is :class:`PreprocessConfig`'s."""
    parser.description = (
        "Detect faces, drop frames without, align by landmarks, bring every clip to "
        "the same number of frames (claim 2). Give videos, folders, or a CSV manifest."
    )
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="INPUT", help="videos, folders, or a CSV manifest")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for clips and report")
    base = PreprocessConfig()
    for name, about in ABOUT.items():
        default = getattr(base, name)
        option, said = f"--{name.replace('_', '-')}", f"{about} (default: %(default)s)"
        add(option, type=type(default), default=default, metavar="X", help=said)
    add(
        "--search-every-frame",
        dest="follow",
        action="store_false",
        help="search every frame whole instead of about the last face first; half as fast",
    )
    add_workers(parser, "processes (default: one a core)")
    add_quiet(parser)
    parser.set_defaults(run=run_from_arguments)


def run_from_arguments(args: argparse.Namespace) -> int:
    """Run ``ecstfl preprocess``; print the report; return the exit code.

    Returns:
        0 when every input became a clip, 1 when something was left out (named in the report).

    Raises:
        UserError: see :func:`run_preprocess`.
    """
    names = set(PreprocessConfig.__dataclass_fields__) & set(vars(args))
    config = PreprocessConfig(**{name: getattr(args, name) for name in names})
    report = run_preprocess(args.inputs, args.out, config, args.workers, not args.quiet)
    print(render_report(report))
    print(f"written: {args.out}")
    return int(report["exit_code"])


def run_preprocess(
    inputs: Sequence[Path | str],
    out: Path,
    config: PreprocessConfig,
    n_workers: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Prepare what the user points at and write the result to a folder.

    Written to ``out``: ``clips.npy`` (n, T, S, S, 3) with ``manifest.csv`` (row, id, path, label,
    group, fold, coverage), ``report.json``, ``report.txt``, ``contact_sheet.png``, and
    ``cache/``, from which an interrupted run goes on.

    Args:
        inputs: see :func:`ecstfl.datasets.opening.clips_from_inputs`.
        out: folder; created when missing.
        config: how.
        n_workers: processes; by default one a core.
        progress: show a progress bar.

    Returns:
        The report, with ``skipped`` (inputs that are not clips) and ``exit_code`` (0: all kept,
        1: something left out).

    Raises:
        UserError: no input, unusable options, the backend is missing, ``out`` not writable.
    """
    out = Path(out)
    clipset, skipped = clips_from_inputs(inputs)
    prepared = preprocess(clipset, config, out / "cache", n_workers, progress)
    report = prepared.report
    report["skipped"] = [{"path": str(path), "reason": why} for path, why in skipped]
    report["exit_code"] = int(bool(report["dropped"] or skipped))
    write_clip_array(out, prepared)
    save_png(out / "contact_sheet.png", contact_sheet(prepared))
    write_text(out / "report.txt", render_report(report) + "\n")
    write_json(out / "report.json", report)
    return report


def render_report(report: dict[str, Any]) -> str:
    """Return the report as text for people."""
    config = report["config"]
    synthetic = " (synthetic)" if report["synthetic"] else ""
    finder = ", ".join(report["backends"]) or config["backend"]
    lines = [
        f"{report['name']}{synthetic}: {report['n_kept']} of {report['n_clips']} clips kept, "
        f"{config['frames']} x {config['size']} x {config['size']}",
        f"faces: {finder}; alignment {config['alignment']}; length by {config['temporal']}",
        f"frames: {report['frames_kept']} with a face of {report['frames_read']} read; "
        f"{report['clips_per_second']} clips/s, {report['from_cache']} from cache",
    ]
    if report["mean_coverage"] is not None:
        lines.append(f"share of frames with a face: {report['mean_coverage']:.1%} in the mean clip")
    for title, items, name in (
        ("left out", report["dropped"], "id"),
        ("not clips", report.get("skipped", []), "path"),
    ):
        if items:
            lines += ["", f"{title} ({len(items)}):"]
            lines += [f"  {item[name]}: {item['reason']}" for item in items]
    if report["warnings"]:
        lines += ["", f"remarks ({len(report['warnings'])}):"]
        lines += [f"  {w['id']}: {'; '.join(w['problems'])}" for w in report["warnings"]]
    return "\n".join(lines)
