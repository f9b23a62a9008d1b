"""The weight at which each loss pushes as hard as EC-STFL: python -m tools.push RUN_FOLDER ...

Weights of different losses cannot be compared: their values differ by factors of thousands. The
table of the full profile compares losses at one *push*: the weight times the gradient with respect
to the features of the tapped layer, on batches of training clips. Accuracy has no part in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.cache import StoredClips
from ecstfl.clips.preprocess_set import preprocess
from ecstfl.datasets.clipset import ClipSet
from ecstfl.datasets.embedded import open_embedded
from ecstfl.errors import UserError, one_sentence
from ecstfl.experiments.profiles import EC_STFL, get_profile
from ecstfl.losses.baselines import build_baseline
from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.models.tap import Tap
from ecstfl.predict.checkpoint import load_checkpoint
from ecstfl.runs.config import hash_clipset
from ecstfl.training.forward import training_views
from ecstfl.training.reproducible import seed_epoch
from ecstfl.training.samplers import epoch_batches
from ecstfl.training.splits import split_clips, training_labels

ROOT = Path(__file__).resolve().parents[1]
Loss = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor]


def push(loss: Loss, embeddings: Tensor, labels: Tensor) -> float:
    """Return the length of the loss's gradient with respect to (n, d) embeddings, at weight 1."""
    embeddings = embeddings.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(embeddings, labels), embeddings)
    return gradient.norm().item()


def settled(name: str, embeddings: Tensor, labels: Tensor) -> Loss:
    """Return a loss with centres, as it is late in a training: each centre at its class's mean."""
    classes = int(labels.max()) + 1
    loss = build_baseline(name, classes, embeddings.shape[1]).eval()
    means = torch.stack([embeddings[labels == c].mean(dim=0) for c in range(classes)])
    with torch.no_grad():
        loss.centers.copy_(means)
    return loss


def training_batches(run: Path, clipset: ClipSet, clips: np.ndarray | StoredClips) -> list[Batch]:
    """Return embeddings (n, d) and labels (n,) of one epoch's batches, as a loss meets them.

    Args:
        run: folder of a finished run with its ``model.safetensors``.
        clipset, clips: what it was trained on, and clips (N, T, H, W, 3) uint8 in the same order.

    Raises:
        UserError: there is no model, or it was trained on other clips.
    """
    config, model, _ = load_checkpoint(run / "model.safetensors")
    if config.data_hash != hash_clipset(clipset):
        raise UserError(f"{run}: trained on other clips than {clipset.name}: name another run")
    train, _ = split_clips(clipset, config)
    seen = ClipBatches(clips, train, "cpu")
    labels = torch.from_numpy(training_labels(clipset, train, config))
    draws = seed_epoch(config.seed, 0)
    found = []
    model.train()  # BatchNorm of the batch
    with torch.no_grad(), Tap(model, config.backbone.tap) as tapped:
        for batch in map(torch.tensor, epoch_batches(labels.numpy(), config.optim, config.seed, 0)):
            _, embeddings = tapped(training_views(seen[batch], config.augment, draws))
            found.append((embeddings, labels[batch]))
    return found


def equal_weights(batches: Sequence[Batch]) -> dict[str, float]:
    """Return the weight of each loss that pushes these batches like the profile's EC-STFL."""
    losses: dict[str, Loss] = {
        form: partial(ec_stfl_loss, form=form) for form in ("patent", "paper", "released")
    }
    everything = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    losses |= {name: settled(name, *everything) for name in ("center", "contrastive-center")}
    mean = {
        name: sum(push(loss, x, y) for x, y in batches) / len(batches)
        for name, loss in losses.items()
    }
    return {name: EC_STFL.weight * mean["patent"] / value for name, value in mean.items()}


@one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each run; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.push", description="Weights at which all losses push equally hard."
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs on the embedded data")
    parser.add_argument("--cache", type=Path, default=ROOT / "cache", help="preprocessed clips")
    args = parser.parse_args(arguments)
    data = preprocess(open_embedded(ROOT / "data"), get_profile("full").preprocess, args.cache)
    for run in args.runs:
        weights = equal_weights(training_batches(run, data.clipset, data.clips))
        print(run.name, ", ".join(f"{name} {w:.3g}" for name, w in weights.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
