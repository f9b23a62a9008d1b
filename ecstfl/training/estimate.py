"""How long a plan will take, from a few training steps of its first run."""

from __future__ import annotations

import os
import time

import numpy as np
import torch

from ecstfl.clips.augment import training_view
from ecstfl.clips.preprocess_set import Prepared
from ecstfl.models.backbones import build_backbone
from ecstfl.runs.config import RunConfig
from ecstfl.training.memory import is_out_of_memory
from ecstfl.training.train import split_clips


def estimate_minutes(
    configs: list[RunConfig], prepared: Prepared, workers: int, device: str
) -> float:
    """Time two training steps of the first run and scale up: minutes for all ``configs``."""
    first = configs[0]
    a_clip = seconds_a_clip(first, prepared, workers, device, first.optim.precision)
    clips = sum(
        c.optim.epochs * len(split_clips(prepared.clipset, c)[0]) * 1.1 for c in configs
    )  # a tenth more: optimiser, and scoring the held-out fold for the curves
    return a_clip * clips / workers / 60


def seconds_a_clip(
    config: RunConfig, prepared: Prepared, workers: int, device: str, precision: str
) -> float:
    """Time the best of four training steps of a run, as one of ``workers``, after a first."""
    model = build_backbone(config.backbone, config.augment.frames, config.augment.size)
    model = model.to(device, memory_format=torch.channels_last_3d)
    stored = torch.from_numpy(np.ascontiguousarray(prepared.clips[: config.optim.batch]))
    stored = stored.to(device)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    try:
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            view = training_view(stored, config.augment, torch.Generator().manual_seed(0))
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                out = model(view)
            out.float().logsumexp(1).sum().backward()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return float("nan")  # the training itself will say which batch would fit
    finally:
        torch.set_num_threads(threads)
    return min(seconds[1:]) / len(stored)


def bfloat16_advice(config: RunConfig, prepared: Prepared, workers: int, device: str) -> str | None:
    """Return a sentence where bfloat16 is slower than float32, as on CPUs that emulate it."""
    if config.optim.precision != "bf16":
        return None
    ours, plain = (seconds_a_clip(config, prepared, workers, device, p) for p in ("bf16", "fp32"))
    if not ours >= 1.5 * plain:  # a busy machine can make either look slower than it is
        return None
    return (
        f"this {device} has no fast bfloat16: a step takes {ours / plain:.1f} times as long as in "
        "float32; --precision fp32 is the same training in other digits (and other runs)"
    )
