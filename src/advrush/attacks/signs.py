"""Signs of misleading gradients in the logits and gradients of one batch, as sentences for the user."""

from __future__ import annotations

import torch
from torch import Tensor

CUT = (
    "the model's output does not depend on the image by differentiable operations (detach, round, argmax or no_grad "
    "inside?); attack it with Square, which needs no gradient"
)
"""Said of a model that no attack by gradients can be made on."""


def probabilities(logits: Tensor) -> str:
    """Return a sentence where all outputs (N, K) lie in [0, 1]: rows of a softmax, or values of sigmoids."""
    if not bool((logits.amax() < 1 + 1e-5) & (logits.amin() > -1e-5)):
        return ""
    if bool(((logits.sum(dim=1) - 1).abs() < 1e-5).all()):
        return "the model returns probabilities: attacks need the logits before the softmax"
    return "all outputs of the model lie in [0, 1], as probabilities do: attacks need the logits before the sigmoid"


def odd_gradients(grad: Tensor) -> tuple[str, ...]:
    """Return sentences where gradients of the cross-entropy (N, ...) are zero, or no finite numbers."""
    rows, found = grad.flatten(1), []
    if zero := int((rows == 0).all(dim=1).sum()):
        found.append(
            f"{zero} of {len(rows)} examples have a zero gradient of the cross-entropy: gradients may be masked"
        )
    if bad := int((~torch.isfinite(rows)).any(dim=1).sum()):
        found.append(
            f"{bad} of {len(rows)} examples have a gradient that is not finite: look for a square root, a norm or a "
            "logarithm at 0 in the model"
        )
    return tuple(found)
