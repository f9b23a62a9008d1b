"""What a run is: frozen configurations, their canonical JSON, and the hash that names a run.

Everything that can change a result is in :class:`RunConfig`; nothing else is. Two runs with the
same hash are the same experiment, so a finished one is reused and a killed one is resumed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from ecstfl.clips.augment import AugmentConfig
from ecstfl.clips.config import PreprocessConfig
from ecstfl.datasets.clipset import ClipSet
from ecstfl.errors import UserError, one_of
from ecstfl.losses.methods import LossConfig
from ecstfl.models.backbones import BackboneConfig

EVALUATIONS = ("test", "validation")
PRECISIONS = ("fp32", "bf16")
COMPILES = ("off", "on", "graphs")
OPTIMIZERS = ("adamw", "muon")

# Settings that came after the first landed runs, with the value that all earlier runs had. At that
# value they are left out of the hash, so that a run keeps its name when the kit learns something.
ADDED_LATER = {
    ("loss", "warmup"): 0.0,
    ("optim", "precision"): "fp32",
    ("optim", "ema"): 0.0,
    ("optim", "accumulate"): 1,
    ("optim", "rise"): 0.3,
    ("optim", "compile"): "off",
    ("optim", "optimizer"): "adamw",
    ("optim", "muon_lr"): 0.02,
    ("train_groups",): 0,
    ("label_noise",): 0.0,
    ("votes",): 0,
    ("backbone", "pool_first"): False,
    ("backbone", "fc_batch_norm"): False,
    ("backbone", "open_start"): False,
    **{
        ("augment", name): 0.0
        for name in ("still", "light", "channels", "grey", "blur", "half", "noise", "erase")
    },
}

T = TypeVar("T")


@dataclass(frozen=True)
class OptimConfig:
    """AdamW or Muon under a one-cycle learning rate, for a fixed number of epochs.

    Attributes:
        epochs: passes over the training clips; the last epoch is the result, always.
        batch: clips a step.
        lr: AdamW's peak learning rate.
        rise: share of the steps over which the rate rises to its peak, in (0, 1).
        weight_decay: of matrices and kernels only, under either optimiser.
        per_class: clips of each class in a batch (m-per-class sampling); 0 = plain shuffling.
        precision: ``fp32``, or ``bf16``: forward and backward of the network under bfloat16
            autocast (losses, weights, optimiser and scoring stay fp32). Twice as fast on a CPU
            that has AVX512-BF16, more on a GPU; slower where it is emulated.
        ema: decay of an exponential moving average of the weights, in [0, 1), which then is the
            model that is scored and kept; 0 = the last weights themselves.
        accumulate: parts that a batch is cut into, one after the other, when memory is short.
            EC-STFL and BatchNorm see a part, not the batch: it is not the same training.
        compile: ``off``; ``on``: forward and backward of the network through ``torch.compile``;
            ``graphs``: that, replayed as CUDA graphs. The same training up to rounding.
        optimizer: ``adamw`` for all weights, or ``muon`` for matrices and kernels but the
            classifier's, and AdamW for the rest.
        muon_lr: Muon's peak learning rate, not comparable with AdamW's; it follows the same cycle.
    """

    epochs: int = 60
    batch: int = 24
    lr: float = 2e-3
    weight_decay: float = 1e-2
    per_class: int = 0
    precision: str = "fp32"
    ema: float = 0.0
    accumulate: int = 1
    rise: float = 0.3
    compile: str = "off"
    optimizer: str = "adamw"
    muon_lr: float = 0.02

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2 or not 0 < self.lr < math.inf:
            raise UserError(
                "training needs epochs >= 1, batch >= 2 and lr > 0, "
                f"got {self.epochs}, {self.batch}, {self.lr}"
            )
        one_of("precision", self.precision, PRECISIONS)
        one_of("compile", self.compile, COMPILES)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        if not 0 < self.muon_lr < math.inf:
            raise UserError(f"Muon's learning rate must be above 0, got {self.muon_lr}")
        if self.optimizer == "adamw":  # one experiment has one name
            object.__setattr__(self, "muon_lr", ADDED_LATER["optim", "muon_lr"])
        if not 0 < self.rise < 1:
            raise UserError(f"the rate rises over a share of the steps in (0, 1), got {self.rise}")
        if not 0 <= self.ema < 1:
            raise UserError(f"the decay of the moving average must be in [0, 1), got {self.ema}")
        if not 1 <= self.accumulate <= self.batch // 2:
            raise UserError(
                f"a batch of {self.batch} can be cut into 1 to {self.batch // 2} parts of at least "
                f"two clips, got {self.accumulate}"
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
        train_groups: train on this many groups (people) only, drawn with the seed; 0 = all.
        label_noise: share of the training clips, drawn with the seed, whose label is replaced by
            another class, in [0, 1): an experiment. Held-out labels stay as they are; ``train_war``
            counts the labels that were trained on.
        votes: train on what most of this many raters say, drawn with the seed from the raters of
            each clip; 0 = the data set's labels. Held-out labels stay as they are.
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
    train_groups: int = 0
    label_noise: float = 0.0
    votes: int = 0

    def __post_init__(self) -> None:
        one_of("evaluate", self.evaluate, EVALUATIONS)
        if self.seed < 0:
            raise UserError(f"a seed is a whole number from 0, got {self.seed}")
        for name in ("train_groups", "votes"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.label_noise < 1:
            raise UserError(
                f"label_noise is a share of the clips in [0, 1), got {self.label_noise}"
            )

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON, without what was added later and is not used."""
        values = dataclasses.asdict(self)
        for path, before in ADDED_LATER.items():
            *parents, name = path
            holder = values
            for parent in parents:
                holder = holder[parent]
            if holder[name] == before:
                del holder[name]
        return hashlib.sha256(canonical_json(values).encode()).hexdigest()

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
