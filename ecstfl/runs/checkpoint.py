"""The checkpoint of a run under way: one file that is either whole and this run's, or set aside.

A zip of tensors as torch writes it is read back without complaint when a bit of a tensor has
flipped, and a run would go on from there to a plausible, wrong result. So the file starts with a
SHA-256 of the rest, and the rest names the configuration it belongs to. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
from pathlib import Path
from typing import Any, Final

import torch

from ecstfl.errors import UserError
from ecstfl.files import atomic_write, move_aside

MAGIC: Final = b"ecstfl checkpoint 1\n"


def write_checkpoint(path: Path, state: dict[str, Any], config_hash: str) -> None:
    """Write a state of tensors, numbers, strings, lists and dicts atomically.

    Raises:
        UserError: it cannot be written, for example because the disk is full; the checkpoint
            that was there before is untouched.
    """
    # To memory first: a full disk inside torch's zip writer is a RuntimeError about positions.
    content = io.BytesIO()
    torch.save(state | {"config_hash": config_hash}, content)
    with atomic_write(path) as file:
        file.write(MAGIC + hashlib.sha256(content.getbuffer()).digest())
        file.write(content.getbuffer())


def read_checkpoint(path: Path, config_hash: str) -> dict[str, Any] | None:
    """Return the state in ``path``, or None when there is none that can be used.

    A file that is damaged or of another configuration is moved aside, with a warning that names
    both.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return _parse(content, config_hash)
    except (
        *(RuntimeError, ValueError, KeyError, TypeError, AttributeError, AssertionError),
        *(IndexError, EOFError, OverflowError, pickle.PickleError),
    ) as error:
        set_aside(path, str(error).splitlines()[0] if str(error) else type(error).__name__)
        return None


def set_aside(path: Path, why: str) -> None:
    """Move a checkpoint aside and warn: what, why, and where it is kept."""
    kept = move_aside(path)
    name = kept.name if kept is not None else "nothing: another process moved it"
    warnings.warn(
        f"{path} was broken ({why}); it is kept as {name} and the run starts anew", stacklevel=3
    )


def _parse(content: bytes, config_hash: str) -> dict[str, Any]:
    start = len(MAGIC) + hashlib.sha256().digest_size
    if not content.startswith(MAGIC):
        raise ValueError("not a checkpoint")
    content, digest = content[start:], content[len(MAGIC) : start]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its checksum does not match")
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ValueError("not a checkpoint")
    if state.get("config_hash", config_hash) != config_hash:
        raise ValueError("it belongs to another configuration")
    return state
