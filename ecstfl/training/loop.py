"""The training loop (claim 4): cross-entropy and EC-STFL, joined, on every batch of every epoch.

One call of :func:`train_run` trains one :class:`~ecstfl.runs.config.RunConfig` to its last epoch
and writes its run folder. No choice is ever made by looking at the test fold: the number of epochs
is fixed, and the last epoch is the result. The held-out fold is scored on the way to draw curves
only.

A run can be killed at any moment. Every epoch draws its order, augmentation and dropout from
generators seeded with (seed, epoch), so that a resumed run continues exactly as an uninterrupted
one would have.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.cache import StoredClips
from ecstfl.datasets.clipset import ClipSet
from ecstfl.distributed import main_process_only
from ecstfl.runs.config import RunConfig
from ecstfl.runs.run_folder import run_directory
from ecstfl.training.finish import finish
from ecstfl.training.forward import Network, network_in_training, training_views
from ecstfl.training.learner import Learner, save_checkpoint, start_or_resume
from ecstfl.training.memory import explain_out_of_memory
from ecstfl.training.meter import Meter
from ecstfl.training.optimizers import set_learning_rates
from ecstfl.training.reproducible import reproducible_arithmetic, seed_epoch
from ecstfl.training.samplers import epoch_batches, parts_of_batch
from ecstfl.training.scoring import add_held_out_scores
from ecstfl.training.splits import split_clips, training_labels

Progress = Callable[[int, int, dict[str, float]], None]
"""Called after each epoch with (epochs done, epochs in all, the epoch's record)."""


@explain_out_of_memory
def train_run(
    config: RunConfig,
    clipset: ClipSet,
    clips: np.ndarray | StoredClips,
    results: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    score_every: int | None = None,
) -> dict[str, Any]:
    """Train one run to its end, resuming from its checkpoint when there is one.

    Under ``torchrun`` several processes train it together, see :mod:`ecstfl.distributed`.

    Args:
        config: the run.
        clipset: n labelled clips with folds and groups.
        clips: (n, T, H, W, 3) uint8, the preprocessed frames in the order of ``clipset``; a
            mapped file may be larger than the memory.
        results: the run folder is made below it.
        device: ``cpu`` or ``cuda``.
        progress: called after each epoch.
        score_every: epochs between scorings of the held-out fold (for curves only); default: a
            tenth of all, at least 2, so that many short epochs are not slowed down by scoring.

    Returns:
        The content of ``run.json``.

    Raises:
        UserError: the loss became NaN or infinite, memory ran out, or nothing can be written.
    """
    started = time.perf_counter()
    folder, epochs = run_directory(results, config), config.optim.epochs
    score_every = score_every or max(2, epochs // 10)
    tell = main_process_only(progress or (lambda *_: None))
    with reproducible_arithmetic(device):
        learner, history, seconds = start_or_resume(config, folder, device)
        started -= seconds  # of the time before it was interrupted
        train, held_out = split_clips(clipset, config)
        train_clips, test_clips = (ClipBatches(clips, rows, device) for rows in (train, held_out))
        labels = torch.from_numpy(training_labels(clipset, train, config)).to(device)
        truth = torch.from_numpy(clipset.labels[held_out]).to(device)
        with network_in_training(learner.model, config, device) as network:
            for epoch in range(len(history), epochs):
                record = train_epoch(learner, network, train_clips, labels, config, epoch)
                if (epoch + 1) % score_every == 0 or epoch + 1 == epochs:
                    add_held_out_scores(record, learner.result, test_clips, truth, config)
                history.append(record)
                save_checkpoint(folder, learner, history, time.perf_counter() - started, config)
                tell(epoch + 1, epochs, record)
        return finish(
            folder, learner.result, config, clipset, len(train), held_out, test_clips, history,
            time.perf_counter() - started, device,
        )  # fmt: skip


def train_epoch(
    learner: Learner,
    network: Network,
    clips: ClipBatches | Tensor,
    labels: Tensor,
    config: RunConfig,
    epoch: int,
) -> dict[str, float]:
    """Train on every clip once, in the order and with the draws of this epoch's seeds.

    Args:
        learner: network, loss and optimisers; changed in place.
        network: the learner's, as :func:`~ecstfl.training.forward.network_in_training` gives it:
            views (n, 3, T, S, S) -> logits (n, classes), tapped embeddings (n, d).
        clips: (n, T, H, W, 3) uint8, on the device.
        labels: (n,) int64, there too.
        config: the run.
        epoch: counted from 0.

    Returns:
        Means over the clips: ``loss`` and its terms, ``train_war``; and counts.

    Raises:
        UserError: the loss or a weight became NaN or infinite.
    """
    batches = epoch_batches(labels.cpu().numpy(), config.optim, config.seed, epoch)
    steps = config.optim.epochs * len(batches)
    draws = seed_epoch(config.seed, epoch)
    meter = Meter(config, epoch)
    learner.model.train()
    learner.loss.reset_counts()
    for number, batch in enumerate(batches):
        step = epoch * len(batches) + number
        set_learning_rates(learner.optimizers, step, steps, config.optim.rise)
        learner.loss.set_progress(step / steps)  # lambda may still be warming up
        learner.zero_grad()
        for part in parts_of_batch(batch, config.optim.accumulate):  # all at once by default
            chosen = torch.tensor(part, device=clips.device)
            views = training_views(clips[chosen], config.augment, draws)
            logits, embeddings = network(views)
            meter.stop_unless_finite(number, logits, embeddings)
            loss, terms = learner.loss(logits, embeddings, labels[chosen])  # CE + lambda * EC-STFL
            meter.stop_unless_finite(number, loss)
            (loss * (len(part) / len(batch))).backward()
            meter.add(loss, terms, logits, labels[chosen])
        learner.step()
    # A gradient can overflow where the loss did not: the last step must not reach a checkpoint.
    meter.stop_unless_finite(number, *learner.tensors())
    return meter.record() | {"one_class_batches": learner.loss.counts()["one_class"]}
