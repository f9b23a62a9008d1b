"""Run directories: atomic files, provenance, and one owner at a time.

``results/<profile>/runs/<name>/`` holds

- ``run.json``: configuration, history, confusion matrix, provenance; written last and at once,
  so that its presence means that the run is finished;
- ``features.npz``: ids, labels, logits and embeddings of the evaluated fold;
- ``model.safetensors``: weights, with the configuration in the header;
- ``checkpoint.pt``: the last finished epoch while the run is under way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import nn

import ecstfl
from ecstfl.errors import UserError
from ecstfl.files import PART, atomic_write, move_aside, remove_parts
from ecstfl.labels import CLASSES
from ecstfl.models.model_file import MODEL_FORMAT, model_bytes
from ecstfl.runs.config import RunConfig, canonical_json

SCHEMA = 1

Run = Mapping[str, Any]
"""The contents of a ``run.json``."""

CONTENT: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "config": dict,
    "config_hash": str,
    "synthetic": bool,
    "n_held_out": int,
    "confusion": list,
    "recalls": list,
    "uar": float,
    "war": float,
    "history": list,
    "seconds": (int, float),
    "device": str,
    "finished": str,
    "provenance": dict,
}
"""What tables and figures read from ``run.json``."""


def read_run(directory: Path) -> dict[str, Any] | None:
    """Return the finished run in ``directory``, or None when there is none.

    Raises:
        UserError: ``run.json`` is corrupt or from another version; the sentence says so.
    """
    path = directory / "run.json"
    if not path.exists():
        return None
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is not readable as JSON ({error}): remove or restore it") from None
    if not isinstance(run, dict) or run.get("schema") != SCHEMA:
        raise UserError(
            f"{path} is from another version of ecstfl: move it away or use another --results"
        )
    for name, kind in CONTENT.items():
        if not isinstance(run.get(name), kind):
            raise UserError(f"{path} is damaged, it has no usable {name!r}: remove or restore it")
    return run


def finished_run(results: Path, config: RunConfig) -> dict[str, Any] | None:
    """Return the finished run of exactly this configuration.

    A run that is broken, of another version or of another configuration is no run: its files are
    moved aside, with a warning that names them, and it is to be done again.

    Raises:
        UserError: broken files cannot be moved aside.
    """
    directory = run_directory(results, config)
    broken = directory / "run.json"
    try:
        run = read_run(directory)
        if run is None:
            return None
        if run["config_hash"] != config.hash:
            raise UserError(f"{broken} belongs to another configuration")
        read_features(directory)
        return run
    except UserError as error:
        kept = [move_aside(broken)]
        if str(directory / "features.npz") in str(error) and (directory / "features.npz").exists():
            kept.append(move_aside(directory / "features.npz"))
        names = " and ".join(path.name for path in kept if path is not None)
        if names:  # else another process was faster, and has said so
            warnings.warn(f"{error}; kept as {names}, the run is done again", stacklevel=2)
        return None


def run_directory(results: Path, config: RunConfig) -> Path:
    """Return where the run of this configuration lives."""
    return results / "runs" / config.name


def write_features(directory: Path, **arrays: np.ndarray) -> None:
    """Write ``features.npz``; floats as float16, which is plenty for maps and measures."""
    small = {k: a.astype(np.float16) if a.dtype.kind == "f" else a for k, a in arrays.items()}
    with atomic_write(directory / "features.npz") as file:
        np.savez_compressed(file, **small)


def read_features(directory: Path) -> dict[str, np.ndarray]:
    """Read ``features.npz`` of a run: ids, labels, groups, predictions, logits, embeddings.

    Raises:
        UserError: the file is missing or broken.
    """
    path = directory / "features.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is missing or broken ({error}): run again to redo it") from None


def save_model(path: Path, model: nn.Module, config: RunConfig) -> None:
    """Write weights and configuration as safetensors (nothing in it is ever executed)."""
    header = {"format": MODEL_FORMAT, "config": canonical_json(dataclasses.asdict(config))}
    header["classes"] = json.dumps(CLASSES)
    with atomic_write(path) as file:
        file.write(model_bytes(model.state_dict(), header))


@contextlib.contextmanager
def claim(directory: Path) -> Iterator[bool]:
    """Yield True if this process now owns the run, False if another one does.

    The operating system frees the claim when its owner dies, however it dies. What an owner, dead
    or interrupted, was just writing is removed: it has no name yet under which anybody would read
    it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror or error}") from error
    try:
        remove_parts(directory)
        yield True
    finally:
        remove_parts(directory)
        lock.release()


def sweep(directory: Path) -> None:
    """Remove what a killed owner of the run was writing, unless another process owns it now."""
    if any(directory.glob(f"*{PART}")) or any(directory.glob(f".*{PART}")):
        with claim(directory):
            pass


@lru_cache(maxsize=1)
def provenance() -> dict[str, Any]:
    """Return code version, package versions and hardware, as stored in every ``run.json``."""
    packages = ("torch", "numpy", "scipy", "scikit-learn", "opencv-python", "onnxruntime")
    return {
        "ecstfl": ecstfl.__version__,
        "commit": _git("rev-parse", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--", ".")),  # of the package, see _git
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _git(*arguments: str) -> str | None:
    """Run git in the package's folder."""
    here = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
