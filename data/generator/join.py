"""Packs into one to train on: the people of the second are dealt to folds 2 to 5 of the first.

So a network that is tested on fold 1 learns from both packs, and is tested on people of the first.
The joined folder holds copies of the videos, a manifest and checksums; the truth per frame stays
with the packs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import tempfile
from pathlib import Path

from ecstfl.datasets.embedded import read_manifest
from ecstfl.errors import UserError

from .pack import FOLDS, _write

PEOPLE = 10_000
"""The identities of the second pack start here, those of a third at twice this, and so on, so that
no two people share a number."""
LETTERS = "xyz"
"""Begin the names of the clips of the second, third and fourth pack."""


def join(first: Path, second: Path, out: Path) -> int:
    """Write the default splits of both packs to ``out``; returns the number of clips.

    Args:
        first: a finished pack, or a joined one; its folds stay.
        second: another one; its clips are renamed ``x...`` (``y...`` where the first is joined
            already) and dealt to folds 2 to 5 by person.
        out: a new or empty folder.

    Raises:
        UserError: ``out`` is in use, a pack is missing, empty or damaged, both show the same people
            or have a clip of one name, the first was joined three times, or nothing can be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not an empty folder: name a new one, or delete it")
    rows = [row for row in read_manifest(first) if row["split"] == "default"]
    if not rows:
        raise UserError(f"{first} has no clips of the default split: name another pack")
    sources = [first / row["file"] for row in rows]
    head = list(rows[0])
    more = [row for row in read_manifest(second) if row["split"] == "default"]
    seeds = sorted({row["seed"] for row in rows} & {row["seed"] for row in more})
    if seeds:  # a person is drawn from seed and number: people of the test fold would be learned
        raise UserError(
            f"{first} and {second} were both rendered with seed {seeds[0]} and show the same "
            "people: render the second with another --seed"
        )
    taken = {row["clip"][0] for row in rows}
    letter = next((letter for letter in LETTERS if letter not in taken), None)
    if letter is None:
        raise UserError(
            f"{first} holds {len(LETTERS) + 1} packs already: render one that is larger"
        )
    for row in sorted(more, key=lambda row: row["clip"]):
        number = int(row["identity"])
        clip = f"{letter}{row['clip'][1:]}"
        sources.append(second / row["file"])
        rows.append(
            dict.fromkeys(head, "")
            | {key: value for key, value in row.items() if key in head}
            | {
                "clip": clip,
                "file": f"more/{clip}.mp4",
                "identity": str(PEOPLE * (1 + LETTERS.index(letter)) + number),
                "fold": str(2 + number % (FOLDS - 1)),
                "longtail": "0",
            }
        )
    if len({row["clip"] for row in rows}) < len(rows):
        raise UserError(
            f"two clips of {second} would take one name: give the pack that is joined already first"
        )
    table = io.StringIO()
    writer = csv.DictWriter(table, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # the folder appears under its name when it is whole: a stopped join can be started again
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as part:
            whole = Path(part) / "joined"
            _copy(rows, sources, whole)
            _write(whole / "manifest.csv", table.getvalue().encode())
            sums = [f"{row['sha256']}  {row['file']}\n" for row in rows]
            manifest = hashlib.sha256(table.getvalue().encode()).hexdigest()
            _write(whole / "SHA256SUMS", "".join([*sums, f"{manifest}  manifest.csv\n"]).encode())
            if out.exists():
                out.rmdir()  # it is empty, see above
            os.replace(whole, out)
    except OSError as error:
        raise UserError(f"cannot copy {error.filename} to {out}: {error.strerror}") from None
    return len(rows)


def _copy(rows: list[dict[str, str]], sources: list[Path], out: Path) -> None:
    for row, source in zip(rows, sources, strict=True):
        target = out / row["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        if hashlib.sha256(target.read_bytes()).hexdigest() != row["sha256"]:
            raise UserError(f"{source} is damaged (wrong SHA-256); render or restore it")
