"""A few training steps for nothing: to see how long one takes, and whether it fits into memory."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.cache import StoredClips
from ecstfl.labels import N_CLASSES
from ecstfl.runs.config import RunConfig
from ecstfl.training.forward import network_in_training, training_views
from ecstfl.training.learner import new_learner
from ecstfl.training.scoring import score_held_out


def trial_steps(
    config: RunConfig, clips: np.ndarray | StoredClips, device: str, steps: int
) -> list[float]:
    """Train a few steps of a run and score some clips, with all clips on the device.

    From the second step on, the gradients and moments of the step before lie beside it. All
    processes of one training must come here.

    Returns:
        Seconds of each step.
    """
    learner = new_learner(config, device)
    stored = ClipBatches(clips, np.arange(len(clips)), device)
    labels = torch.arange(min(config.optim.batch, len(clips)), device=device) % N_CLASSES
    plain = replace(config, optim=replace(config.optim, compile="off"))  # compiling takes minutes
    seconds = []
    with network_in_training(learner.model, plain, device) as network:
        for _ in range(steps):
            started = time.perf_counter()
            draws = torch.Generator().manual_seed(0)
            views = training_views(stored[: len(labels)], config.augment, draws)
            learner.loss(*network(views), labels)[0].backward()
            learner.step()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    score_held_out(learner.result, stored[: 3 * len(labels)], config)
    return seconds
