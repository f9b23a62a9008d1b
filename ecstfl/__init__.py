"""ecstfl: learn and reproduce EC-STFL, a loss that clusters dynamic facial expressions.

``from ecstfl import ...`` gives the parts that a program of your own needs, along the way that
data takes. Importing ``ecstfl`` is instant: a part, and torch with it, is loaded when it is used.

=====================  ===========================================================================
``RetinaFace``         finds faces and their five landmarks in a frame
``open_data``          a data set by its name or place: clips with labels, people and folds
``PreprocessConfig``   how clips are prepared
``preprocess_clip``    one video to an aligned clip of T frames (claim 2)
``preprocess``         a whole set, on all cores, with a cache
``C3D``                the network of the paper
``build_backbone``     C3D or one of the networks that it is compared with
``Tap``                reads the features of any layer while a network runs
``ec_stfl_loss``       the loss on features and labels (claim 3), a function
``ECSTFLLoss``         the same as a module
``JointLoss``          cross-entropy + lambda * EC-STFL (claim 4)
``cluster_measures``   how compact and how far apart the classes are in feature space
``RunConfig``          everything that decides a training run
``train_run``          train one run, or go on with an interrupted one
``Recognizer``         the device of claim 5: a trained model that reads videos
=====================  ===========================================================================
"""

import importlib

from ecstfl import privacy, threads  # noqa: F401 - first of all: before any dependency is imported

__version__ = "0.1.0"

_HOME = {
    "RetinaFace": "ecstfl.faces.retinaface",
    "open_data": "ecstfl.datasets.opening",
    "PreprocessConfig": "ecstfl.clips.config",
    "preprocess_clip": "ecstfl.clips.preprocess",
    "preprocess": "ecstfl.clips.preprocess_set",
    "C3D": "ecstfl.models.c3d",
    "build_backbone": "ecstfl.models.backbones",
    "Tap": "ecstfl.models.tap",
    "ec_stfl_loss": "ecstfl.losses.ec_stfl",
    "ECSTFLLoss": "ecstfl.losses.ec_stfl",
    "JointLoss": "ecstfl.losses.joint",
    "cluster_measures": "ecstfl.metrics.clusters",
    "RunConfig": "ecstfl.runs.config",
    "train_run": "ecstfl.training.loop",
    "Recognizer": "ecstfl.predict.recognizer",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    """Load a public name from the module where it lives, when it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'ecstfl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
