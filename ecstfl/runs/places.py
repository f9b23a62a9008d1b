"""Where a reproduction reads and writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ecstfl.errors import UserError
from ecstfl.files import write_json
from ecstfl.runs.config import RunConfig


@dataclass(frozen=True)
class Places:
    """Where a reproduction reads and writes.

    Attributes:
        results: ``table.md``, ``differences.md``, both as CSV, and ``runs/``.
        figures: PNG, SVG and JSON.
        cache: preprocessed clips.
    """

    results: Path
    figures: Path
    cache: Path


def check_results(results: Path, config: RunConfig) -> None:
    """Refuse a results folder that holds another data set's or profile's runs."""
    mine = {"data": config.data, "data_hash": config.data_hash, "profile": config.profile}
    path = results / "plan.json"
    if path.exists():
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError):
            theirs = {}
        if theirs != mine:
            raise UserError(
                f"{results} holds runs of the {theirs.get('profile', '?')} profile on "
                f"{theirs.get('data', '?')} (another profile, data set or version of it): "
                "choose another folder with --results"
            )
    else:
        write_json(path, mine)
