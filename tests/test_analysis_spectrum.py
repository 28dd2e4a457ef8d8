"""The input spectrum against dense Hessians in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush import input_spectrum
from advrush.analysis.linearity import piecewise_linear, second_derivative
from advrush.errors import ConfigError, DataError, ModelContractError


def network(activation: Callable[[], nn.Module], *, classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), activation(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), activation(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8 * 4, classes),
    ).double()  # fmt: skip
    model(torch.rand(64, 1, 8, 8, dtype=torch.float64))
    return model.eval()


def images(count: int = 5, classes: int = 10) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand((count, 1, 8, 8), generator=generator, dtype=torch.float64)
    return x, torch.randint(0, classes, (count,), generator=generator)


def dense(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return every image's Hessian (N, D, D) by autograd."""
    found = []
    for image, label in zip(x, y, strict=True):

        def loss(z: Tensor, shape: torch.Size = image.shape, label: Tensor = label) -> Tensor:
            return cross_entropy(model(z.view(1, *shape)), label.view(1))

        found.append(torch.autograd.functional.hessian(loss, image.flatten()))
    return torch.stack(found)


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(cross_entropy(model(x), y, reduction="sum"), x)[0].flatten(1)


@pytest.mark.parametrize(
    ("activation", "method"),
    [(nn.ReLU, "exact"), (nn.ReLU, "lanczos"), (nn.GELU, "lanczos"), (nn.Tanh, "lanczos"), (nn.Softplus, "lanczos")],
)
def test_all_numbers_are_those_of_the_dense_hessian(activation: Callable[[], nn.Module], method: str) -> None:
    model, (x, y) = network(activation), images()
    hessian = dense(model, x, y)
    values, vectors = torch.linalg.eigh(hessian)
    found = input_spectrum(model, x, y, method=method, steps=64, whole=True)  # type: ignore[arg-type]
    assert found.method == method
    scale = hessian.flatten(1).norm(dim=1)
    largest = values[:, -1]
    torch.testing.assert_close(found.lambda_max, largest, rtol=1e-10, atol=0)
    torch.testing.assert_close(found.frobenius, scale, rtol=1e-10, atol=0)
    trace = hessian.diagonal(dim1=1, dim2=2).sum(dim=1)
    assert ((found.trace - trace).abs() <= 1e-10 * scale).all()
    g = gradient(model, x, y)
    c = (g * vectors[:, :, -1]).sum(dim=1).abs() / g.norm(dim=1)
    torch.testing.assert_close(found.cosine, c, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.gradient_norm, g.norm(dim=1), rtol=1e-10, atol=0)
    count = found.eigenvalues.shape[1]
    order = values.flip(1)[:, :count]
    rest = values[:, : values.shape[1] - count].abs().max() if count < values.shape[1] else torch.zeros(())
    assert ((found.eigenvalues - order).abs() <= 1e-9 * scale.unsqueeze(1)).all()
    assert rest <= 1e-10 * scale.max()


def test_few_steps_give_lambda_max_within_its_bound_and_estimates_within_their_errors() -> None:
    model, (x, y) = network(nn.GELU), images()
    hessian = dense(model, x, y)
    found = input_spectrum(model, x, y, steps=20, tolerance=1e-3, probes=64)
    assert found.eigenvalues.shape[1] < 64
    error = (found.lambda_max - torch.linalg.eigvalsh(hessian)[:, -1]).abs()
    assert (error <= found.lambda_error + 1e-12 * found.lambda_max).all()
    assert (found.lambda_error <= 1e-3 * found.lambda_max).all()
    trace = hessian.diagonal(dim1=1, dim2=2).sum(dim=1)
    assert ((found.trace - trace).abs() <= 5 * found.trace_error).all()
    assert ((found.frobenius - hessian.flatten(1).norm(dim=1)).abs() <= 5 * found.frobenius_error).all()
    assert (found.trace_error > 0).all()


@pytest.mark.parametrize("margin", [-60.0, 0.0, 60.0, 300.0])
def test_images_that_the_network_is_sure_of_keep_their_relative_accuracy(margin: float) -> None:
    """Two classes with logits (s, 0): H = p (1 - p) w w^T, where 1 - p is far below the rounding of p."""
    w = torch.linspace(-1, 1, 64, dtype=torch.float64)

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            s = x.flatten(1) @ w + margin
            return torch.stack([s, torch.zeros_like(s)], dim=1)

    x, _ = images()
    s = x.flatten(1) @ w + margin
    expected = torch.sigmoid(s) * torch.sigmoid(-s) * (w @ w)
    found = input_spectrum(Linear(), x, torch.zeros(5, dtype=torch.int64))
    for value in (found.lambda_max, found.frobenius, found.trace):
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(found.gradient_norm, torch.sigmoid(-s) * w.norm(), rtol=1e-10, atol=0)
    torch.testing.assert_close(found.cosine, torch.ones(5, dtype=torch.float64))


def test_many_classes_go_by_lanczos_and_agree_with_the_exact_way() -> None:
    model, (x, y) = network(nn.ReLU, classes=60), images(classes=60)
    found = input_spectrum(model, x, y, tolerance=1e-9)
    exact = input_spectrum(model, x, y, method="exact")
    assert (found.method, exact.method) == ("lanczos", "exact")
    torch.testing.assert_close(found.lambda_max, exact.lambda_max, rtol=1e-9, atol=0)


@pytest.mark.parametrize("activation", [nn.GELU, nn.Tanh, nn.Softplus, nn.SiLU, nn.Sigmoid])
def test_curved_networks_are_told_from_piecewise_linear_ones(activation: Callable[[], nn.Module]) -> None:
    x, y = images()
    for linear in (nn.ReLU, nn.LeakyReLU, nn.Hardtanh, nn.PReLU):
        assert (second_derivative(network(linear), x) == 0).all()
    assert not piecewise_linear(network(activation), x)
    with pytest.raises(ConfigError, match="method: got 'exact'; expected lanczos"):
        input_spectrum(network(activation), x, y, method="exact")


def test_a_custom_curved_layer_without_a_module_is_seen() -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1) ** 2)[:, :10]

    assert not piecewise_linear(Square(), images()[0])


def test_the_model_is_left_as_it_was_and_float32_networks_are_measured_in_float64() -> None:
    model, (x, y) = network(nn.ReLU).float().train(), images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = input_spectrum(model, x.float(), y)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert found.lambda_max.dtype == torch.float64
    exact = input_spectrum(model.double().eval(), x.float().double(), y)
    torch.testing.assert_close(found.lambda_max, exact.lambda_max, rtol=1e-12, atol=0)


def test_bad_input_is_refused_in_words() -> None:
    model, (x, y) = network(nn.ReLU), images()
    with pytest.raises(DataError, match="values from"):
        input_spectrum(model, 255 * x, y)
    with pytest.raises(DataError, match="labels"):
        input_spectrum(model, x, y[:2])
    with pytest.raises(ConfigError, match="steps: got 1"):
        input_spectrum(model, x, y, steps=1)

    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sqrt(x.flatten(1)[:, :10])

    with pytest.raises(ModelContractError, match="no finite second derivative at 1 of 5 images"):
        input_spectrum(Root(), x * torch.tensor([1.0, 1, 0, 1, 1]).view(5, 1, 1, 1), y)

    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :10].detach()

    with pytest.raises(ModelContractError, match="does not depend on the image"):
        input_spectrum(Cut(), x, y)
