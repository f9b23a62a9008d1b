"""Write ``results/landed/SHA256SUMS`` anew after a run has landed: python -m tools.checksums."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from ecstfl.errors import UserError, one_sentence
from ecstfl.files import write_text

SUMS = "SHA256SUMS"


def checksums(root: Path) -> str:
    """Return the text of ``SHA256SUMS`` for all results under ``root``.

    Weights, locks and half-written files do not land, so they are left out.
    """
    files = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and not path.name.startswith(".")
        and path.name != SUMS
        and path.suffix not in (".safetensors", ".pt", ".part")
    ]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root).as_posix()}\n"
        for path in files
    ]
    return "".join(sorted(lines, key=lambda line: line[66:]))


@one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Write ``SHA256SUMS`` of the landed results, or of the folder named. Returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    root = Path(given[0]) if given else Path(__file__).resolve().parents[1] / "results" / "landed"
    text = checksums(root)
    if not text:
        raise UserError(f"no results in {root}: name a folder with landed runs")
    write_text(root / SUMS, text)
    print(f"{root / SUMS}: {len(text.splitlines())} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
