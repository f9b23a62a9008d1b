"""Watch it pull: a small network whose features are points in the plane, trained with any loss.

Three expressions, two features: what a loss does to a feature space can be seen with the eye.
:func:`pull` trains the network with cross-entropy + weight * the loss that it is given, and notes
where every clip lies after each epoch; :mod:`lessonkit.film` shows that as a film. The loss may be
a student's own: any function of features and labels that autograd can follow.

It takes seconds because everything is small: grey pictures of 24 x 24 pixels, three convolutions,
some 25,000 weights. The clips are rendered. Two features and three expressions are the easy case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecstfl.errors import UserError
from ecstfl.labels import CLASSES
from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.losses.report import within_between_ratio
from ecstfl.training.optimizers import learning_rate
from lessonkit.formula import upside_down
from lessonkit.practice import practice_clips
from lessonkit.stamp import run_id

EXPRESSIONS: Final = ("Happy", "Sad", "Angry")
HELD_OUT_FOLD: Final = 1

Loss = Callable[[Tensor, Tensor], Tensor]
"""(features (n, 2), labels (n,)) -> scalar, like :func:`ecstfl.losses.ec_stfl.ec_stfl_loss`."""


@dataclass(frozen=True)
class Faces:
    """Clips of three expressions, small and grey.

    Attributes:
        clips: (n, 1, T, 24, 24) float32, -1..1.
        labels: (n,) int64, 0..6 as everywhere in this project.
        held_out: (n,) bool: clips of the people of fold 1, which are never trained on.
    """

    clips: Tensor
    labels: Tensor
    held_out: Tensor


def three_expressions(people_a_fold: int = 8, cache: Path | None = None) -> Faces:
    """Prepare the clips of three expressions from the embedded data.

    Args:
        people_a_fold: 1..40; there are five folds.
        cache: folder of prepared clips; the first time a clip takes a seventh of a second.

    Raises:
        UserError: the embedded data is missing, or the number is out of range.
    """
    clipset, clips = practice_clips(people_a_fold, cache, expressions=EXPRESSIONS)
    grey = torch.from_numpy(clips).float().mean(dim=-1)[:, None]  # (n, 1, T, 48, 48)
    return Faces(
        F.avg_pool3d(grey, (1, 2, 2)) / 127.5 - 1,
        torch.from_numpy(clipset.labels).long(),
        torch.tensor([clip.fold == HELD_OUT_FOLD for clip in clipset]),
    )


class PlaneNet(nn.Module):
    """Three convolutions over space and time, then two features, then three logits."""

    def __init__(self, frames: int, width: int = 12) -> None:
        super().__init__()
        places = -(-frames // 4) * 3 * 3  # what the strides leave of time, height and width

        def block(inputs: int, outputs: int, stride: tuple[int, int, int]) -> nn.Module:
            return nn.Sequential(
                nn.Conv3d(inputs, outputs, 3, stride, padding=1, bias=False),
                nn.BatchNorm3d(outputs),
                nn.ReLU(),
            )

        self.sees = nn.Sequential(
            block(1, width, (1, 2, 2)),  # 24 x 24 pixels -> 12 x 12
            block(width, 2 * width, (2, 2, 2)),  # -> 6 x 6
            block(2 * width, 4 * width, (2, 2, 2)),  # -> 3 x 3
            nn.Flatten(),
            nn.Linear(4 * width * places, 64, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(),
        )
        self.feels = nn.Linear(64, 2)  # the features: a point in the plane for each clip
        self.tells = nn.Linear(2, len(EXPRESSIONS))

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Map clips (n, 1, T, 24, 24) to logits (n, 3) and features (n, 2)."""
        features = self.feels(self.sees(clips))
        return self.tells(features), features


@dataclass(frozen=True)
class Pull:
    """Where the clips lay while a network learned.

    Attributes:
        points: (epochs + 1, n, 2) features after 0, 1, 2, ... epochs, all clips, not augmented.
        labels: (n,) 0..6.
        held_out: (n,) bool.
        weight: lambda.
        name: an id of the settings.
        loss: (epochs,) mean loss of each epoch, both parts.
        seen: share of training clips recognised at the end, 0..1.
        unseen: share of held-out clips recognised at the end, 0..1; chance is 1/3.
    """

    points: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray
    weight: float
    name: str
    loss: np.ndarray
    seen: float
    unseen: float

    @property
    def ratio(self) -> float:
        """Mean distance within classes over mean distance between classes, at the end."""
        points = torch.from_numpy(self.points[-1])
        return within_between_ratio(points, torch.from_numpy(self.labels)).item()

    @property
    def lonely(self) -> str | None:
        """The expression that flew off at the end, if one did: the other two then lie together.

        Their centres are less than a third as far from each other as either is from its centre.
        """
        known = np.unique(self.labels)
        centres = np.stack([self.points[-1][self.labels == c].mean(axis=0) for c in known])
        for k, one in enumerate(centres):
            others = np.delete(centres, k, axis=0)
            away = np.linalg.norm(others - one, axis=1).min()
            if np.linalg.norm(others[0] - others[1]) < away / 3:
                return CLASSES[known[k]]
        return None


