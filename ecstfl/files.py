"""Files that are written whole or not at all, and who may use the cores.

Every file that this package writes goes through :func:`atomic_write`: a reader never sees half a
file, a killed process leaves the old one, and the user's umask decides who may read it.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ecstfl.errors import UserError

PART = ".part"
"""Ending of a file that is being written; whoever owns the folder may remove it."""


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its place only when all went well.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # 0o666 less the umask, as any program's files; tempfile would make them private
        handle = os.open(
            part, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o666
        )
    except OSError as error:
        raise UserError(f"cannot write to {path.parent}: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "; make room and give the command again, finished work is kept" if full else ""
        raise UserError(f"cannot write {path}: {error.strerror or error}{advice}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON atomically: sorted keys, no NaN."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table atomically; names of files keep whatever bytes they have."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode(errors="surrogateescape"))


def move_aside(path: Path) -> Path | None:
    """Rename what is broken so that it is kept but not in the way.

    Returns:
        Its new place, or None when another process has just moved it.

    Raises:
        UserError: it cannot be renamed.
    """
    for n in range(1, 1000):
        target = path.with_name(f"{path.name}.broken-{n}")
        if not target.exists():
            try:
                path.rename(target)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise UserError(f"cannot move {path} aside: {error.strerror or error}") from error
            return target
    raise UserError(f"too many broken copies beside {path}: remove them")


def remove_parts(folder: Path) -> None:
    """Remove what a killed process was writing into a folder that this process owns now."""
    for part in [*folder.glob(f"*{PART}"), *folder.glob(f".*{PART}")]:
        part.unlink(missing_ok=True)


def cores() -> int:
    """Return how many cores this process may use: at least 1."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
