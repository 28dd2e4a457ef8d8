"""Copy random numbers from the host to the device without waiting for the device."""

from __future__ import annotations

from torch import Tensor


def upload(values: Tensor, like: Tensor) -> Tensor:
    """Return `values`, which lie on the CPU, in the type and on the device of `like`.

    A copy from pageable memory makes the host wait until the GPU has done all that it was given before; one from
    pinned memory is queued like any other operation.
    """
    host = values.pin_memory() if like.is_cuda and not values.is_cuda else values
    return host.to(like.device, like.dtype, non_blocking=True)
