"""The device of claim 5: load a trained model once, then recognise videos with it.

The model file holds the preprocessing it was trained with, so that recognition cannot see faces
cut or timed in another way than training did.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ecstfl.config import RunConfig, from_dict
from ecstfl.errors import UserError
from ecstfl.faces import FaceBackend
from ecstfl.labels import CLASSES
from ecstfl.preprocess import open_backend, preprocess_clip
from ecstfl.runs import read_run
from ecstfl.train import MODEL_FORMAT, build_backbone, score

HONESTY = "Recognises displayed expressions, not feelings; not for decisions about people."


@dataclass(frozen=True)
class Prediction:
    """What was seen in one video.

    Attributes:
        source: the video.
        probabilities: (7,) in [0, 1], sum 1, in the order of ``CLASSES``.
        coverage: share of the frames that show a face, in [0, 1].
        frames: frames read.
    """

    source: Path
    probabilities: tuple[float, ...]
    coverage: float
    frames: int

    @property
    def label(self) -> int:
        """The most probable class, 0..6."""
        return int(np.argmax(self.probabilities))

    @property
    def expression(self) -> str:
        """Name of the most probable class."""
        return CLASSES[self.label]

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "source": str(self.source),
            "expression": self.expression,
            "probabilities": dict(zip(CLASSES, self.probabilities, strict=True)),
            "coverage": self.coverage,
            "frames": self.frames,
        }


class Recognizer:
    """A trained network with its own preprocessing.

    Args:
        path: ``model.safetensors`` of a run. Loading never executes anything in the file.

    Raises:
        UserError: the file is missing, broken, or not a model of this version and class list.
    """

    def __init__(self, path: Path) -> None:
        self.config, self.model = load_model(path)
        self._backend: FaceBackend | None = None

    def recognize(self, video: Path) -> Prediction:
        """Recognise the expression in one video.

        Raises:
            UserError: the video is unreadable, or shows no face.
        """
        if self._backend is None:
            self._backend = open_backend(self.config.preprocess)
        clip = preprocess_clip(video, self.config.preprocess, self._backend)
        if not len(clip.frames):
            raise UserError(f"{video}: no face found in {clip.n_source} frames")
        stored = torch.from_numpy(clip.frames[None])
        logits, _ = score(self.model, self.config.backbone.tap, stored, self.config)
        shifted = logits[0] - logits[0].max()
        exp = [math.exp(float(x)) for x in shifted]
        return Prediction(
            video, tuple(e / sum(exp) for e in exp), float(clip.coverage), clip.n_source
        )


def load_model(path: Path) -> tuple[RunConfig, nn.Module]:
    """Load a model and the configuration it was trained with.

    Raises:
        UserError: as :class:`Recognizer`.
    """
    if not path.is_file():
        raise UserError(f"no model at {path}: train one with ecstfl reproduce, or name another")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error})") from None
    if header.get("format") != MODEL_FORMAT:
        raise UserError(f"{path} is not an ecstfl model, or from another version of ecstfl")
    try:
        classes = tuple(json.loads(header["classes"]))
        config = from_dict(RunConfig, json.loads(header["config"]))
        model = build_backbone(config.backbone, config.augment.frames, config.augment.size)
        if classes != CLASSES:
            raise UserError(f"{path} knows other classes: {', '.join(map(str, classes))}")
        model.load_state_dict(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} does not fit its own description ({error})") from None
    model.eval()
    return config, model.to(memory_format=torch.channels_last_3d)


def latest_model(results: Path) -> Path:
    """Return the model of the newest finished EC-STFL run below ``results``.

    Raises:
        UserError: there is none.
    """
    found = []
    for model in results.glob("**/runs/ec-stfl-*/model.safetensors"):
        run = read_run(model.parent)
        if run is not None:
            found.append((run["finished"], model))
    if not found:
        raise UserError(
            f"no trained EC-STFL model below {results}: run ecstfl reproduce first, or give "
            "--model FILE"
        )
    return max(found)[1]
