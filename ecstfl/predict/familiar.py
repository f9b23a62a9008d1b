"""Clips that a model was trained on: its answer to those says nothing about strangers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from ecstfl.datasets.embedded import find_data, open_embedded, read_manifest
from ecstfl.errors import UserError
from ecstfl.runs.config import RunConfig, hash_clipset
from ecstfl.video.files import content_sha256

_LARGEST: Final = 2**22
"""Bytes; no embedded clip is larger, and a long film need not be hashed."""


def familiar(source: Path, config: RunConfig, embedded: str = "") -> str:
    """Say whether a video is an embedded clip that a model knows from its training.

    Args:
        source: a video; it is known by its content, whatever its name.
        config: of the model's run.
        embedded: as in :class:`~ecstfl.models.model_file.ModelNotes`.

    Returns:
        A sentence; empty when it is no embedded clip, the data is not here, or the model was
        trained on other rendered clips, of other people with the same numbers.
    """
    try:
        if not config.data.startswith("embedded") or source.stat().st_size > _LARGEST:
            return ""
        row = _embedded().get(content_sha256(source))
        if row is None or _hash(config.data) not in (config.data_hash, embedded):
            return ""
    except (OSError, UserError):
        return ""
    if row["split"] != "default":
        return ""
    fold = int(row["fold"])
    new = [config.fold] + [config.fold % 5 + 1] * (config.evaluate == "validation")
    clip = f"this is the embedded clip {row['clip']} of fold {fold}"
    if fold in new:
        return f"{clip}, which was held out: the model was not trained on this person"
    return (
        f"{clip}, and the model was trained on this person: the answer does not tell how it "
        f"does with strangers (held out: fold {' and '.join(map(str, new))})"
    )


@lru_cache(maxsize=1)
def _embedded() -> dict[str, dict[str, str]]:
    """SHA-256 of a clip -> its row in the manifest."""
    return {row["sha256"]: row for row in read_manifest(find_data(None))}


@lru_cache(maxsize=2)
def _hash(data: str) -> str:
    """Hash of the embedded clips as runs name their data."""
    prior = "longtail" if data.endswith("longtail") else "balanced"
    return hash_clipset(open_embedded(prior=prior, verify=False))
