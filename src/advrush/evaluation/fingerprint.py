"""Identify what is measured: the data's checksum, the network's outputs on probe images, the class names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from advrush.attacks.gate import PROBED, called, check_logits, seeded_globally
from advrush.data import Dataset
from advrush.errors import ModelContractError
from advrush.evaluation.targets import Target
from advrush.modes import evaluating

NAMED = 4
"""Class names that a message repeats."""


def examine(targets: Sequence[Target], dataset: Dataset) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what tells a measurement from another of the same configuration, and what is odd about its classes.

    The first is the checksum of the data, and what each network computes on the first test images (its weights are
    part of the configuration, its code is not). The second are sentences on classes of the data that are not those a
    network was trained on. Raises ModelContractError for a network that fails on the images, and where a label stands
    for another class than in the network's training.
    """
    found = [outputs(target.model, dataset) for target in targets]
    told = [_class_warning(each, dataset, len(logits)) for each, logits in zip(targets, found, strict=True)]
    told.append(_absent(dataset))
    identity = {"data": dataset.checksum, "outputs": found[0] if len(found) == 1 else found}
    return identity, tuple(sentence for sentence in told if sentence)


def outputs(model: nn.Module, dataset: Dataset) -> list[float]:
    """Return the logits of a network on the first test images, one after the other, rounded."""
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    x = (dataset.test.images[:PROBED].float() / 255).to(parameter.device, parameter.dtype)
    with evaluating(model), torch.inference_mode(False), torch.no_grad(), seeded_globally(x.device, 0):
        logits = called(model, x)
    check_logits(logits, len(x))
    return [round(v, 6) for v in logits.double().flatten().tolist()]


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
