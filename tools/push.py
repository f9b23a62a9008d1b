"""The weight at which each loss pushes as hard as EC-STFL: python -m tools.push RUN_FOLDER ...

Weights of different losses cannot be compared: their values differ by factors of thousands. The
table of the full profile compares losses at one *push*: the weight times the gradient with respect
to the features of the tapped layer, on batches of training clips. Accuracy has no part in it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.preprocess_set import preprocess
from ecstfl.datasets.embedded import open_embedded
from ecstfl.experiments.profiles import EC_STFL
from ecstfl.losses.baselines import build_baseline
from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.models.tap import Tap
from ecstfl.predict.checkpoint import load_checkpoint
from ecstfl.training.forward import training_views
from ecstfl.training.reproducible import seed_epoch
from ecstfl.training.samplers import epoch_batches
from ecstfl.training.splits import split_clips

ROOT = Path(__file__).resolve().parents[1]
Loss = Callable[[Tensor, Tensor], Tensor]


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


def equal_weights(run: Path, cache: Path) -> dict[str, float]:
    """Return the weight of each loss that pushes like the profile's EC-STFL, for a trained run."""
    config, model, _ = load_checkpoint(run / "model.safetensors")
    prepared = preprocess(open_embedded(ROOT / "data"), config.preprocess, cache)
    train, _ = split_clips(prepared.clipset, config)
    clips = ClipBatches(prepared.clips, train, "cpu")
    labels = torch.from_numpy(prepared.clipset.labels[train])
    batches = epoch_batches(labels.numpy(), config.optim, config.seed, 0)
    draws = seed_epoch(config.seed, 0)
    seen = []
    model.train()  # BatchNorm of the batch, as the losses meet it
    with torch.no_grad(), Tap(model, config.backbone.tap) as tapped:
        for batch in map(torch.tensor, batches):
            _, embeddings = tapped(training_views(clips[batch], config.augment, draws))
            seen.append((embeddings, labels[batch]))
    everything = [torch.cat(parts) for parts in zip(*seen, strict=True)]
    losses: dict[str, Loss] = {
        form: partial(ec_stfl_loss, form=form) for form in ("patent", "paper", "released")
    }
    losses |= {name: settled(name, *everything) for name in ("center", "contrastive-center")}
    mean = {
        name: sum(push(loss, x, y) for x, y in seen) / len(seen) for name, loss in losses.items()
    }
    return {name: EC_STFL.weight * mean["patent"] / value for name, value in mean.items()}


def main(arguments: list[str]) -> None:
    """Print a line for each run."""
    torch.set_num_threads(1)
    for run in arguments:
        weights = equal_weights(Path(run), ROOT / "cache")
        print(Path(run).name, ", ".join(f"{name} {w:.3g}" for name, w in weights.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
