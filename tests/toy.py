"""A data set of moving spots: the class is where the spot goes. Small, fast, learnable."""

from pathlib import Path

import numpy as np

from ecstfl.clips.augment import AugmentConfig
from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.losses.methods import LossConfig
from ecstfl.models.backbones import BackboneConfig
from ecstfl.runs.config import OptimConfig, RunConfig, hash_clipset

SIZE, FRAMES = 16, 4


def toy_data(groups=10, folds=5, seed=0):
    """Return (ClipSet, clips (n, 4, 16, 16, 3) uint8): one clip of each class a group."""
    rng = np.random.default_rng(seed)
    records, videos = [], []
    y, x = np.mgrid[:SIZE, :SIZE]
    for group in range(groups):
        tint = rng.uniform(0.5, 1, 3)
        for label in range(7):
            angle = 2 * np.pi * label / 7
            video = []
            for t in range(FRAMES):
                cy, cx = 7.5 + 1.7 * t * np.sin(angle), 7.5 + 1.7 * t * np.cos(angle)
                spot = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 6)
                frame = 200 * spot[..., None] * tint + rng.normal(25, 8, (SIZE, SIZE, 3))
                video.append(np.clip(frame, 0, 255).astype(np.uint8))
            videos.append(video)
            records.append(
                Clip(
                    f"g{group:02d}-{label}",
                    Path(f"g{group:02d}-{label}.mp4"),
                    label,
                    f"g{group:02d}",
                    group % folds + 1,
                    votes=tuple(np.roll((7, 2, 1, 0, 0, 0, 0), label).tolist()),
                )
            )
    return ClipSet("toy", tuple(records), synthetic=True), np.array(videos)


def toy_config(clipset, *, method="ec-stfl", weight=0.1, epochs=3, **changes):
    """Return a RunConfig that trains on the toy data in about a second."""
    loss = LossConfig(method, weight=0.0 if method == "softmax" else weight)
    settings = {
        "data": clipset.name,
        "data_hash": hash_clipset(clipset),
        "synthetic": clipset.synthetic,
        "profile": "toy",
        "fold": 1,
        "augment": AugmentConfig(size=SIZE, frames=FRAMES, rotate=0, flip=0),
        "backbone": BackboneConfig(width=4, fc=16, dropout=0.1),
        "loss": loss,
        "optim": OptimConfig(epochs=epochs, batch=14, lr=5e-3),
    }
    return RunConfig(**(settings | changes))
