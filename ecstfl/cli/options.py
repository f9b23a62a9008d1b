"""Options that several commands share, each said once."""

from __future__ import annotations

import argparse
from pathlib import Path

from ecstfl.errors import UserError


def at_least_one(text: str) -> int:
    """Read a number of processes.

    Raises:
        UserError: it is none, or below 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"--workers must be at least 1, got {text}")
    return int(text)


def add_workers(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--workers``."""
    parser.add_argument("--workers", type=at_least_one, metavar="N", help=what)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet``."""
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add where a data set lies, and which of its layouts to read."""
    parser.add_argument("--root", type=Path, metavar="DIR", help="where the data set lies")
    parser.add_argument(
        "--layout",
        metavar="KIND",
        help="dfew: which clips to read, clip_224x224_16f, clip_224x224 or original (default: "
        "the first of them that is there)",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add which model recognises, and how."""
    parser.add_argument(
        "--model",
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="default: the one that comes with ecstfl, else the newest EC-STFL run in --results",
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="for the network"
    )
    add_workers(parser, "videos side by side (default: one a core)")
    add_quiet(parser)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add where a reproduction reads and writes."""
    add = parser.add_argument
    add("--results", type=Path, metavar="DIR", help="default: results/<profile>")
    add(
        "--figures",
        type=Path,
        metavar="DIR",
        default=Path("figures"),
        help="default: figures; a folder per profile is made in it",
    )
    add(
        "--cache",
        type=Path,
        metavar="DIR",
        default=Path("cache"),
        help="preprocessed clips (default: cache)",
    )
