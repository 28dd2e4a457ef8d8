"""Processes and devices: the same code runs under `python` and under `torchrun`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

import torch
import torch.distributed as dist

from advrush.errors import ConfigError, RunError
from advrush.reading.gate import reason


@dataclass(frozen=True)
class Parallel:
    """One process of a job: its rank, the number of processes, its device."""

    rank: int
    world: int
    device: torch.device
    apart: ClassVar[bool] = False
    """Whether the processes never meet, so that each knows its own part only."""

    @property
    def is_main(self) -> bool:
        """Tell whether this process writes files and prints."""
        return self.rank == 0

    def average_(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in place, with one all-reduce for each dtype."""
        if self.world == 1:
            return
        groups: dict[torch.dtype, list[torch.Tensor]] = {}
        for tensor in tensors:
            groups.setdefault(tensor.dtype, []).append(tensor)
        for group in groups.values():
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in group])
            dist.all_reduce(flat)
            flat /= self.world
            pieces = torch.split(flat, [tensor.numel() for tensor in group])
            for tensor, piece in zip(group, pieces, strict=True):
                tensor.detach().copy_(piece.view(tensor.shape))

    def maximum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the elementwise maximum over the processes."""
        if self.world == 1:
            return tensor
        found = tensor.to(self.device)
        found = found.clone() if found is tensor else found
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return found.to(tensor.device)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum over the processes."""
        if self.world == 1:
            return tensor
        found = tensor.detach().to(self.device, copy=True)
        dist.all_reduce(found)
        return found.to(tensor.device)

    def barrier(self) -> None:
        """Wait until every process has come here."""
        if self.world > 1:
            dist.barrier()

    def broadcast(self, flag: bool) -> bool:
        """Return rank 0's `flag` on every process, so that all take the same branch."""
        if self.world == 1:
            return flag
        value = torch.tensor([float(flag)], device=self.device)
        dist.broadcast(value, src=0)
        return bool(value.item())


@dataclass(frozen=True)
class Share(Parallel):
    """A process that has a part of the work and meets no other: what it knows stays its own."""

    apart: ClassVar[bool] = True

    def average_(self, tensors: Iterable[torch.Tensor]) -> None:
        """Raise RunError: a share has nobody to average with."""
        raise RunError("a share of the work cannot average with the others")

    def maximum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor itself: there is nobody to compare with."""
        return tensor

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor itself: there is nobody to add to it."""
        return tensor

    def barrier(self) -> None:
        """Wait for nobody."""

    def broadcast(self, flag: bool) -> bool:
        """Return the flag itself."""
        return flag


ALONE = Parallel(0, 1, torch.device("cpu"))
"""A process by itself."""

LOST = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused", "imed out", "imeout", "gloo/")
"""Words of the messages of collectives that miss a process."""


@contextmanager
def together(processes: Parallel) -> Iterator[None]:
    """Raise RunError, in place of what a collective raises, where another process of the job has ended."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, dist.DistError) or any(words in str(error) for words in LOST)
        if processes.world == 1 or not lost:
            raise
        raise RunError(
            f"another process of this job of {processes.world} has ended or cannot be reached, so process "
            f"{processes.rank} ends too. Start the job again: it goes on from what was finished"
        ) from None


def is_main() -> bool:
    """Tell, from torchrun's environment alone, whether this process is the one that writes files and prints."""
    return _number("RANK", 0) == 0


def setup(device: str = "auto") -> Parallel:
    """Join the process group that torchrun's environment describes, or stand alone; choose the device.

    `device` is "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:N". Raises ConfigError if it is absent, or if the
    environment describes a job only in part.
    """
    world, rank, local_rank = _environment()
    chosen = _choose(device, local_rank, world)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world > 1 and not dist.is_initialized():
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        try:
            dist.init_process_group(backend, timeout=timedelta(minutes=30))
        except (ValueError, RuntimeError, OSError) as error:  # an address, a port or a process that is not there
            place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
            raise RunError(f"the processes of this job do not meet at {place} ({reason(error)})") from None
    return Parallel(rank=rank, world=world, device=chosen)


def _environment() -> tuple[int, int, int]:
    """Return world size, rank and local rank; ConfigError where the variables of a job are there only in part."""
    world, rank, local_rank = (_number("WORLD_SIZE", 1), _number("RANK", 0), _number("LOCAL_RANK", 0))
    if world > 1 and not dist.is_initialized():
        for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
            if name not in os.environ:
                raise ConfigError(
                    f"WORLD_SIZE: got {world} without {name}; start several processes with torchrun, or unset it"
                )
    if not 0 <= rank < world:
        raise ConfigError(f"RANK: got {rank}; expected 0 to {world - 1}, WORLD_SIZE being {world}")
    return world, rank, local_rank


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.strip().isdecimal() or (variable == "WORLD_SIZE" and int(text) < 1):
        raise ConfigError(f"{variable}: got {text!r}; expected a whole number, as torchrun sets it")
    return int(text)


def _choose(device: str, local_rank: int, world: int) -> torch.device:
    name = device
    if device == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(name)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device: got {device!r}; expected auto, cpu, cuda or cuda:N") from None
    if chosen.type == "cuda":
        index = local_rank if chosen.index is None or world > 1 else chosen.index
        if index >= torch.cuda.device_count():
            raise ConfigError(f"device: got {device!r}; this machine has {torch.cuda.device_count()} CUDA devices")
        return torch.device("cuda", index)
    if chosen.type != "cpu" or chosen.index:
        raise ConfigError(f"device: got {device!r}; expected auto, cpu, cuda or cuda:N")
    return torch.device("cpu")
