"""Gradients of the objectives against autograd of the whole, in float64."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush.attacks import FGSM
from advrush.config import digest
from advrush.curvature import input_curvature
from advrush.data import DataConfig
from advrush.errors import ConfigError
from advrush.models.supernet import Supernet
from advrush.modes import evaluating
from advrush.parallel import Parallel
from advrush.searching.adversarial import AdversarialValidation
from advrush.searching.authors import AuthorsAdvRush
from advrush.searching.config import SearchConfig
from advrush.searching.objectives import AdvRush, Batch, Darts, Regularized, weight_gradients
from advrush.searching.select import objective_of
from advrush.searching.unrolled import UnrolledDarts
from small_space import SMALL

Make = Callable[[], tuple[Supernet, Batch]]


@pytest.fixture
def make() -> Make:
    def build() -> tuple[Supernet, Batch]:
        torch.manual_seed(0)
        supernet = Supernet(SMALL, channels=2, layers=3, num_classes=3, in_channels=1).double()
        optimizer = torch.optim.SGD(supernet.weights(), lr=0.05, momentum=0.9, weight_decay=3e-4)
        x, x_val = torch.randn(2, 4, 1, 8, 8).double()
        y, y_val = torch.tensor([0, 1, 2, 0]), torch.tensor([2, 1, 0, 1])
        processes = Parallel(0, 1, torch.device("cpu"))
        return supernet, Batch(x, y, x_val, y_val, optimizer, processes, torch.Generator().manual_seed(0))

    return build


def autograd(supernet: Supernet, loss: Tensor) -> dict[str, Tensor]:
    alphas = supernet.alphas()
    return dict(zip(alphas, torch.autograd.grad(loss, list(alphas.values())), strict=True))


def assert_equal(actual: dict[str, Tensor], expected: dict[str, Tensor], rtol: float = 1e-9) -> None:
    assert actual.keys() == expected.keys()
    for kind, gradient in expected.items():
        torch.testing.assert_close(actual[kind], gradient, rtol=rtol, atol=1e-12)


def test_darts_is_the_gradient_of_the_validation_loss(make: Make) -> None:
    supernet, batch = make()
    expected = autograd(supernet, cross_entropy(supernet(batch.x_val), batch.y_val))
    assert_equal(dict(Darts().alpha_step(*make()).gradients), expected)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("gamma", "scale"), [(0.01, 1.0), (2.0, 4.0)])
def test_advrush_is_the_gradient_of_the_sum(make: Make, gamma: float, scale: float, fast: bool) -> None:
    supernet, batch = make()
    loss = cross_entropy(supernet(batch.x_val), batch.y_val)
    curvature = input_curvature(supernet, batch.x_val, batch.y_val, h=1.5)
    expected = autograd(supernet, loss + gamma * scale * curvature)
    step = AdvRush(gamma, 1.5, scale, fast).alpha_step(*make())
    assert_equal(dict(step.gradients), expected)
    torch.testing.assert_close(step.curvature, curvature.detach())
    torch.testing.assert_close(step.loss, loss.detach())


@pytest.mark.parametrize("size", [1, 3, 4])
def test_micro_batches_add_up_to_the_whole(make: Make, size: int) -> None:
    whole, parts = AdvRush(2.0).alpha_step(*make()), AdvRush(2.0, micro_batch=size).alpha_step(*make())
    assert_equal(dict(parts.gradients), dict(whole.gradients))
    torch.testing.assert_close(parts.curvature, whole.curvature)


def test_authors_gradient_is_polluted_by_the_summed_loss(make: Make) -> None:
    supernet, batch = make()
    plain = cross_entropy(supernet(batch.x_val), batch.y_val)
    curvature = input_curvature(supernet, batch.x_val, batch.y_val, h=1.5)
    with evaluating(supernet):
        pollution = cross_entropy(supernet(batch.x_val), batch.y_val, reduction="sum")
    expected = autograd(supernet, plain + 4 * 0.01 * curvature + pollution)
    other, same_batch = make()
    step = AuthorsAdvRush(0.01, 1.5, 4.0, polluted_gradient=True, frozen_bn=False).alpha_step(other, same_batch)
    assert_equal(dict(step.gradients), expected)
    assert other.training


def test_authors_weight_step_runs_with_frozen_statistics(make: Make) -> None:
    supernet, batch = make()
    AuthorsAdvRush(0.01, 1.5, 1.0, polluted_gradient=False, frozen_bn=True).alpha_step(supernet, batch)
    before = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    weight_gradients(supernet, batch.x, batch.y)
    assert all(torch.equal(before[name], buffer) for name, buffer in supernet.named_buffers())


@pytest.mark.parametrize(("radius", "rtol"), [(None, 1e-9), (1e-8, 1e-4)])
def test_unrolled_step_agrees_with_the_exact_mixed_derivative(make: Make, radius: float | None, rtol: float) -> None:
    supernet, batch = make()
    weights, alphas = supernet.weights(), supernet.alphas()
    names = {id(p): name for name, p in supernet.named_parameters()}
    lr, decay = 0.05, 3e-4
    train_loss = cross_entropy(supernet(batch.x), batch.y)
    slopes = torch.autograd.grad(train_loss, weights, create_graph=True)
    moved = {names[id(w)]: w - lr * (s + decay * w) for w, s in zip(weights, slopes, strict=True)}
    unrolled = torch.func.functional_call(supernet, moved, (batch.x_val,))
    expected = autograd(supernet, cross_entropy(unrolled, batch.y_val))
    other, same_batch = make()
    state = {name: value.clone() for name, value in other.state_dict().items()}
    step = UnrolledDarts(radius=radius).alpha_step(other, same_batch)
    assert_equal(dict(step.gradients), expected, rtol=rtol)
    first_order = Darts().alpha_step(*make()).gradients
    assert any(not torch.allclose(step.gradients[kind], first_order[kind], rtol=1e-3) for kind in alphas)
    assert all(torch.equal(state[name], value) for name, value in other.state_dict().items())


def test_regularizer_of_ones_own_is_added(make: Make) -> None:
    def penalty(supernet: Supernet, x: Tensor, y: Tensor) -> Tensor:
        x = x.requires_grad_(True)
        (g,) = torch.autograd.grad(cross_entropy(supernet(x), y, reduction="sum"), x, create_graph=True)
        return g.square().sum()

    supernet, batch = make()
    loss = cross_entropy(supernet(batch.x_val), batch.y_val)
    expected = autograd(supernet, loss + 0.3 * penalty(supernet, batch.x_val.clone(), batch.y_val))
    assert_equal(dict(Regularized(penalty, 0.3).alpha_step(*make()).gradients), expected)


def test_adversarial_step_sees_fgsm_examples_in_pixels(make: Make) -> None:
    supernet, batch = make()
    mean, std = (0.4,), (0.5,)
    pixels = (batch.x_val * 0.5 + 0.4).clamp(0, 1).requires_grad_(True)
    with evaluating(supernet):
        (g,) = torch.autograd.grad(cross_entropy(supernet((pixels - 0.4) / 0.5), batch.y_val), pixels)
    x_adv = (pixels.detach() + 0.03 * g.sign()).clamp(0, 1)
    expected = autograd(supernet, cross_entropy(supernet((x_adv - 0.4) / 0.5), batch.y_val))
    step = AdversarialValidation(FGSM(eps=0.03), mean, std).alpha_step(*make())
    assert_equal(dict(step.gradients), expected, rtol=1e-6)


def test_weight_gradients_are_those_of_the_weights_alone(make: Make) -> None:
    supernet, batch = make()
    loss, _, gradients = weight_gradients(supernet, batch.x, batch.y)
    other, same = make()
    cross_entropy(other(same.x), same.y).backward()  # type: ignore[no-untyped-call]
    parameters: list[nn.Parameter] = other.weights()
    for gradient, parameter in zip(gradients, parameters, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)
    assert all(p.requires_grad and p.grad is None for p in supernet.alphas().values())
    assert torch.isfinite(loss)


def test_the_mixed_derivative_is_exact_unless_the_authors_are_followed() -> None:
    second = SearchConfig(objective="darts_second_order")
    dataset = DataConfig(dataset="digits").load(None)
    assert objective_of(second, dataset) == UnrolledDarts()
    for config in (replace(second, mixed_derivative="difference"),
                   SearchConfig(objective="darts_second_order", fidelity="authors")):  # fmt: skip
        assert objective_of(config, dataset) == UnrolledDarts(0.01)
        assert digest(config) != digest(second)
    assert digest(replace(second, objective="darts")) == digest(SearchConfig(objective="darts"))
    with pytest.raises(ConfigError, match="mixed_derivative"):
        SearchConfig(mixed_derivative="analytic")
