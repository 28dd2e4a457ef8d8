"""What the state of an interrupted run is of: the attack's settings, the examples, the network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from advrush.attacks.passes.chunks import device_of, predict
from advrush.attacks.passes.fast_model import exact_model
from advrush.errors import RunError

ASKED = 8
"""Images on which the network is asked."""
CLOSE = 1e-3
"""Share of the largest logit by which logits may differ on another machine."""
SAID = {
    "of_attack": "of an attack with other settings",
    "of_examples": "of other images or labels",
    "of_model": "of another network",
}


def stamp(plan: Any, model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return tensors that tell a run from another: digests of settings and examples, logits (n, K) of the network."""
    with plan.within(model, device_of(model, x.device)):
        first = x[:ASKED].to(device_of(model, x.device))
        logits = predict(exact_model(model), first).double().cpu() if len(x) else torch.zeros(0, 0)
    settings = [getattr(plan, field.name) for field in fields(plan)] if is_dataclass(plan) else [plan.name]
    return {"of_attack": _digest(*settings), "of_examples": _digest(x, y), "of_model": logits}


def check_stamp(state: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> None:
    """Raise RunError where a state's stamp is not that of this run."""
    for name, said in SAID.items():
        then = state.get(name)
        if not isinstance(then, Tensor):
            raise RunError("not the state of an attack; expected what `on_batch` gave")
        if not _alike(then, now[name]):
            raise RunError(f"the state is {said}; begin the run anew")


def _digest(*parts: Any) -> Tensor:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(repr((part.dtype, tuple(part.shape))).encode())
            digest.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(repr(part).encode())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def _alike(then: Tensor, now: Tensor) -> bool:
    if then.shape != now.shape or then.dtype != now.dtype:
        return False
    if now.dtype == torch.uint8 or not now.numel():
        return torch.equal(then, now)
    return bool(((then - now).abs() <= CLOSE * now.abs().amax() + 1e-9).all())
