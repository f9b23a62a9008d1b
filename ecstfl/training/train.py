"""Joint training of a backbone with cross-entropy and EC-STFL (claim 4): a plain loop.

One call trains one :class:`~ecstfl.runs.config.RunConfig` to its last epoch and writes its run
directory. No choice is ever made by looking at the test fold: the number of epochs is fixed,
and the last epoch is the result. The test fold is scored during training only to *draw* curves.

Under ``torchrun`` several processes train one run together, see :mod:`ecstfl.training.parallel`.

A run can be killed at any moment. Every epoch draws its order, augmentation and dropout from
generators seeded with (seed, epoch), so that a resumed run continues exactly as an
uninterrupted one would have.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ecstfl.clips.augment import center_view, training_view
from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.cache import StoredClips
from ecstfl.datasets.clipset import ClipSet
from ecstfl.distributed import gather
from ecstfl.errors import UserError
from ecstfl.files import atomic_write, write_json
from ecstfl.labels import CLASSES, N_CLASSES
from ecstfl.losses.ec_stfl import constant, warmup
from ecstfl.losses.methods import MethodLoss, build_method
from ecstfl.metrics.clusters import cluster_measures
from ecstfl.metrics.intervals import people
from ecstfl.metrics.recognition import confusion_matrix, recalls, uar, war
from ecstfl.models.backbones import build_backbone, embedding_size
from ecstfl.models.model_file import MODEL_FORMAT, model_bytes
from ecstfl.models.tap import Tap
from ecstfl.runs.checkpoint import read_checkpoint, set_aside, write_checkpoint
from ecstfl.runs.config import OptimConfig, RunConfig, canonical_json
from ecstfl.runs.run_folder import SCHEMA, provenance, read_run, run_directory, write_features
from ecstfl.training.compiled import Tapped, compiled
from ecstfl.training.memory import is_out_of_memory, out_of_memory
from ecstfl.training.parallel import crew, replicated, shared_batch_norm, wait
from ecstfl.training.samplers import MPerClassSampler, PlainSampler

Progress = Callable[[int, int, dict[str, float]], None]
"""Called after each epoch with (epochs done, epochs in all, the epoch's record)."""


@dataclass
class Learner:
    """All that training changes, and nothing else: what a checkpoint holds.

    Attributes:
        model: the backbone.
        average: moving average of its weights, or None.
        joint: the loss; some methods learn class centres.
        optimizer: over the parameters of both.
    """

    model: nn.Module
    average: AveragedModel | None
    joint: MethodLoss
    optimizer: torch.optim.Optimizer

    @property
    def result(self) -> nn.Module:
        """The network that is scored and kept."""
        return self.model if self.average is None else self.average.module

    def step(self) -> None:
        """Follow the gradients that have been added up."""
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def state(self) -> dict[str, Any]:
        """Return everything by name, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "average": {} if self.average is None else self.average.state_dict(),
            "loss": self.joint.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned.

        Raises:
            RuntimeError, ValueError, KeyError, TypeError: it is of another network or version.
        """
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.joint.load_state_dict(state.get("loss", {}))  # older checkpoints: nothing to remember
        self.optimizer.load_state_dict(state["optimizer"])

    def is_finite(self) -> bool:
        """Whether no weight and no statistic is NaN or infinite."""
        tensors = (t for m in (self.model, self.joint) for t in m.state_dict().values())
        return all(bool(t.isfinite().all()) for t in tensors if t.is_floating_point())


def split_clips(clipset: ClipSet, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return (train, held-out) indices into ``clipset``, both (k,) int64.

    With ``evaluate="validation"`` the fold after the test fold is held out and the test fold
    is in neither part.

    Raises:
        UserError: no such fold, a group on both sides, or a part that is empty.
    """
    clipset.split(config.fold)  # checks the fold and its groups
    folds = np.array([-1 if clip.fold is None else clip.fold for clip in clipset])
    held_out, train = folds == config.fold, folds != config.fold
    if config.evaluate == "validation":
        if len(clipset.folds) < 3:
            raise UserError("validation needs at least three folds: one to test, one to validate")
        following = clipset.folds[(clipset.folds.index(config.fold) + 1) % len(clipset.folds)]
        clipset.subset(~held_out).split(following)
        held_out, train = folds == following, train & (folds != following)
    if not held_out.any() or not train.any():
        raise UserError(f"fold {config.fold} leaves no clips to train on or to score")
    if config.train_groups:
        who = people(clipset.groups)
        train &= np.isin(who, _drawn_groups(who[train], config))
    return np.flatnonzero(train), np.flatnonzero(held_out)


def _drawn_groups(groups: np.ndarray, config: RunConfig) -> np.ndarray:
    """Draw the groups of a smaller training set: a larger set holds every smaller one."""
    known = np.unique(groups)
    if config.train_groups > len(known):
        raise UserError(f"train_groups is {config.train_groups}, but only {len(known)} can train")
    return np.random.default_rng(config.seed).permutation(known)[: config.train_groups]


def learning_rate(step: int, steps: int, peak: float, share: float = 0.3) -> float:
    """One cycle: up from peak/25 over a share of the steps, then down a cosine to ~0."""
    rise = max(1, round(share * steps))
    if step < rise:
        low = peak / 25
        return low + (peak - low) * (1 - math.cos(math.pi * step / rise)) / 2
    return peak * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2


def batches(labels: np.ndarray, config: OptimConfig, seed: int, epoch: int) -> list[list[int]]:
    """Return the batches of one epoch as lists of indices; a batch of one clip is left out."""
    whole = {"rank": 0, "world_size": 1}  # processes cut up each batch, not the order of batches
    if config.per_class:
        sampler = MPerClassSampler(
            labels, m=config.per_class, batch_size=config.batch, seed=seed, **whole
        )
    else:
        sampler = PlainSampler(len(labels), config.batch, seed, **whole)
    sampler.set_epoch(epoch)
    # BatchNorm has no variance for one clip, and no process may be left without any.
    return [batch for batch in sampler if len(batch) >= max(2, crew().size)]


def score(
    model: nn.Module, tap: str, clips: Tensor | ClipBatches, config: RunConfig, batch: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Return (logits (n, classes), embeddings (n, d)), float32, of stored clips (n, T, H, W, 3)."""
    model.eval()
    logits, embeddings = [], []
    with torch.inference_mode(), Tap(model, tap) as tapped:
        for start in range(0, len(clips), batch):
            view = center_view(clips[start : start + batch], config.augment)
            out, embedding = tapped(view)
            logits.append(out.float().cpu())
            embeddings.append(embedding.float().cpu())
    return torch.cat(logits).numpy(), torch.cat(embeddings).numpy()


def score_held_out(
    model: nn.Module, clips: Tensor | ClipBatches, config: RunConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return :func:`score` of a run's held-out clips, in batches that follow the run's."""
    batch = _scoring_batch(config.optim.batch // config.optim.accumulate)
    return score(model, config.backbone.tap, clips, config, batch)


def _scoring_batch(step: int) -> int:
    """Return how many clips to score at once where a training step takes ``step``.

    Where only a small step fits into the memory, 64 clips at once might not.
    """
    return min(64, 3 * step)


def train_run(
    config: RunConfig,
    clipset: ClipSet,
    clips: np.ndarray | StoredClips,
    results: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    score_every: int = 2,
) -> dict[str, Any]:
    """Train one run to its end, resuming from its checkpoint when there is one.

    Args:
        config: the run.
        clipset: n labelled clips with folds and groups.
        clips: (n, T, H, W, 3) uint8, the preprocessed frames in the order of ``clipset``; a
            mapped file may be larger than the memory.
        results: the run directory is made below it.
        device: ``cpu`` or ``cuda``.
        progress: called after each epoch.
        score_every: epochs between scorings of the held-out fold (for curves only).

    Returns:
        The content of ``run.json``.

    Raises:
        UserError: the loss became NaN or infinite, memory ran out, or nothing can be written.
    """
    try:
        return _train_to_the_end(config, clipset, clips, results, device, progress, score_every)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    if not crew().alone:  # a trial step would wait for the others
        raise UserError(
            f"{config.name}: out of memory at batch {config.optim.batch} over {crew().size} "
            f"processes; try --batch {config.optim.batch // 2}"
        )
    # outside the except clause: there, the failed step would still hold its memory
    raise out_of_memory(config, lambda batch: _trial(config, clips, device, batch))


def _train_to_the_end(
    config: RunConfig,
    clipset: ClipSet,
    clips: np.ndarray | StoredClips,
    results: Path,
    device: str,
    progress: Progress | None,
    score_every: int,
) -> dict[str, Any]:
    directory = run_directory(results, config)
    started = time.perf_counter()
    optim = config.optim
    deterministic = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(device == "cpu")
    # torch would also fill every new buffer with NaN, to expose operators that read what they have
    # not written; tests/models/test_conv3d.py looks for those instead. No bit of a result depends
    # on it.
    torch.utils.deterministic.fill_uninitialized_memory = False
    ours = crew()
    try:
        if not ours.first:
            wait()  # the first may set a broken checkpoint aside before anybody else reads it
        learner, history, seconds = _start_or_resume(config, directory, device)
        if ours.first:
            wait()
        replica = replicated(learner.model, config.backbone.tap)
        train, held_out = split_clips(clipset, config)
        labels = clipset.labels
        train_clips = ClipBatches(clips, train, device)
        test_clips = ClipBatches(clips, held_out, device)
        train_labels = torch.from_numpy(labels[train]).to(device)

        with Tap(*replica) as tap:
            tapped = compiled(tap, optim.compile, device)
            for epoch in range(len(history), optim.epochs):
                record = train_epoch(learner, tapped, train_clips, train_labels, config, epoch)
                if not ours.first:
                    continue  # the rest is scoring and writing
                if (epoch + 1) % score_every == 0 or epoch + 1 == optim.epochs:
                    logits, _ = score_held_out(learner.result, test_clips, config)
                    confusion = confusion_matrix(labels[held_out], logits.argmax(1))
                    record |= {"held_out_uar": uar(confusion), "held_out_war": war(confusion)}
                history.append(record)
                spent = seconds + time.perf_counter() - started
                state = learner.state() | {"history": history, "seconds": spent}
                write_checkpoint(directory / "checkpoint.pt", state, config.hash)
                if progress is not None:
                    progress(epoch + 1, optim.epochs, record)
        if ours.first:
            spent = seconds + time.perf_counter() - started
            _finish(
                config, clipset, learner.result, test_clips, train, held_out, history, spent,
                results, device,
            )  # fmt: skip
        wait()
        run = read_run(directory)
        assert run is not None  # the first process has just written it
        return run
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = fill


def _trial(config: RunConfig, clips: np.ndarray | StoredClips, device: str, batch: int) -> None:
    """Train two steps and score, all for nothing, to see whether a run with this batch fits.

    With all clips on the device. The second step has the first one's gradients and moments beside
    it, and a run that cannot score its held-out clips is none.
    """
    learner = new_learner(config, device)
    stored = ClipBatches(clips, np.arange(len(clips)), device)
    for _ in range(2):
        view = training_view(stored[:batch], config.augment, torch.Generator().manual_seed(0))
        with (
            Tap(learner.model, config.backbone.tap) as tapped,
            _autocast(device, config.optim.precision),
        ):
            logits, embeddings = tapped(view)
        labels = torch.arange(len(view), device=device) % N_CLASSES
        learner.joint(logits, embeddings, labels)[0].backward()
        learner.step()
    score(learner.result, config.backbone.tap, stored[: _scoring_batch(batch)], config)


def train_epoch(
    learner: Learner,
    tapped: Tapped,
    clips: ClipBatches | Tensor,
    labels: Tensor,
    config: RunConfig,
    epoch: int,
) -> dict[str, float]:
    """Train on every clip once, in the order and with the draws of this epoch's seeds.

    Args:
        learner: changed in place.
        tapped: the learner's network, or its replica, tapped: see
            :func:`ecstfl.training.compiled.compiled`.
        clips: (n, T, H, W, 3) uint8, on the device.
        labels: (n,) int64, there too.
        config: the run.
        epoch: counted from 0.

    Returns:
        Means over the clips: ``loss`` and its terms, ``train_war``; and counts.

    Raises:
        UserError: the loss or a weight became NaN or infinite.
    """
    host_labels = labels.cpu().numpy()
    steps_an_epoch = len(batches(host_labels, config.optim, config.seed, 0))
    steps = config.optim.epochs * steps_an_epoch
    joint, optimizer = learner.joint, learner.optimizer
    learner.model.train()
    draws = torch.Generator().manual_seed(_mix(config.seed, epoch, 1))
    ours = crew()
    torch.manual_seed(_mix(config.seed, epoch, 2 + ours.rank))  # dropout
    # Sums stay on the device until the epoch's end: reading one would wait for the GPU each step.
    sums: dict[str, Tensor] = {}
    right = torch.zeros((), dtype=torch.int64, device=clips.device)
    seen = 0
    joint.reset_counts()
    for number, index in enumerate(batches(host_labels, config.optim, config.seed, epoch)):
        step = epoch * steps_an_epoch + number
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, config.optim.lr, config.optim.rise)
        joint.set_progress(step / steps)  # lambda may still be warming up
        optimizer.zero_grad(set_to_none=True)
        for part in _parts(index, config.optim.accumulate):
            chosen = torch.tensor(part, device=clips.device)
            rows = ours.share(len(part))
            view = training_view(clips[chosen], config.augment, draws, rows)
            with _autocast(clips.device.type, config.optim.precision):
                logits, embeddings = tapped(view)
            logits, embeddings = gather(logits), gather(embeddings)
            if not (torch.isfinite(logits).all() and torch.isfinite(embeddings).all()):
                raise _diverged(config, epoch, number)
            total, terms = joint(logits, embeddings, labels[chosen])
            if not torch.isfinite(total):
                raise _diverged(config, epoch, number)
            (total * (len(part) / len(index))).backward()
            for name, value in {"loss": total.detach(), **terms}.items():
                sums[name] = sums.get(name, 0.0) + value.double() * len(part)
            right += (logits.detach().argmax(1) == labels[chosen]).sum()
        learner.step()
        seen += len(index)
    # A gradient can overflow where the loss did not: the last step must not reach a checkpoint.
    if not learner.is_finite():
        raise _diverged(config, epoch, number)
    record = {name: float(value) / seen for name, value in sums.items()}
    return record | {
        "epoch": epoch + 1,
        "train_war": int(right) / seen,
        "one_class_batches": joint.counts()["one_class"],
    }


def _parts(index: list[int], parts: int) -> list[list[int]]:
    """Cut a batch into equal parts of at least two clips (BatchNorm has no variance for one)."""
    parts = max(1, min(parts, len(index) // max(2, crew().size)))
    cuts = [round(i * len(index) / parts) for i in range(parts + 1)]
    return [index[a:b] for a, b in itertools.pairwise(cuts)]


def _autocast(device: str, precision: str) -> torch.autocast:
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


def _diverged(config: RunConfig, epoch: int, step: int) -> UserError:
    kept = f"the checkpoint of epoch {epoch} is kept" if epoch else "no epoch was finished"
    return UserError(
        f"{config.name}: the loss became NaN or infinite at epoch {epoch + 1}, step {step + 1}; "
        f"{kept}; try a lower lr or a lower weight"
    )


def weight_groups(model: nn.Module, joint: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Decay kernels and matrices; biases and BatchNorm's scales have nothing to shrink to.

    Class centres that are learned follow the embeddings: they have a group without decay.
    """
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    centres = list(joint.parameters())
    return [*groups, {"params": centres, "weight_decay": 0.0}] if centres else groups


def _mix(seed: int, epoch: int, stream: int) -> int:
    """Derive an independent 63-bit seed."""
    return int(np.random.SeedSequence([seed, epoch, stream]).generate_state(1, np.uint64)[0] >> 1)


def new_learner(config: RunConfig, device: str) -> Learner:
    """Return network, loss and optimiser as the run's seed makes them."""
    torch.manual_seed(config.seed)
    frames, size = config.augment.frames, config.augment.size
    model = build_backbone(config.backbone, frames, size)
    model = shared_batch_norm(model.to(device, memory_format=torch.channels_last_3d))
    dim = embedding_size(model, config.backbone.tap, frames, size)
    schedule = warmup(0.0, config.loss.warmup) if config.loss.warmup else constant
    joint = build_method(config.loss, N_CLASSES, dim, config.seed, schedule=schedule)
    joint = joint.to(device)
    groups = weight_groups(model, joint, config.optim.weight_decay)
    average = None
    if config.optim.ema:
        mean = get_ema_multi_avg_fn(config.optim.ema)
        # BatchNorm's running statistics are averaged too: they belong to the weights.
        average = AveragedModel(model, multi_avg_fn=mean, use_buffers=True)
    # fused: one pass over the weights instead of seven. It rounds in another order, so fp32 runs,
    # some of which are landed to the digit, keep the plain one.
    fused = config.optim.precision == "bf16"
    optimizer = torch.optim.AdamW(groups, lr=config.optim.lr, fused=fused)
    return Learner(model, average, joint, optimizer)


def _start_or_resume(
    config: RunConfig, directory: Path, device: str
) -> tuple[Learner, list[dict[str, float]], float]:
    """Return (learner, history, seconds): new or as checkpointed."""
    learner = new_learner(config, device)
    path = directory / "checkpoint.pt"
    state = read_checkpoint(path, config.hash)
    if state is None:
        return learner, [], 0.0
    try:
        learner.load(state)
        return learner, list(state["history"]), float(state["seconds"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:  # of another version
        set_aside(path, str(error).splitlines()[0])
        return new_learner(config, device), [], 0.0


def _finish(
    config: RunConfig,
    clipset: ClipSet,
    model: nn.Module,
    test_clips: ClipBatches,
    train: np.ndarray,
    held_out: np.ndarray,
    history: list[dict[str, float]],
    seconds: float,
    results: Path,
    device: str,
) -> None:
    directory = run_directory(results, config)
    logits, embeddings = score_held_out(model, test_clips, config)
    labels = clipset.labels[held_out]
    predictions = logits.argmax(1)
    confusion = confusion_matrix(labels, predictions)
    try:
        clusters = cluster_measures(embeddings, labels, k=min(10, len(labels) - 1)).as_dict()
    except ValueError:  # one clip of each class has no within-class distance: not defined
        clusters = None
    write_features(
        directory,
        ids=np.array(clipset.ids)[held_out],
        labels=labels.astype(np.int8),
        groups=clipset.groups[held_out],
        predictions=predictions.astype(np.int8),
        logits=logits,
        embeddings=embeddings,
    )
    save_model(directory / "model.safetensors", model, config)
    run = {
        "schema": SCHEMA,
        "name": config.name,
        "config": dataclasses.asdict(config),
        "config_hash": config.hash,
        "synthetic": config.synthetic,
        "classes": list(CLASSES),
        "n_train": len(train),
        "n_held_out": len(held_out),
        "confusion": confusion.tolist(),
        "recalls": [None if np.isnan(r) else float(r) for r in recalls(confusion)],
        "uar": uar(confusion),
        "war": war(confusion),
        "clusters": clusters,
        "history": history,
        "seconds": round(seconds, 1),
        "device": device,
        "threads": torch.get_num_threads(),
        "processes": crew().size,
        "provenance": provenance(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(directory / "run.json", run)
    (directory / "checkpoint.pt").unlink(missing_ok=True)


def save_model(path: Path, model: nn.Module, config: RunConfig) -> None:
    """Write weights and configuration as safetensors (nothing in it is ever executed)."""
    header = {"format": MODEL_FORMAT, "config": canonical_json(dataclasses.asdict(config))}
    header["classes"] = json.dumps(CLASSES)
    with atomic_write(path) as file:
        file.write(model_bytes(model.state_dict(), header))
