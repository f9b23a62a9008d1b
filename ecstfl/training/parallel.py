"""Several processes, one training: what the processes of ``torchrun`` do together.

    torchrun --nproc-per-node 2 -m ecstfl.cli.main train --profile full --device cpu
    torchrun --nproc-per-node 4 -m ecstfl.cli.main train --profile paper --device cuda

Each process takes its share of every batch through the network. The embeddings, logits and labels
of all are gathered with their gradients (:mod:`ecstfl.distributed`), because EC-STFL compares
every clip with every other, and BatchNorm's statistics are those of the whole batch. The result is
that of one process with the whole batch, up to rounding and to dropout's draws. The first process
alone writes, prints and decides; the others follow.
"""

from __future__ import annotations

import contextlib
import gc
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ecstfl.errors import UserError

PATIENCE = timedelta(hours=12)
"""How long a process waits for another, which may be preparing clips all alone."""


@dataclass(frozen=True)
class Crew:
    """This process among those of one training: ``rank`` of ``size``, 0 is the first."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    def share(self, n: int) -> slice:
        """Return which rows of a batch of ``n`` are this process's; sizes differ by one at most."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)


def crew() -> Crew:
    """Return this process's place; alone where no process group was joined."""
    if dist.is_available() and dist.is_initialized():
        return Crew(dist.get_rank(), dist.get_world_size())
    return Crew()


@contextlib.contextmanager
def joined(device: str) -> Iterator[Crew]:
    """Join the processes that ``torchrun`` started; without it, be alone.

    Args:
        device: ``cpu`` (gloo) or ``cuda`` (NCCL, one GPU a process).

    Raises:
        UserError: more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield crew()
        return
    if device == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise UserError(
                f"process {local + 1} on this machine has no GPU of its own: "
                f"use --nproc-per-node {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield crew()
    finally:
        leave()


def leave() -> None:
    """Leave the process group, after every replica of :func:`replicated` that nobody needs.

    A replica holds the group. Freed after it, the replica ends gloo's threads while it holds
    Python's lock; a thread that is letting go of a tensor wants that lock, and both wait for ever.
    """
    gc.collect()
    dist.destroy_process_group()


def wait() -> None:
    """Wait until every process has come here."""
    if not crew().alone:
        dist.barrier()


def decide(choice: bool) -> bool:
    """Return the first process's choice in every process."""
    if crew().alone:
        return choice
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    answer = torch.tensor([int(choice)], device=device)
    dist.broadcast(answer, 0)
    return bool(answer)


def replicated(model: nn.Module, tap: str) -> tuple[nn.Module, str]:
    """Return the model to call in training, and the tap's name in it.

    Alone, these are the arguments. Else gradients are averaged over the processes as they come.
    """
    if crew().alone:
        return model, tap
    with warnings.catch_warnings():
        # torch 2.13 renames the argument; 2.11 does not know the new name
        warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
        # BatchNorm's buffers are equal everywhere already: see shared_batch_norm
        replica = DistributedDataParallel(model, broadcast_buffers=False)
    return replica, f"module.{tap}"


def shared_batch_norm(model: nn.Module) -> nn.Module:
    """Let BatchNorm see the whole batch; parameters, buffers and their names stay.

    Alone, the model comes back as it is. torch's own layer for this exists on GPUs only.
    """
    if crew().alone:
        return model
    if any(p.is_cuda for p in model.parameters()):
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, child in model.named_children():
        if isinstance(child, _BatchNorm):
            setattr(model, name, SharedBatchNorm.of(child))
        else:
            shared_batch_norm(child)
    return model


class _Sum(torch.autograd.Function):
    """The sum over the processes; so is the gradient."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # noqa: ANN001
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # noqa: ANN001
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


class SharedBatchNorm(_BatchNorm):
    """BatchNorm over the batches of all processes, for the CPU.

    Input and output (n, c, ...), n may differ between processes. Mean and variance are taken one
    after the other, which is more exact than sums of squares and costs a second round.
    """

    @classmethod
    def of(cls, layer: _BatchNorm) -> SharedBatchNorm:
        """Return a layer with the parameters and buffers of another."""
        new = cls(layer.num_features, layer.eps, layer.momentum)
        new.weight, new.bias = layer.weight, layer.bias
        new.running_mean, new.running_var = layer.running_mean, layer.running_var
        new.num_batches_tracked = layer.num_batches_tracked
        return new.train(layer.training)

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # any number of dimensions

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the whole batch in training, by the running statistics else."""
        if not self.training:
            return super().forward(input)
        over = [0, *range(2, input.ndim)]
        shape = [1, -1] + [1] * (input.ndim - 2)
        x = input.float()
        count = x.new_tensor([x.numel() / x.shape[1]])
        total = _Sum.apply(torch.cat([x.sum(over), count]))
        n = total[-1].detach()
        mean = total[:-1] / n
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(over)) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(input.dtype)
