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
import json
import os
import platform
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock, Timeout

import ecstfl
from ecstfl.config import RunConfig
from ecstfl.errors import UserError

SCHEMA = 1


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its place only when all went well.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    except OSError as error:
        raise UserError(f"cannot write to {path.parent}: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(part, 0o666 & ~umask)  # mkstemp makes files private; results are to be shared
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON atomically."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with atomic_write(path) as file:
        file.write(text.encode())


def move_aside(path: Path) -> Path:
    """Rename a broken file so that it is kept, named, and no longer in the way."""
    for n in range(1, 1000):
        target = path.with_name(f"{path.name}.broken-{n}")
        if not target.exists():
            path.rename(target)
            return target
    raise UserError(f"too many broken copies beside {path}: remove them")


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
    if not isinstance(run, dict) or run.get("schema") != SCHEMA or "config" not in run:
        raise UserError(
            f"{path} is from another version of ecstfl: move it away or use another --results"
        )
    return run


def finished_run(results: Path, config: RunConfig) -> dict[str, Any] | None:
    """Return the finished run of exactly this configuration; a broken one is moved aside."""
    directory = run_directory(results, config)
    try:
        run = read_run(directory)
        if run is not None and run["config_hash"] != config.hash:
            raise UserError(f"{directory / 'run.json'} belongs to another configuration")
        if run is not None:
            read_features(directory)
    except (UserError, KeyError):
        if (directory / "run.json").exists():
            move_aside(directory / "run.json")
        return None
    return run


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


@contextlib.contextmanager
def claim(directory: Path) -> Iterator[bool]:
    """Yield True if this process now owns the run, False if another one does.

    The operating system frees the claim when its owner dies, however it dies.
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
        yield True
    finally:
        lock.release()


@lru_cache(maxsize=1)
def provenance() -> dict[str, Any]:
    """Return code version, package versions and hardware, as stored in every ``run.json``."""
    packages = ("torch", "numpy", "scipy", "scikit-learn", "opencv-python", "onnxruntime")
    return {
        "ecstfl": ecstfl.__version__,
        "commit": _git("rev-parse", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--untracked-files=no", "--", "ecstfl")),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _git(*arguments: str) -> str | None:
    here = Path(__file__).resolve().parent
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
