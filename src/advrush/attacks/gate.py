"""Validate images, labels and model before an attack or evaluation; raise a typed error if they are unusable."""

from __future__ import annotations

import dataclasses
import functools
import numbers
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parameter import is_lazy

from advrush.attacks.passes.chunks import device_of
from advrush.attacks.passes.fast_model import exact_model
from advrush.attacks.signs import CUT, odd_gradients, probabilities
from advrush.attacks.target import check_targets
from advrush.config import check
from advrush.errors import AdvrushError, DataError, ModelContractError, kind_of
from advrush.models.entry import entries
from advrush.modes import evaluating, frozen
from advrush.out_of_memory import is_out_of_memory
from advrush.reading.gate import reason

SLACK = 1e-4
"""Images may leave [0, 1] by so much: rounding of a normalization that was undone, a hundredth of a gray level."""
PROBED = 8
"""Examples on which a model is tried before it is attacked."""

_OPEN: ContextVar[bool] = ContextVar("gate_open", default=False)
Call = TypeVar("Call", bound=Callable[..., Any])


def check_images(x: Tensor) -> None:
    """Raise DataError unless x (N, C, H, W) holds finite float32 or float64 pixels in [0, 1]."""
    if not isinstance(x, Tensor) or x.dim() < 2:
        raise DataError(f"images: got {kind_of(x)}; expected a tensor (N, C, H, W)")
    if x.dtype not in (torch.float32, torch.float64):
        hint = "divide bytes by 255"
        if x.is_floating_point():
            hint = "FastModel(model, dtype=...) searches in low precision and verifies in full"
        raise DataError(f"images: got {x.dtype}; expected float32 or float64 pixels in [0, 1]: {hint}")
    if not x.numel():
        return
    if not torch.isfinite(x).all():
        raise DataError(f"images: {int((~torch.isfinite(x)).sum())} values are not finite; expected pixels in [0, 1]")
    low_end, high_end = float(x.detach().amin()), float(x.detach().amax())
    if low_end < -SLACK or high_end > 1 + SLACK:
        hint = "divide by 255" if high_end > 2 else "put the normalization into the model"
        raise DataError(f"images: got values from {low_end:g} to {high_end:g}; expected pixels in [0, 1]: {hint}")


def is_attack(value: Any) -> bool:
    """Return whether something is an attack's value: a dataclass with a name that is called; not its class."""
    return (
        dataclasses.is_dataclass(value) and not isinstance(value, type) and callable(value) and hasattr(value, "name")
    )


def check_settings(attack: Any) -> None:
    """Raise ConfigError, naming the field, for an attack's number that is none, or not whole where it has to be."""
    for field in dataclasses.fields(attack) if dataclasses.is_dataclass(attack) else ():
        value = getattr(attack, field.name)
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if field.type in ("int", int):
            inside = whole and -(2**63) <= value < 2**63
            check(inside, f"{attack.name}: {field.name}", value, "a whole number of 64 bits")


def check_labels(y: Tensor, count: int) -> Tensor:
    """Return the labels as int64 (N,). Raises DataError unless they are `count` whole numbers >= 0 in one row."""
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        kind = y.dtype if isinstance(y, Tensor) else kind_of(y)
        raise DataError(f"labels: got {kind}; expected whole numbers, one class index for each image")
    if y.dim() != 1 or len(y) != count:
        raise DataError(f"labels: got shape {tuple(y.shape)}; expected ({count},), one for each image")
    if len(y) and int(y.amin()) < 0:
        raise DataError(f"labels: got {int(y.amin())}; expected class indices from 0 on")
    return y.long()


