"""The attacks' losses against their formulas written out by hand, in float64."""

import pytest
import torch
from torch import Tensor

from advrush.attacks.losses import dlr, margin, targeted_dlr


def logits_of(classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(40, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (40,), generator=generator)


@pytest.mark.parametrize("classes", [3, 4, 10, 1000])
def test_dlr_is_the_published_ratio(classes: int) -> None:
    logits, y = logits_of(classes)
    for z, label, value in zip(logits.tolist(), y.tolist(), dlr(logits, y).tolist(), strict=True):
        order = sorted(z, reverse=True)
        other = max(z[k] for k in range(classes) if k != label)
        assert value == pytest.approx(-(z[label] - other) / (order[0] - order[2]), rel=1e-9)


@pytest.mark.parametrize("classes", [4, 10, 1000])
def test_targeted_dlr_is_the_published_ratio(classes: int) -> None:
    logits, y = logits_of(classes)
    target = (y + 2) % classes
    values = targeted_dlr(logits, y, target).tolist()
    for z, label, aim, value in zip(logits.tolist(), y.tolist(), target.tolist(), values, strict=True):
        order = sorted(z, reverse=True)
        expected = -(z[label] - z[aim]) / (order[0] - (order[2] + order[3]) / 2)
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_ratios_ignore_the_scale_of_the_logits(scale: float) -> None:
    logits, y = logits_of(10)
    target = (y + 1) % 10
    torch.testing.assert_close(dlr(scale * logits, y), dlr(logits, y), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        targeted_dlr(scale * logits, y, target), targeted_dlr(logits, y, target), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes_still_give_a_gradient(classes: int) -> None:
    logits, y = logits_of(classes)
    for value in (lambda z: dlr(z, y), lambda z: targeted_dlr(z, y, (y + 1) % classes)):
        z = logits.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(value(z).sum(), z)
        assert bool((slope.abs().sum(dim=1) > 0).all())


def test_every_loss_is_positive_exactly_on_success() -> None:
    logits, y = logits_of(10)
    wrong = logits.argmax(dim=1) != y
    assert torch.equal(margin(logits, y) > 0, wrong)
    assert torch.equal(dlr(logits, y) > 0, wrong)
