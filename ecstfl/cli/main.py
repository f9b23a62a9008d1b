"""The ``ecstfl`` command: doctor, data, preprocess, train, reproduce, study, predict, evaluate.

Exit codes: 0 all is well; 1 something was left out (a video, a check) and is named; 2 the input
is wrong, told in one sentence; 130 interrupted with Ctrl-C, finished work is kept.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import ecstfl
from ecstfl.errors import UserError

COMMANDS: Final = {
    "doctor": ("doctor", "check that everything needed is here, with advice"),
    "data": ("data", "fetch and check data sets"),
    "preprocess": ("preprocess", "turn videos into aligned face clips of a fixed length"),
    "train": ("train", "train one method on one fold"),
    "reproduce": ("train", "from videos to the UAR/WAR table and the UMAP figure"),
    "study": ("train", "vary one setting at a time on validation folds"),
    "predict": ("predict", "recognise the expression in videos"),
    "evaluate": ("evaluate", "measure a model on labelled clips and stills"),
}
"""Command -> (module with its function ``add_COMMAND``, what ``ecstfl --help`` says of it)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    take_any_name()
    try:
        args = build_parser(arguments[0] if arguments else "").parse_args(arguments)
        args.command_line = _recorded(arguments)
        return args.run(args)
    except UserError as error:
        print(f"ecstfl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\necstfl: interrupted; finished work is kept, the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # for example: ecstfl doctor | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def take_any_name() -> None:
    """Let the terminal replace letters that its encoding does not know, instead of failing.

    Names of files may hold any letter, and bytes that are none; a file that is written (JSON,
    CSV) keeps them.
    """
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", "") == "strict":
            stream.reconfigure(errors="replace")


def _recorded(arguments: Sequence[str]) -> str:
    """Spell the command as it is kept beside results: without the places of this machine."""
    kept, places = [], ("--cache", "--results", "--figures", "--root", "--out")
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if (
            argument not in places
            and before not in places
            and not argument.startswith(tuple(f"{place}=" for place in places))
        ):
            kept.append(Path(argument).name if before == "--data" else argument)
    return shlex.join(["ecstfl", *kept])


def build_parser(command: str) -> argparse.ArgumentParser:
    """Build the parser; the options of one command, the others by name only.

    So help is instant, and ``doctor`` works where the packages that others need do not import.
    """
    parser = argparse.ArgumentParser(
        prog="ecstfl",
        description="Learn and reproduce EC-STFL, a loss that clusters dynamic expressions.",
        epilog="First steps: ecstfl doctor, then ecstfl reproduce.",
    )
    parser.add_argument("--version", action="version", version=f"ecstfl {ecstfl.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, about) in COMMANDS.items():
        one = commands.add_parser(name, help=about)
        if name == command:
            getattr(importlib.import_module(f"ecstfl.cli.{module}"), f"add_{name}")(one)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
