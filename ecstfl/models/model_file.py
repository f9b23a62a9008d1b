"""The model file: weights and everything needed to use them, in one safetensors file.

Nothing in it is ever executed. The header says what the weights are (format, classes, the run's
configuration with its preprocessing) and, for a checkpoint that was landed with
``python -m tools.model_card``, how it was calibrated. A SHA-256 over header and weights stands in
the header too, so that a damaged or edited file is refused instead of giving other answers. (It
guards against accidents and careless edits; whoever forges a file can forge the sum as well.)
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from ecstfl.errors import UserError
from ecstfl.labels import CLASSES

MODEL_FORMAT: Final = "ecstfl-1"
"""What the header calls this version; another one is refused."""

DIGEST: Final = "sha256"
"""Header key of the checksum."""

NOTES: Final = "notes"
"""Header key of :class:`ModelNotes`."""

ENVIRONMENT: Final = "ECSTFL_MODELS"
SHIPPED: Final = "ecstfl-small.safetensors"
MAX_SHIPPED_BYTES: Final = 12_000_000


@dataclass(frozen=True)
class ModelNotes:
    """What is known of a model beyond its training.

    Attributes:
        temperature: logits are divided by it before the softmax; > 0, 1 when not calibrated.
        calibrated_on: clips whose logits fitted the temperature; 0 when not calibrated.
        clip_seconds: typical length of the training clips, > 0; the length of a window.
        longest_seconds: videos up to this length are taken whole, as the training clips were.
        run: name of the run the weights come from.
        embedded: data hash of the embedded clips, where a run was trained on them and on others
            (a joined pack, whose own hash tells nothing about them).
    """

    temperature: float = 1.0
    calibrated_on: int = 0
    clip_seconds: float = 1.5
    longest_seconds: float = 5.0
    run: str = ""
    embedded: str = ""

    def __post_init__(self) -> None:
        for name in ("temperature", "clip_seconds", "longest_seconds"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0.001 <= value <= 3600:
                raise UserError(f"model notes: {name} must be in 0.001..3600, got {value!r}")

    @property
    def calibrated(self) -> bool:
        """Whether the probabilities were fitted on clips that the model had not seen."""
        return self.calibrated_on > 0


def digest(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """SHA-256 (hex) over names, types, shapes and bytes of the tensors and over the header."""
    total = hashlib.sha256()
    rest = {key: value for key, value in header.items() if key != DIGEST}
    total.update(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def model_bytes(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> bytes:
    """Return the content of a model file, equal for equal models; the checksum joins the header."""
    own = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    content = safetensors_bytes(own, metadata=dict(header) | {DIGEST: digest(own, header)})
    return _sorted_metadata(content)


def _sorted_metadata(content: bytes) -> bytes:
    """Order the metadata of a safetensors file, so that equal models are equal files.

    The library writes it in the order of a hash table that is seeded anew each time.

    Args:
        content: a whole safetensors file.

    Returns:
        The same file, its metadata sorted by name.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    metadata = dict(sorted(header.pop("__metadata__", {}).items()))
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight
    return len(text).to_bytes(8, "little") + text + content[start:]


def read_model(path: Path, expected_format: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return (tensors, header) of a model file that is whole and of this version.

    Raises:
        UserError: missing, not safetensors, not an ecstfl model, of another version or class
            list, or changed since it was written.
    """
    if not path.is_file():
        raise UserError(f"no model at {path}: train one with ecstfl reproduce, or name another")
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error})") from None
    found = header.get("format", "")
    if found != expected_format:
        other = f"it says {found!r}, " if found else ""
        raise UserError(
            f"{path} is not an ecstfl model of this version ({other}expected {expected_format!r}): "
            "train anew, or use the version of ecstfl that wrote it"
        )
    if header.get(DIGEST) != digest(tensors, header):
        raise UserError(
            f"{path} was damaged or changed after it was written (its checksum does not match): "
            "get it anew"
        )
    try:
        classes = tuple(json.loads(header["classes"]))
    except (KeyError, ValueError, TypeError):
        classes = ()
    if classes != CLASSES:
        raise UserError(
            f"{path} knows other classes ({', '.join(map(str, classes)) or 'none'}); "
            f"this version knows {', '.join(CLASSES)}"
        )
    return tensors, header


def find_shipped(root: Path | str | None = None) -> Path | None:
    """Return the checkpoint that comes with ecstfl, or None when there is none.

    Looked for in this order: ``root``, the environment variable ``ECSTFL_MODELS``, beside this
    module (where a wheel puts it), ``models`` in the repository that holds this package,
    ``models`` in the current folder.

    Raises:
        UserError: a folder that was named does not hold it.
    """
    for named, what in ((root, ""), (os.environ.get(ENVIRONMENT), f" (from {ENVIRONMENT})")):
        if named:
            path = Path(named) / SHIPPED
            if not path.is_file():
                raise UserError(f"no {SHIPPED} in {named}{what}: name the folder that holds it")
            return path
    here = Path(__file__).resolve()
    for folder in (here.parent, here.parents[2] / "models", Path.cwd() / "models"):
        if (folder / SHIPPED).is_file():
            return folder / SHIPPED
    return None
