"""Convert a model to double precision for second derivatives."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from advrush.errors import ModelContractError


def in_double(model: nn.Module, x: Tensor) -> nn.Module:
    """Return the model if it is in float64, else a copy that is. Raises ModelContractError if it fails on x there."""
    tensors = (*model.parameters(), *model.buffers())
    if any(tensor.is_floating_point() and tensor.dtype != torch.float64 for tensor in tensors):
        try:
            model = copy.deepcopy(model).to(torch.float64)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise ModelContractError(f"the model cannot be copied to float64: {error}") from None
    try:
        with torch.no_grad():
            logits = model(x)
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise ModelContractError(f"the model fails on float64 images of shape {tuple(x.shape)}: {error}") from None
    if not isinstance(logits, Tensor) or logits.dim() != 2 or logits.dtype != torch.float64:
        raise ModelContractError("the model must map float64 images to float64 logits (N, K)")
    if not torch.isfinite(logits).all():
        raise ModelContractError("the model's logits are not finite")
    return model
