"""Add what ``ecstfl evaluate`` measured on real faces to the card of the shipped model.

    ecstfl evaluate --data london.csv --out evaluation
    python -m tools.real_faces evaluation models --name NAME --source SOURCE --licence LICENCE

writes the section "Real faces" of ``MODEL_CARD.md`` from the numbers, which go into
``model_card.json``. A set of the same name is measured anew. A model that lands later begins
without: numbers of another file are refused.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecstfl.errors import UserError, one_sentence
from ecstfl.files import write_json, write_text
from ecstfl.models.model_file import SHIPPED
from ecstfl.video.files import content_sha256
from tools.model_card import render_card


def add_real_faces(evaluation: Path, models: Path, **named: str) -> None:
    """Put one evaluation into the card.

    Args:
        evaluation: folder that ``ecstfl evaluate`` wrote.
        models: folder of the shipped model and its card.
        named: ``name``, ``source`` (authors, DOI, what was made of it) and ``licence``.

    Raises:
        UserError: a file cannot be read, or the evaluation is of another model.
    """
    facts, card = _read(evaluation / "evaluation.json"), _read(models / "model_card.json")
    if facts.get("model_sha256") != content_sha256(models / SHIPPED):
        raise UserError(f"{evaluation}: not an evaluation of {models / SHIPPED}; evaluate that")
    others = [real for real in card.get("real", []) if real["name"] != named["name"]]
    card["real"] = [*others, facts | named]
    write_json(models / "model_card.json", card)
    write_text(models / "MODEL_CARD.md", render_card(card))


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from None


@one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.real_faces",
        description="Add what ecstfl evaluate measured on real faces to the model card.",
    )
    parser.add_argument("evaluation", type=Path, help="folder that ecstfl evaluate wrote")
    parser.add_argument("models", type=Path, nargs="?", default=Path("models"))
    for name in ("name", "source", "licence"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args(arguments)
    add_real_faces(**vars(args))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
