"""Training objectives: golden formulas in float64, examples in the ball, the model untouched, weight perturbation."""

import copy

import pytest
import torch
from torch import Tensor, nn

from advrush.attacks import PGD
from advrush.models.build import build
from advrush.training.objectives import Adversarial, Mart, Objective, Standard, Trades, gradients
from advrush.training.step import GradientScale

ATTACK = PGD(eps=0.05, steps=3, step_size=0.02, start="normal")
OBJECTIVES: list[Objective] = [Standard(), Adversarial(ATTACK), Trades(ATTACK, 4.0), Mart(ATTACK, 5.0)]


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 5)
    )
    return layers.double().train()


def batch() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.rand(6, 1, 8, 8, generator=g, dtype=torch.float64), torch.randint(5, (6,), generator=g)


def log_p(logits: Tensor) -> Tensor:
    return logits - logits.exp().sum(dim=1, keepdim=True).log()


def by_hand(objective: Objective, clean: Tensor, robust: Tensor, y: Tensor) -> Tensor:
    """The losses as their papers print them, example by example."""
    total = torch.zeros((), dtype=torch.float64)
    for c, r, label in zip(log_p(clean), log_p(robust), y.tolist(), strict=True):
        kl = sum(c[k].exp() * (c[k] - r[k]) for k in range(len(c)))
        match objective:
            case Trades(beta=beta):
                total = total - c[label] + beta * kl
            case Mart(beta=beta):
                wrong = max(r[k].exp() for k in range(len(r)) if k != label)
                total = total - r[label] - torch.log(1.0001 - wrong) + beta * kl * (1 - c[label].exp())
            case _:
                total = total - r[label]
    return total / len(y)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
def test_losses_are_those_of_the_papers(objective: Objective, net: nn.Module) -> None:
    (x, y), noise = batch(), torch.Generator().manual_seed(2)
    x_adv = (x + 0.05 * (torch.rand(x.shape, generator=noise, dtype=torch.float64) - 0.5)).clamp(0, 1)
    loss, logits = objective.loss(copy.deepcopy(net), x, x_adv, y)
    clean, robust = copy.deepcopy(net)(x), copy.deepcopy(net)(x_adv)
    assert loss.item() == pytest.approx(by_hand(objective, clean, robust, y).item(), rel=1e-12)
    assert torch.equal(logits, robust)


@pytest.mark.parametrize("objective", OBJECTIVES[1:], ids=lambda o: type(o).__name__)
def test_examples_stay_in_the_ball_raise_the_loss_and_leave_the_model_alone(
    objective: Objective, net: nn.Module
) -> None:
    x, y = batch()
    before = copy.deepcopy(net.state_dict())
    noise = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x_adv = objective.perturb(net, x, y, noise)
    assert torch.equal(x_adv, objective.perturb(net, x, y, noise))
    assert (x_adv - x).abs().max() <= 0.05 + 1e-12
    assert 0 <= x_adv.min() <= x_adv.max() <= 1
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
    net.eval()
    plain = objective.loss(net, x, x + 1e-9, y)[0]
    assert objective.loss(net, x, x_adv, y)[0] > plain


def test_gradients_are_those_of_autograd(net: nn.Module) -> None:
    x, y = batch()
    found, loss, _ = gradients(Standard(), copy.deepcopy(net), x, x, y)
    wanted = torch.nn.functional.cross_entropy(net(x), y)
    wanted.backward()
    assert loss == wanted.detach()
    assert all(torch.equal(a, b.grad) for a, b in zip(found, net.parameters(), strict=True) if b.grad is not None)


def test_weight_perturbation_takes_gradients_where_the_loss_is_higher_and_puts_everything_back(net: nn.Module) -> None:
    x, y = batch()
    plain, loss, _ = gradients(Standard(), copy.deepcopy(net), x, x, y)
    model, moved = copy.deepcopy(net), copy.deepcopy(net)
    found, higher, _ = gradients(Standard(), model, x, x, y, awp=0.05)
    assert higher > loss
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), net.parameters(), strict=True))
    with torch.no_grad():  # the definition: w + gamma ||w|| g / ||g|| for tensors of more than one dimension
        for weight, slope in zip(moved.parameters(), plain, strict=True):
            if weight.dim() > 1:
                weight.add_(0.05 * weight.norm() * slope / slope.norm())
    wanted, _, _ = gradients(Standard(), moved, x, x, y)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    once = copy.deepcopy(moved)
    assert int(model[1].num_batches_tracked) == 1  # type: ignore[index]
    torch.testing.assert_close(model[1].running_mean, once[1].running_mean)  # type: ignore[index]


def test_attack_in_half_precision_goes_the_same_way() -> None:
    torch.manual_seed(0)
    model = build("resnet18", num_classes=10, image_size=16, channels=8).train()
    x, y = torch.rand(8, 3, 16, 16), torch.randint(10, (8,))
    attack = Adversarial(PGD(eps=0.05, steps=1, step_size=0.02, start="none"))
    still = torch.zeros_like(x)
    wanted = (attack.perturb(model, x, y, still) - x).sign()
    with torch.autocast("cpu", torch.bfloat16):
        half = attack.perturb(model, x, y, still)
    assert half.dtype == torch.float32
    assert (half - x).abs().max() <= 0.05
    agreement = ((half - x).sign() == wanted).double().mean()
    assert agreement > 0.85


def test_steep_keeps_directions_and_scales_gradients(net: nn.Module) -> None:
    x, y = batch()
    x = x.requires_grad_()
    plain = torch.autograd.grad(torch.nn.functional.cross_entropy(net(x), y), x)[0]
    steep = torch.autograd.grad(torch.nn.functional.cross_entropy(GradientScale(net)(x), y), x)[0]
    torch.testing.assert_close(steep, 4096 * plain)
