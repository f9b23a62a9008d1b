"""Which runs make one row of a table, what the row is called, and which row it is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import replace

from ecstfl.losses.methods import LossConfig
from ecstfl.models.backbones import TITLES
from ecstfl.runs.config import RunConfig

METHOD_NAMES = {
    "softmax": "softmax only",
    "ec-stfl": "EC-STFL",
    "center": "center loss",
    "contrastive-center": "contrastive-center loss",
    "supcon": "SupCon",
    "triplet": "triplet loss",
}
"""What the methods of :class:`~ecstfl.runs.config.LossConfig` are called in tables."""

IN_PRINT = {
    "c3d": "C3D",
    "r3d18": "R3D18",
    "resnet3d18": "3D ResNet18",
    "p3d": "P3D",
    "i3d": "I3D-RGB",
    "vgg11-lstm": "VGG11+LSTM",
    "resnet18-lstm": "ResNet18+LSTM",
}
"""What the paper calls the networks."""


def method_name(config: RunConfig) -> str:
    """Return the row's name, e.g. ``C3D, EC-STFL (patent, lambda 0.1)``."""
    loss = config.loss
    name = f"{TITLES[config.backbone.name]}, {METHOD_NAMES[loss.method]}"
    if loss.method == "softmax":
        return name
    form = f"{loss.form}, " if loss.method == "ec-stfl" else ""
    rising = f", warm-up {loss.warmup:g}" if loss.warmup else ""
    return f"{name} ({form}lambda {loss.weight:g}{rising})"


def printed_name(config: RunConfig) -> str | None:
    """Return what the row is called in the printed tables; None for what they do not have."""
    network = IN_PRINT.get(config.backbone.name)
    if network is None or config.loss.method == "softmax":
        return network
    return f"{network}, {METHOD_NAMES[config.loss.method]}"


def by_row(configs: Iterable[RunConfig]) -> dict[RunConfig, list[RunConfig]]:
    """Gather the runs that differ in fold and seed only, under one of fold 0 and seed 0."""
    rows: dict[RunConfig, list[RunConfig]] = {}
    for config in configs:
        rows.setdefault(replace(config, fold=0, seed=0), []).append(config)
    return rows


def row_names(keys: Iterable[RunConfig]) -> dict[RunConfig, str]:
    """Name the rows; where two would be called alike, add the settings that tell them apart."""
    alike: dict[str, list[RunConfig]] = {}
    for key in keys:
        alike.setdefault(method_name(key), []).append(key)
    names = {}
    for name, group in alike.items():
        settings = [_flat(dataclasses.asdict(key)) for key in group]
        differing = [k for k in settings[0] if len({repr(s.get(k)) for s in settings}) > 1]
        for key, values in zip(group, settings, strict=True):
            extra = [f"{k.split('.')[-1].replace('_', ' ')} {values[k]}" for k in differing]
            names[key] = ", ".join([name, *extra])
    return names


def _flat(values: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def baseline_of(key: RunConfig, rows: Iterable[RunConfig]) -> RunConfig | None:
    """Return the softmax-only row of the same setting; its tap changes nothing it learns."""
    if key.loss.method == "softmax":
        return None
    plain = replace(key, loss=LossConfig())
    for other in rows:
        backbone = replace(other.backbone, tap=key.backbone.tap)
        if other.loss.method == "softmax" and (
            replace(other, loss=LossConfig(), backbone=backbone) == plain
        ):
            return other
    return None
