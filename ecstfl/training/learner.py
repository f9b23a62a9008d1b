"""All that training changes, and its checkpoint: network, loss, optimisers, moving average."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ecstfl.distributed import main_process_first, main_process_only
from ecstfl.labels import N_CLASSES
from ecstfl.losses.joint import JointLoss, constant, warmup
from ecstfl.losses.methods import build_method
from ecstfl.models.backbones import build_backbone, embedding_size
from ecstfl.runs.checkpoint import read_checkpoint, set_aside, write_checkpoint
from ecstfl.runs.config import RunConfig
from ecstfl.training.data_parallel import synchronized_batch_norm
from ecstfl.training.optimizers import build_optimizers

History = list[dict[str, float]]
"""One record an epoch."""


@dataclass
class Learner:
    """All that training changes, and nothing else: what a checkpoint holds.

    Attributes:
        model: the backbone.
        average: moving average of its weights, or None.
        loss: CE + lambda * EC-STFL, or a rival; some methods learn class centres.
        named_optimizers: over the parameters of both; each parameter is in one of them.
    """

    model: nn.Module
    average: AveragedModel | None
    loss: JointLoss
    named_optimizers: dict[str, Optimizer]

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimisers, without their names."""
        return list(self.named_optimizers.values())

    @property
    def result(self) -> nn.Module:
        """The network that is scored and kept."""
        return self.model if self.average is None else self.average.module

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Follow the gradients that have been added up."""
        for optimizer in self.optimizers:
            optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def tensors(self) -> Iterator[Tensor]:
        """Yield every weight and every statistic of network and loss."""
        for module in (self.model, self.loss):
            yield from (t for t in module.state_dict().values() if t.is_floating_point())

    def state(self) -> dict[str, Any]:
        """Return everything by name, for a checkpoint."""
        states = {name: one.state_dict() for name, one in self.named_optimizers.items()}
        return {
            "model": self.model.state_dict(),
            "average": {} if self.average is None else self.average.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": states.pop("adamw"),
            **states,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned.

        Raises:
            RuntimeError, ValueError, KeyError, TypeError: it is of another network, optimiser or
                version.
        """
        theirs = "muon" if "muon" in state else "adamw"
        ours = "muon" if "muon" in self.named_optimizers else "adamw"
        if ours != theirs:
            raise ValueError(f"it is of the optimiser {theirs}, this run takes {ours}")
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.loss.load_state_dict(state["loss"])
        for name, optimizer in self.named_optimizers.items():
            optimizer.load_state_dict(state["optimizer" if name == "adamw" else name])


def new_learner(config: RunConfig, device: str) -> Learner:
    """Return network, loss and optimisers as the run's seed makes them."""
    torch.manual_seed(config.seed)
    frames, size = config.augment.frames, config.augment.size
    model = build_backbone(config.backbone, frames, size)
    model = synchronized_batch_norm(model.to(device, memory_format=torch.channels_last_3d))
    dim = embedding_size(model, config.backbone.tap, frames, size)
    schedule = warmup(0.0, config.loss.warmup) if config.loss.warmup else constant
    loss = build_method(config.loss, N_CLASSES, dim, config.seed, schedule=schedule).to(device)
    average = None
    if config.optim.ema:
        mean = get_ema_multi_avg_fn(config.optim.ema)
        # BatchNorm's running statistics are averaged too: they belong to the weights.
        average = AveragedModel(model, multi_avg_fn=mean, use_buffers=True)
    return Learner(model, average, loss, build_optimizers(model, loss, config.optim))


def start_or_resume(config: RunConfig, folder: Path, device: str) -> tuple[Learner, History, float]:
    """Return (learner, history, seconds trained so far): new, or as the checkpoint has them.

    A checkpoint that cannot be used is moved aside with a warning, and the run starts anew.
    """
    with main_process_first():  # it alone moves a broken checkpoint aside
        learner = new_learner(config, device)
        path = folder / "checkpoint.pt"
        state = read_checkpoint(path, config.hash)
        if state is None:
            return learner, [], 0.0
        try:
            learner.load(state)
            return learner, list(state["history"]), float(state["seconds"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:  # of another version
            set_aside(path, str(error).splitlines()[0])
            return new_learner(config, device), [], 0.0


@main_process_only
def save_checkpoint(
    folder: Path, learner: Learner, history: History, seconds: float, config: RunConfig
) -> None:
    """Write everything that is needed to go on from here."""
    state = learner.state() | {"history": history, "seconds": seconds}
    write_checkpoint(folder / "checkpoint.pt", state, config.hash)
