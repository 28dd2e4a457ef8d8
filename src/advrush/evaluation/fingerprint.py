"""Identify what is measured: the data's checksum, the network's outputs on probe images, the class names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush.attacks.gate import PROBED, called, check_logits, check_model, check_weights, seeded_globally
from advrush.data import Dataset
from advrush.errors import ModelContractError
from advrush.evaluation.targets import Target
from advrush.modes import evaluating, frozen

SPREAD = 24
"""Test images, from all over the split, on which a network is asked besides the first."""
NAMED = 4
"""Class names that a message repeats."""


def examine(targets: Sequence[Target], dataset: Dataset) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what tells a measurement from another of the same configuration, and what is odd about its classes.

    The first is the checksum of the data, and what each network computes on the first test images (its weights are
    part of the configuration, its code is not). The second are sentences on classes of the data that are not those a
    network was trained on. Raises ModelContractError for a network that fails on the images, and where a label stands
    for another class than in the network's training.
    """
    found = [computed(target.model, dataset) for target in targets]
    told = [_class_warning(each, dataset, len(one["outputs"])) for each, one in zip(targets, found, strict=True)]
    told.append(_absent(dataset))
    each = found[0] if len(found) == 1 else {key: [one[key] for one in found] for key in found[0]}
    return {"data": dataset.checksum, **each}, tuple(sentence for sentence in told if sentence)


def computed(model: nn.Module, dataset: Dataset) -> dict[str, list[float]]:
    """Return what a network computes on some test images: logits, and sizes of its gradients.

    `outputs` are the logits on the first images, one after the other, rounded; `more_outputs` those on images from all
    over the split; `gradients` the L1 norm of the cross-entropy's gradient on each of the first: a network whose
    gradients were mended has the same outputs. No gradients in half precision, or where the graph is cut.
    """
    check_weights(model)
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    spread = torch.linspace(0, len(dataset.test) - 1, min(SPREAD, len(dataset.test))).long()
    labels = dataset.test.labels[:PROBED]
    images = torch.cat([dataset.test.images[:PROBED], dataset.test.images[spread]])
    x = (images.float() / 255).to(parameter.device, parameter.dtype)
    first, labels = x[: len(labels)], labels.to(x.device)
    with evaluating(model), frozen(model), torch.inference_mode(False), seeded_globally(x.device, 0):
        check_model(model, first, dataset.test.labels.to(x.device), gradients=False)
        with torch.no_grad():
            outputs, more = (_rounded(model, part) for part in (first, x[len(first) :]))
        gradients = _gradients(model, first, labels) if x.dtype in (torch.float32, torch.float64) else []
    return {"outputs": outputs, "more_outputs": more, "gradients": gradients}


def _rounded(model: nn.Module, x: Tensor) -> list[float]:
    logits = called(model, x)
    check_logits(logits, len(x))
    return [round(v, 6) for v in logits.double().flatten().tolist()]


def _gradients(model: nn.Module, x: Tensor, y: Tensor) -> list[float]:
    """Return the L1 norm of each image's gradient, -1 for one that is not finite; nothing where there is no graph."""
    given = x.clone().requires_grad_(True)
    with torch.enable_grad():
        logits = called(model, given * 1.0)
    if not logits.requires_grad or int(y.amax()) >= logits.shape[1]:
        return []
    (found,) = torch.autograd.grad(cross_entropy(logits, y, reduction="sum"), given, allow_unused=True)
    norms = [] if found is None else found.double().flatten(1).abs().sum(dim=1).tolist()
    return [float(f"{norm:.6g}") if math.isfinite(norm) else -1.0 for norm in norms]


def _class_warning(target: Target, dataset: Dataset, logits: int) -> str:
    """Return a sentence where the classes are not sure to be the network's, nothing where they are."""
    trained, given = target.classes, dataset.classes
    if trained is None:
        classes = logits // min(PROBED, len(dataset.test))
        few = len(given) < classes  # more are refused with the first label that the network does not know
        return f"{target.label} tells {classes} classes; the data has {len(given)}" if few else ""
    ours, theirs = _listed(trained), _listed(given)
    if len(trained) != len(given):
        raise ModelContractError(
            f"{target.label}: trained on {len(trained)} classes ({ours}); the data has {len(given)} ({theirs}). "
            "Give data of the classes that it was trained on"
        )
    if trained != given and sorted(trained) == sorted(given):
        raise ModelContractError(
            f"{target.label}: trained on the classes {ours}; the data has them in another order ({theirs}): "
            "its labels stand for other classes"
        )
    same = trained == given
    return "" if same else f"{target.label} was trained on classes called {ours}; those of the data are called {theirs}"


def _absent(dataset: Dataset) -> str:
    """Return a sentence where the whole test split has no image of some classes, nothing of a subset of it."""
    absent = sorted(set(range(len(dataset.classes))) - set(dataset.test.labels.tolist()))
    if not absent or dataset.test_index is not None:
        return ""
    return f"no test image is of class {_listed([dataset.classes[i] for i in absent])}: accuracies are of the others"


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