def check_model(model: nn.Module, x: Tensor, y: Tensor, *, gradients: bool, cut: bool = False) -> tuple[str, ...]:
    """Raise ModelContractError unless the model maps a few of the examples to finite logits (n, K), K >= 2.

    Returns what is odd about logits and gradients, in sentences.

    Args:
        model: in the state in which it is attacked; what it draws at random is undone by the caller.
        x: images (N, C, H, W), N >= 1.
        y: labels (N,), int64.
        gradients: whether the attack needs the gradient of the input: it must then be finite.
        cut: whether an output that does not depend on the image by differentiable operations will do.
    """
    exact, x = exact_model(model), x[:PROBED]
    given = x.clone().requires_grad_(gradients)
    seen = given.detach().clone() if not gradients else given * 1.0
    version = seen._version
    with torch.enable_grad() if gradients else torch.no_grad():
        logits = called(exact, seen)
    check_logits(logits, len(x))
    if seen._version != version or not torch.equal(seen, x):  # the version does not tell of `x.data` and NumPy
        raise ModelContractError(
            "the model changes its input in place; let it work on a copy (x = x.clone(), or normalize out of place)"
        )
    classes = logits.shape[1]
    if len(y) and int(y.amax()) >= classes:
        raise ModelContractError(f"labels: got {int(y.amax())}; the model tells {classes} classes, 0 to {classes - 1}")
    found = [probabilities(logits.detach())]
    if gradients:
        found += _check_gradient(given, logits, y[:PROBED], cut=cut)
    return tuple(sentence for sentence in found if sentence)


