"""What a run is: frozen configurations, their canonical JSON, and the hash that names a run.

Everything that can change a result is in :class:`RunConfig`; nothing else is. Two runs with the
same hash are the same experiment, so a finished one is reused and a killed one is resumed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from ecstfl.augment import AugmentConfig
from ecstfl.backbones import BACKBONES, TAPS, WITHOUT_BATCH_NORM
from ecstfl.clipset import ClipSet
from ecstfl.errors import UserError
from ecstfl.preprocess import PreprocessConfig

METHODS = ("softmax", "ec-stfl", "center", "contrastive-center", "supcon", "triplet")
FORMS = ("patent", "paper", "released")
EVALUATIONS = ("test", "validation")

T = TypeVar("T")


@dataclass(frozen=True)
class BackboneConfig:
    """The network (claim 3-1) and where the loss is tapped (claim 3-2).

    Attributes:
        name: one of :data:`~ecstfl.backbones.BACKBONES`.
        width: channels of the first convolution (64 in the paper).
        fc: units of C3D's fully connected layers (4096 in the paper) or of the LSTM; other
            networks have neither.
        dropout: probability, in [0, 1).
        batch_norm: BatchNorm after each convolution, as the authors' baseline has it; only
            C3D and VGG11 can do without.
        tap: name of the layer whose output the EC-STFL loss sees; ``relu7`` is fc7 after its
            ReLU, ``fc7`` before it (the patent does not say which). A network that is not C3D
            has no ``relu7`` and takes its own default, see :mod:`ecstfl.backbones`.
    """

    name: str = "c3d"
    width: int = 16
    fc: int = 256
    dropout: float = 0.2
    batch_norm: bool = True
    tap: str = "relu7"

    def __post_init__(self) -> None:
        _one_of("backbone", self.name, BACKBONES)
        if not self.batch_norm and self.name not in WITHOUT_BATCH_NORM:
            raise UserError(f"{self.name} is defined with BatchNorm: leave batch_norm on")
        if self.name != "c3d" and self.tap == TAPS["c3d"]:
            # settled here, before anything is hashed: one experiment has one name
            object.__setattr__(self, "tap", TAPS[self.name])


@dataclass(frozen=True)
class LossConfig:
    """L = CE + weight * EC-STFL (claim 4), or a cousin in its place.

    Attributes:
        method: ``softmax`` (cross-entropy alone), ``ec-stfl``, or one of
            :data:`ecstfl.cousins.COUSINS`.
        form: which published definition of EC-STFL, see :mod:`ecstfl.loss`; no other method
            has forms.
        weight: the patent's lambda, >= 0; forced to 0 for ``softmax``. Not comparable between
            methods.
    """

    method: str = "softmax"
    form: str = "patent"
    weight: float = 0.0

    def __post_init__(self) -> None:
        _one_of("method", self.method, METHODS)
        _one_of("form", self.form, FORMS)
        if self.weight < 0:
            raise UserError(f"the weight lambda must not be negative, got {self.weight}")
        if self.method not in ("softmax", "ec-stfl") and self.form != "patent":
            raise UserError(f"{self.method} has no forms, got form {self.form!r}")
        if self.method == "softmax" and self.weight:
            raise UserError(f"softmax-only training has weight 0, got {self.weight}")


@dataclass(frozen=True)
class OptimConfig:
    """AdamW under a one-cycle learning rate, for a fixed number of epochs.

    Attributes:
        epochs: passes over the training clips; the last epoch is the result, always.
        batch: clips a step.
        lr: peak learning rate.
        weight_decay: AdamW's, on weights of matrices and kernels only.
        per_class: clips of each class in a batch (m-per-class sampling); 0 = plain shuffling.
    """

    epochs: int = 60
    batch: int = 24
    lr: float = 2e-3
    weight_decay: float = 1e-2
    per_class: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2 or self.lr <= 0:
            raise UserError(
                "training needs epochs >= 1, batch >= 2 and lr > 0, "
                f"got {self.epochs}, {self.batch}, {self.lr}"
            )


@dataclass(frozen=True)
class RunConfig:
    """One training run, completely.

    Attributes:
        data: name of the data set, and ``data_hash`` of its clips, labels and folds.
        data_hash: see :func:`hash_clipset`.
        synthetic: the clips are rendered.
        profile: where the settings came from; marks tables and figures.
        fold: the fold held out for test.
        evaluate: ``test``, or ``validation``: then the next fold is held out of the training
            folds and scored in place of the test fold, which stays unseen. Every choice of a
            setting is made this way.
        seed: of initialisation, order, augmentation and dropout.
    """

    data: str
    data_hash: str
    synthetic: bool
    profile: str
    fold: int
    seed: int = 0
    evaluate: str = "test"
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        _one_of("evaluate", self.evaluate, EVALUATIONS)

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON."""
        return hashlib.sha256(canonical_json(dataclasses.asdict(self)).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Directory name: readable first, unique by the first ten digits of the hash."""
        where = f"fold{self.fold}" + ("-val" if self.evaluate == "validation" else "")
        return f"{self.loss.method}-{where}-seed{self.seed}-{self.hash[:10]}"


def canonical_json(value: Any) -> str:
    """One spelling for one value: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_dict(cls: type[T], values: dict[str, Any]) -> T:
    """Rebuild a frozen configuration from ``dataclasses.asdict`` output (read from JSON).

    Raises:
        UserError: a field is unknown, so the file is from another version.
    """
    hints = get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(
            f"{cls.__name__} has no setting {unknown[0]!r}: the file is from another version"
        )
    built = {}
    for name, value in values.items():
        kind = hints[name]
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            value = from_dict(kind, value)  # type: ignore[arg-type]
        elif isinstance(value, list):
            value = tuple(value)
        built[name] = value
    return cls(**built)


def hash_clipset(clipset: ClipSet) -> str:
    """SHA-256 (hex) over every clip's id, label, group, fold and file hash, in order."""
    rows = [[c.id, c.label, c.group, c.fold, c.sha256] for c in clipset]
    return hashlib.sha256(canonical_json(rows).encode()).hexdigest()


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"unknown {what} {value!r}: use one of {', '.join(known)}")
