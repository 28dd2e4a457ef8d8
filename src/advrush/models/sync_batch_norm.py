"""Batch normalization with statistics over all processes, so that N processes compute what one would."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce as _all_reduce

from advrush.kernels.batch_statistics import move_running_statistics


class CrossProcessBatchNorm(nn.BatchNorm2d):
    """BatchNorm2d whose train-mode mean and variance are over the batches of all processes together.

    Works on CPU (gloo) and GPU (nccl), unlike torch's SyncBatchNorm, which is for GPUs alone. Every process must hold
    the same number of examples.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, C, H, W)."""
        if not self.training:
            return super().forward(x)
        world = dist.get_world_size()
        count = x.numel() // x.size(1) * world
        mean = all_reduce(x.sum(dim=(0, 2, 3))) / count
        centered = x - mean.view(1, -1, 1, 1)
        variance = all_reduce(centered.square().sum(dim=(0, 2, 3))) / count
        move_running_statistics(self, mean.detach(), variance.detach() * count / max(count - 1, 1))
        y: Tensor = centered * (variance.view(1, -1, 1, 1) + self.eps).rsqrt()
        if self.affine:
            y = y * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return y


def all_reduce(x: Tensor) -> Tensor:
    """Return the sum over the processes; autograd sends every process's gradient back to all."""
    total: Tensor = _all_reduce(x)  # type: ignore[no-untyped-call]
    return total


def share_batch_statistics(model: nn.Module) -> None:
    """Make every BatchNorm2d of `model` use the statistics of all processes, in place; names stay as they are."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = CrossProcessBatchNorm
