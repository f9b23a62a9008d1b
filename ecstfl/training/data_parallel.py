"""The network on several processes: DistributedDataParallel, and BatchNorm over the whole batch.

The result is that of one process with the whole batch, up to rounding and to dropout's draws.
"""

from __future__ import annotations

import warnings

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ecstfl.distributed import world_size


def replicated(model: nn.Module, tap: str) -> tuple[nn.Module, str]:
    """Return the model to call in training, and the tap's name in it.

    With one process, these are the arguments. Else gradients are averaged over the processes as
    they come.
    """
    if world_size() == 1:
        return model, tap
    with warnings.catch_warnings():
        # torch 2.13 renames the argument; 2.11 does not know the new name
        warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
        # BatchNorm's buffers are equal everywhere already: see synchronized_batch_norm
        replica = DistributedDataParallel(model, broadcast_buffers=False)
    return replica, f"module.{tap}"


def synchronized_batch_norm(model: nn.Module) -> nn.Module:
    """Let BatchNorm see the batches of all processes; parameters, buffers and names stay.

    With one process the model comes back as it is. torch's own layer exists on GPUs only.
    """
    if world_size() == 1:
        return model
    if any(p.is_cuda for p in model.parameters()):
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, child in model.named_children():
        if isinstance(child, _BatchNorm):
            setattr(model, name, SyncBatchNorm.of(child))
        else:
            synchronized_batch_norm(child)
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


class SyncBatchNorm(_BatchNorm):
    """BatchNorm over the batches of all processes, for the CPU.

    Input and output (n, c, ...), n may differ between processes. Mean and variance are taken one
    after the other, which is more exact than sums of squares and costs a second round.
    """

    @classmethod
    def of(cls, layer: _BatchNorm) -> SyncBatchNorm:
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