def pull(
    loss: Loss,
    weight: float,
    faces: Faces,
    *,
    epochs: int = 30,
    batch: int = 24,
    lr: float = 4e-3,
    seed: int = 0,
    progress: Callable[[int, int, dict], None] | None = None,
) -> Pull:
    """Train with cross-entropy + ``weight`` * ``loss`` and keep the points of every epoch.

    Args:
        loss: of the features (b, 2) and labels (b,) of a batch; gives a scalar.
        weight: lambda; at 0 the loss is not called.
        faces: from :func:`three_expressions`.
        epochs: passes over the training clips.
        batch: clips a step, at most.
        lr: AdamW's peak rate; it rises and falls as in all of this project.
        seed: of starting weights, order and mirroring.
        progress: called after each epoch with (done, total, {"loss": ...}).

    Raises:
        UserError: the loss gives no scalar tensor, autograd cannot follow it, or it is not finite.
    """
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(seed)
    network = PlaneNet(faces.clips.shape[2])
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    targets = torch.searchsorted(torch.unique(faces.labels), faces.labels)  # 0, 1, 2
    train = torch.nonzero(~faces.held_out)[:, 0]
    batches = max(1, round(len(train) / batch))
    step = 0
    points, losses = [_look(network, faces)[1]], []
    for epoch in range(epochs):
        network.train()
        total = 0.0
        for index in train[torch.randperm(len(train), generator=draws)].chunk(batches):
            mirrored = torch.rand(len(index), generator=draws) < 0.5
            clips = torch.where(
                mirrored[:, None, None, None, None],
                faces.clips[index].flip(-1),
                faces.clips[index],
            )
            optimizer.param_groups[0]["lr"] = learning_rate(step, epochs * batches, lr)
            step += 1
            logits, features = network(clips)
            value = F.cross_entropy(logits, targets[index])
            if weight:
                value = value + weight * _checked(loss(features, faces.labels[index]))
            optimizer.zero_grad()
            value.backward()
            if not torch.isfinite(network.feels.weight.grad).all():
                raise UserError(
                    "the gradient of the loss is not finite, though its value is: does a "
                    "distance of 0 reach a square root?"
                )
            optimizer.step()
            total += len(index) * value.item()
        losses.append(total / len(train))
        logits, where = _look(network, faces)
        points.append(where)
        if progress:
            progress(epoch + 1, epochs, {"loss": losses[-1]})
    hits = (logits.argmax(dim=1) == targets).float()
    return Pull(
        np.stack(points),
        faces.labels.numpy(),
        faces.held_out.numpy(),
        weight,
        run_id(
            "pull", loss=getattr(loss, "__name__", "?"), weight=weight, epochs=epochs, seed=seed
        ),
        np.array(losses),
        hits[~faces.held_out].mean().item(),
        hits[faces.held_out].mean().item(),
    )


def _name(loss: Loss) -> str:
    return getattr(loss, "__name__", type(loss).__name__)


def _look(network: PlaneNet, faces: Faces) -> tuple[Tensor, np.ndarray]:
    """Return logits and features of all clips as they are."""
    network.eval()
    with torch.inference_mode():
        logits, features = network(faces.clips)
    return logits, features.numpy().copy()


def _checked(value: Tensor) -> Tensor:
    """Return the value of a loss that can be trained with.

    Raises:
        UserError: it cannot; the sentence says why.
    """
    if not isinstance(value, Tensor) or value.numel() != 1:
        told = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise UserError(
            f"a loss must give one number as a tensor, so that autograd can follow it; got {told}"
        )
    if not value.requires_grad:
        raise UserError(
            "the loss has no gradient: somewhere it leaves PyTorch (float, item, numpy, detach)"
        )
    if not torch.isfinite(value):
        raise UserError(f"the loss is {value.item()}: does it divide by 0 in some batch?")
    return value.reshape(())


def lesson_pulls(loss: Loss = ec_stfl_loss, seed: int = 1, **settings: Any) -> dict[str, Pull]:
    """Train the four networks of lesson 04, here with the package's loss: README's film."""
    faces = three_expressions()
    return {
        title: pull(one, weight, faces, seed=seed, **settings)
        for title, one, weight in (
            ("cross-entropy alone", loss, 0),
            ("with EC-STFL (λ = 0.1)", loss, 0.1),
            ("EC-STFL too strong (λ = 1)", loss, 1),
            ("the fraction upside down (λ = 10)", upside_down, 10),
        )
    }
