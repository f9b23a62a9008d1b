"""Import torchvision for parity tests, also beside a CPU-only torch.

Its CUDA build cannot load its operators there, and its import fails because two of them are then
unknown. Declaring their signatures is enough: no network here calls them.
"""

import importlib
import sys

import pytest
import torch

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept = []  # an operator lives as long as the library object that declares it


def import_torchvision():
    """Return torchvision.models, or skip the test where torchvision is not installed."""
    try:
        return importlib.import_module("torchvision.models")
    except ImportError:
        pytest.skip("torchvision is not installed")
    except RuntimeError:
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # half imported
        library = torch.library.Library("torchvision", "FRAGMENT")
        _kept.append(library)
        for operator in _OPERATORS:
            library.define(operator)
        return importlib.import_module("torchvision.models")