def called(model: nn.Module, x: Tensor) -> Any:
    """Return what the model returns; ModelContractError, with the cause, where it fails. Out of memory passes."""
    try:
        return model(x)
    except (AdvrushError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # code of others
        if is_out_of_memory(error):
            raise
        said, kind = reason(error), type(error).__name__
        said = said if isinstance(error, RuntimeError) or said.startswith(kind) else f"{kind}: {said}"
        raise ModelContractError(f"the model fails on {x.dtype} images of shape {tuple(x.shape)}: {said}") from error


def _check_gradient(given: Tensor, logits: Tensor, y: Tensor, *, cut: bool) -> tuple[str, ...]:
    """Return what is odd about the gradient of a few examples; raise ModelContractError where it cannot be used."""
    gradient = None
    if logits.requires_grad:
        total = cross_entropy(logits, y, reduction="sum")
        (gradient,) = torch.autograd.grad(total, given, allow_unused=True)
    if gradient is None:
        if not cut:
            raise ModelContractError(CUT)
        return ()
    if not torch.isfinite(gradient).all():
        bad = int((~torch.isfinite(gradient)).flatten(1).any(dim=1).sum())
        raise ModelContractError(
            f"the gradient of the loss with respect to the image is not finite for {bad} of {len(given)} images; "
            "look for a square root, a norm or a logarithm at 0 in the model, or attack it with Square"
        )
    return odd_gradients(gradient)


def check_weights(model: nn.Module) -> None:
    """Raise ModelContractError for weights without values, or that autograd cannot see: made by `inference_mode`."""
    check_values(model)
    if any(tensor.is_inference() for tensor in (*model.parameters(), *model.buffers())):
        raise ModelContractError("the model was made under torch.inference_mode(); make or copy it outside")


def check_values(model: nn.Module) -> None:
    """Raise ModelContractError for a model whose weights have no values yet: lazy ones, or those of the meta device."""
    for tensor in (*model.parameters(), *model.buffers()):
        if is_lazy(tensor):
            raise ModelContractError("the model has lazy parameters without values; call it once on an image first")
        if tensor.is_meta:
            raise ModelContractError("the model's weights are on the meta device, without values; load them first")


def check_logits(logits: Any, count: int) -> None:
    """Raise ModelContractError unless a model returned finite logits (count, K), K >= 2, for `count` images."""
    if not isinstance(logits, Tensor):
        names = entries(logits)
        named = f"--output {names[0]}, in Python output={names[0]!r}" if names else "--output NAME, in Python output="
        there = f" with {', '.join(names)}" if names else ""
        raise ModelContractError(
            f"the model returns {kind_of(logits)}{there}; expected one tensor of logits (N, K): name the entry of an "
            f"evaluation ({named}), or wrap the model in a module that returns the logits alone"
        )
    if logits.dim() != 2 or len(logits) != count:
        raise ModelContractError(f"the model maps {count} images to {tuple(logits.shape)}; expected ({count}, classes)")
    if logits.shape[1] < 2:
        raise ModelContractError(
            "the model returns one column; expected a logit for each class: give a binary classifier two, (0, z)"
        )
    if not logits.is_floating_point() or logits.layout != torch.strided or logits.is_meta:
        kind = f"{logits.dtype}, {logits.layout}, on {logits.device}".replace("torch.", "")
        raise ModelContractError(f"the model returns values of type {kind}; expected logits as floating-point numbers")
    if not torch.isfinite(logits).all():
        raise ModelContractError("the model's logits are not finite numbers on images in [0, 1]")


@contextmanager
def opened() -> Iterator[None]:
    """Let attacks run unchecked inside: the caller has checked the examples and the model itself."""
    token = _OPEN.set(True)
    try:
        yield
    finally:
        _OPEN.reset(token)


def gated(call: Call) -> Call:
    """Check examples and model before `call(attack, model, x, y, ...)`, and leave the global random state alone.

    An empty batch comes back as it is from a call that returns examples. Attacks that need gradients also work where
    the caller has switched them off (`no_grad`, `inference_mode`). What is odd about the model's outputs and gradients
    is a Python warning, but of `run`, whose outcome tells it.
    Raises DataError for images or labels, ModelContractError for a model.
    """

    @functools.wraps(call)
    def checked(attack: Any, model: nn.Module, x: Tensor, y: Tensor, *args: Any, **kwargs: Any) -> Any:
        if _OPEN.get() or (isinstance(x, Tensor) and x.is_meta):
            with seeded_globally(x.device, attack.seed):
                return call(attack, model, x, y, *args, **kwargs)
        check_settings(attack)
        check_images(x)
        y = check_labels(y, len(x))
        if kwargs.get("targets") is not None:
            kwargs["targets"] = check_targets(kwargs["targets"], y)
        if not len(x) and call.__name__ == "__call__":
            return x.detach().clone()
        with torch.inference_mode(False), torch.enable_grad(), opened(), seeded_globally(x.device, attack.seed):
            x, y = (part.clone() if part.is_inference() else part for part in (x, y))
            if len(x):
                odd = probe(model, x, y, gradients=_uses_gradients(attack), cut=not _needs_gradients(attack))
                for sentence in odd if call.__name__ != "run" else ():
                    warnings.warn(f"{attack.name}: {sentence}", stacklevel=2)
            return call(attack, model, x, y, *args, **kwargs)

    return checked  # type: ignore[return-value]


def _uses_gradients(attack: Any) -> bool:
    return bool(getattr(attack, "uses_gradients", True))


def _needs_gradients(attack: Any) -> bool:
    """Return whether an attack, or each of an ensemble's, can do nothing without a gradient."""
    return bool(getattr(attack, "needs_gradients", _uses_gradients(attack)))


def graph_wanted(attacks: Iterable[Any]) -> tuple[bool, bool]:
    """Return whether any of the attacks uses gradients, and whether none of them needs a graph that is not cut."""
    several = tuple(attacks)
    return any(map(_uses_gradients, several)), not any(map(_needs_gradients, several))


def probe(model: nn.Module, x: Tensor, y: Tensor, *, gradients: bool, cut: bool = False) -> tuple[str, ...]:
    """Run `check_model` on the model's own device in eval mode, with parameters frozen."""
    exact = exact_model(model)
    check_weights(exact)
    device = device_of(exact, x.device)
    dtype = next((p.dtype for p in exact.parameters() if p.is_floating_point()), x.dtype)
    if dtype in (torch.float16, torch.bfloat16):
        raise ModelContractError(
            f"the model's weights are {dtype}; expected float32 or float64: rounding would decide what is robust. "
            "Give model.float(); FastModel(model, dtype=...) searches in low precision and verifies in full"
        )
    with evaluating(exact), frozen(exact):
        return check_model(model, x[:PROBED].to(device), y.to(device), gradients=gradients, cut=cut)


@contextmanager
def seeded_globally(device: torch.device, seed: int) -> Iterator[None]:
    """Seed what a random model draws from torch's, Python's or NumPy's global generator; put these back afterwards."""
    own, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.random.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(own)
            np.random.set_state(numpys)
