"""Checks for unreliable results: random outputs, zero gradients, failed optimization (Croce and Hein 2020)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from advrush.attacks.losses import ce
from advrush.attacks.passes.chunks import gradient, predict
from advrush.attacks.signs import odd_gradients, probabilities

REPEATS = 5
MIXED = 1e-3
"""Share by which the logits of an image may change with its batch: rounding is far below."""
SQUARE_GAIN = 0.002
"""Square finding more than this fraction after gradient attacks means that they were misled."""


def suspicions(model: nn.Module, x: Tensor, y: Tensor, *, random_expected: bool = False) -> tuple[str, ...]:
    """Return what is odd about a model on one batch: sentences for the user, none where all is well."""
    if not len(x):
        return ()
    found = [_changing(model, x), probabilities(predict(model, x)), *_gradients(model, x, y)]
    random = _randomized(model, x)
    found.append(random if random and not random_expected else "")
    found.append("" if random else _mixing(model, x))
    return tuple(sentence for sentence in found if sentence)


def square_gain(robust_acc: Mapping[str, float]) -> str:
    """Return a sentence where Square lowered the accuracy that the attacks before it (in order) had left."""
    names = [name for name in robust_acc if name != "clean"]
    if "square" not in names or names.index("square") < 1:
        return ""
    before, after = robust_acc[names[names.index("square") - 1]], robust_acc["square"]
    if before - after <= SQUARE_GAIN:
        return ""
    return (
        f"Square, which uses no gradient, broke {before - after:.2%} more after the gradient attacks: gradients of this"
        " model may mislead; run Square with more queries, or an adaptive attack"
    )


def _randomized(model: nn.Module, x: Tensor) -> str:
    logits = [predict(model, x) for _ in range(REPEATS)]
    units = torch.stack([each / (each.norm(dim=1, keepdim=True) + 1e-10) for each in logits])
    spread = (units[:, None] - units[None]).norm(dim=-1).amax()
    if float(spread) <= 1e-4:
        return ""
    return "the model is random: the same images give other logits; use version rand, which averages gradients"


def _mixing(model: nn.Module, x: Tensor) -> str:
    """Compare the first images alone with the same among others: batch statistics, or rows that change places."""
    count = (len(x) + 1) // 2
    if count == len(x):
        return ""
    with contextlib.suppress(RuntimeError, ValueError):  # batch statistics of one example
        among, alone = predict(model, x)[:count], predict(model, x[:count])
        if bool(((among - alone).norm(dim=1) > MIXED * alone.norm(dim=1)).any()):
            return (
                "what the model says of an image depends on the other images of its batch (batch statistics in eval "
                "mode?): its accuracy is one of these batches"
            )
    return ""


def _gradients(model: nn.Module, x: Tensor, y: Tensor) -> tuple[str, ...]:
    _, _, grad = gradient(model, x, lambda logits, rows: ce(logits, y[rows]))
    return odd_gradients(grad)


def _changing(model: nn.Module, x: Tensor) -> str:
    before = {name: value.clone() for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    with _Differentiation() as watch:
        predict(model, x)
    if watch.seen:
        return "the model differentiates while it predicts: it may adapt to its input, and needs an adaptive attack"
    after = model.state_dict()
    if any(not torch.equal(value, after[name]) for name, value in before.items()):
        return "predicting changes the model's parameters or buffers"
    return ""


class _Differentiation(TorchFunctionMode):
    """Note whether anything asks for gradients while the context is open."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in (torch.autograd.grad, torch.autograd.backward, torch.Tensor.backward):
            self.seen = True
        return func(*args, **(kwargs or {}))
