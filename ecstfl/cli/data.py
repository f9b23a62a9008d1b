"""The commands ``ecstfl data get`` and ``ecstfl data doctor``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ecstfl.cli.options import add_quiet, add_root, add_workers
from ecstfl.datasets.opening import NAMES
from ecstfl.errors import UserError


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add ``get`` and ``doctor``; each sets ``run``, a function (args) -> exit code."""
    commands = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")

    get = commands.add_parser(
        "get",
        help="fetch a public data set from its authors",
        description="Fetch RAVDESS or CREMA-D from where the authors keep it, or a few real clips "
        "to look at. Source, size and licence are shown first; an interrupted download goes on; "
        "every file is verified.",
    )
    get.add_argument("name", help="ravdess, crema-d, or real-clips (six, 2.6 MB)")
    get.add_argument("--root", type=Path, help="folder to fill (default: cache/NAME)")
    get.add_argument(
        "--actors",
        help="only these, for example 1-4,7 (RAVDESS 1..24, CREMA-D 1001..1091); default: all",
    )
    get.add_argument("--yes", action="store_true", help="agree to source, size and licence")
    add_quiet(get)
    get.set_defaults(run=run_get)

    doctor = commands.add_parser(
        "doctor",
        help="say what is in a data set and what is wrong with it",
        description="Check a data set: missing, unreadable, short and duplicate clips, labels, "
        "folds, leakage, and counts against the published protocol. Exit code 0: usable, 1: "
        "errors were found, 2: nothing to check.",
    )
    doctor.add_argument("name", help=f"{', '.join(NAMES)}, a folder, or a .csv file")
    add_root(doctor)
    doctor.add_argument(
        "--quick",
        action="store_true",
        help="names, labels and folds only; open no clip (no duplicates, no frame counts)",
    )
    add_workers(doctor, "threads for reading (default: all cores)")
    add_quiet(doctor)
    doctor.set_defaults(run=run_doctor)


def run_get(args: argparse.Namespace) -> int:
    """Run ``ecstfl data get``."""
    from ecstfl.datasets.download import get_data, source_of
    from ecstfl.datasets.real_clips import NAME, get_real_clips

    def confirm(text: str) -> bool:
        print(text, file=sys.stderr)
        if args.yes:
            return True
        if not sys.stdin.isatty():
            raise UserError("nobody to ask: add --yes to agree to source, size and licence")
        return input("Download, under these terms? [y/N] ").strip().lower() in ("y", "yes")

    root = args.root or Path("cache", args.name)
    if args.name == NAME:
        if args.actors:
            raise UserError(f"--actors {args.actors}: {NAME} shows one actor")
        clips = get_real_clips(root, confirm, progress=not args.quiet)
        print(f"{NAME} are in {root}; next: ecstfl evaluate --data {clips}")
        return 0
    source, actors = source_of(args.name), parse_numbers(args.actors)
    folder = get_data(source, root, confirm, actors, progress=not args.quiet)
    print(
        f"{args.name} is complete in {folder}; next: ecstfl data doctor {args.name} --root {folder}"
    )
    return 0


def run_doctor(args: argparse.Namespace) -> int:
    """Run ``ecstfl data doctor``."""
    from ecstfl.datasets.doctor import examine
    from ecstfl.datasets.doctor_report import report_text
    from ecstfl.datasets.opening import inspect_data

    inspection = inspect_data(args.name, args.root, layout=args.layout)
    report = examine(
        inspection,
        args.root or ("" if args.name in NAMES else args.name),
        quick=args.quick,
        workers=args.workers,
        progress=not args.quiet,
    )
    print(report_text(report))
    return 1 if report.errors else 0


def parse_numbers(text: str | None) -> list[int] | None:
    """Turn ``1-4,7`` into [1, 2, 3, 4, 7]; None stays None.

    Raises:
        UserError: anything else.
    """
    if text is None:
        return None
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise UserError(f"--actors {text}: expected numbers like 1-4,7")
        low, high = int(first), int(last or first)
        if not low <= high <= 9999:
            raise UserError(f"--actors {text}: {part.strip()} is not a range")
        numbers.extend(range(low, high + 1))
    return numbers
