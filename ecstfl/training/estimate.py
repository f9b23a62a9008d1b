"""How long a plan will take, from a few training steps of its first run."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.cache import StoredClips
from ecstfl.clips.preprocess_set import Prepared
from ecstfl.distributed import world_size
from ecstfl.files import cores
from ecstfl.labels import N_CLASSES
from ecstfl.runs.config import RunConfig
from ecstfl.training.forward import network_in_training, training_views
from ecstfl.training.learner import new_learner
from ecstfl.training.memory import is_out_of_memory
from ecstfl.training.splits import split_clips


def estimate_minutes(
    configs: list[RunConfig], prepared: Prepared, workers: int, device: str
) -> float:
    """Time some training steps of the first run and scale up: minutes for all ``configs``.

    NaN where memory runs out: the training itself will say so.
    """
    seconds = seconds_per_clip(configs[0], prepared, workers, device, configs[0].optim.precision)
    clips = sum(
        c.optim.epochs * len(split_clips(prepared.clipset, c)[0]) * 1.1 for c in configs
    )  # a tenth more: scoring the held-out fold for the curves
    return seconds * clips / workers / 60


def seconds_per_clip(
    config: RunConfig, prepared: Prepared, workers: int, device: str, precision: str
) -> float:
    """Time the best of four training steps of a run, as one of ``workers``, after a first."""
    config = replace(config, optim=replace(config.optim, precision=precision))
    clips = prepared.clips[: config.optim.batch]
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // workers))
    try:
        return min(trial_steps(config, clips, device, 5)[1:]) / len(clips)
    except Exception as error:
        if world_size() > 1 or not is_out_of_memory(error):
            raise
        return float("nan")
    finally:
        torch.set_num_threads(threads)


def bfloat16_advice(config: RunConfig, prepared: Prepared, workers: int, device: str) -> str | None:
    """Return a sentence where the other of float32 and bfloat16 is clearly faster.

    Some steps are timed in both. A CPU without units for bfloat16 is not asked: it emulates it.
    """
    chosen = config.optim.precision
    if chosen == "fp32" and device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    half, plain = (seconds_per_clip(config, prepared, workers, device, p) for p in ("bf16", "fp32"))
    # a busy machine can make either look slower than it is
    if chosen == "bf16" and half >= 1.5 * plain:
        return (
            f"this {device} has no fast bfloat16: a step takes {half / plain:.1f} times as long as "
            "in float32; --precision fp32 is the same training up to rounding (and other runs)"
        )
    if chosen == "fp32" and plain >= 1.5 * half:
        return (
            f"with --precision bf16 this {device} takes {half / plain:.2f} of the time; it is the "
            "same training up to rounding (and other runs)"
        )
    return None


def trial_steps(
    config: RunConfig, clips: np.ndarray | StoredClips, device: str, steps: int
) -> list[float]:
    """Train a few steps of a run for nothing; all processes of one training must come here.

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
    return seconds
