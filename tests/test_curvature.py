"""L_lambda against closed forms, the dense Hessian and finite differences, all in float64."""

import pytest
import torch
from torch import Tensor, nn

from advrush.curvature import input_curvature, measure_curvature, safe_norm
from advrush.kernels.attack_direction import attack_direction
from advrush.models.supernet import Supernet
from advrush.searching.objectives import double_backward_gradients
from advrush.space import DARTS


class Quadratic(nn.Module):
    """0.5 x^T A x + b^T x for each example: gradient A x + b, Hessian A."""

    def __init__(self, matrix: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.matrix, self.offset = matrix, offset

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * torch.einsum("ni,ij,nj->n", x, self.matrix, x) + x @ self.offset


def total(outputs: Tensor, y: Tensor) -> Tensor:
    return outputs.sum()


def smooth_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4)).double()


def tiny_supernet(seed: int = 0) -> Supernet:
    torch.manual_seed(seed)
    return Supernet(DARTS, channels=2, layers=3, num_classes=3, in_channels=1).double()


@pytest.mark.parametrize("h", [0.3, 1.5])
def test_quadratic_has_its_known_value(h: float) -> None:
    torch.manual_seed(1)
    root = torch.randn(6, 6).double()
    matrix, x = root + root.T, torch.randn(5, 6).double()
    model = Quadratic(matrix, torch.randn(6).double())
    z = attack_direction(x @ matrix + model.offset)
    expected = h * (z @ matrix).norm(dim=1).mean()
    torch.testing.assert_close(input_curvature(model, x, torch.zeros(5), h=h, loss=total), expected, rtol=1e-12, atol=0)


def test_linear_model_has_none() -> None:
    model = nn.Linear(6, 1).double()
    x = torch.randn(5, 6).double()
    value = input_curvature(model, x, torch.zeros(5), loss=total)
    assert value.item() == 0.0
    (gradient,) = torch.autograd.grad(value, model.weight, allow_unused=True, materialize_grads=True)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_zero_step_gives_zero_with_a_finite_gradient() -> None:
    model, x, y = smooth_model(), torch.randn(3, 12).double(), torch.tensor([0, 1, 3])
    value = input_curvature(model, x, y, h=0.0)
    gradients = torch.autograd.grad(value, list(model.parameters()), allow_unused=True, materialize_grads=True)
    assert value.item() == 0.0
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_small_step_agrees_with_the_dense_hessian() -> None:
    model, x, y = smooth_model(), torch.randn(3, 12).double(), torch.tensor([0, 1, 3])
    h, products = 1e-5, []
    for i in range(3):

        def loss(point: Tensor, i: int = i) -> Tensor:
            return nn.functional.cross_entropy(model(point[None]), y[i : i + 1])

        g = torch.autograd.functional.jacobian(loss, x[i])
        hessian = torch.autograd.functional.hessian(loss, x[i])
        products.append((hessian @ attack_direction(g[None])[0]).norm())
    expected = torch.stack(products).mean()
    torch.testing.assert_close(input_curvature(model, x, y, h=h) / h, expected, rtol=1e-4, atol=0)


def test_alpha_gradient_passes_gradcheck() -> None:
    supernet = tiny_supernet()
    supernet.eval()
    x, y = torch.randn(2, 1, 8, 8).double(), torch.tensor([0, 2])
    _, gradients = double_backward_gradients(supernet, x, y, h=1.5)
    for kind, alpha in supernet.alphas().items():
        direction = torch.randn(alpha.shape, generator=torch.Generator().manual_seed(3)).double()
        step, sides = 1e-6, []
        for sign in (1, -1):
            with torch.no_grad():
                alpha.add_(sign * step * direction)
            sides.append(measure_curvature(supernet, x, y, h=1.5))
            with torch.no_grad():
                alpha.sub_(sign * step * direction)
        numeric = (sides[0] - sides[1]) / (2 * step)
        torch.testing.assert_close((gradients[kind] * direction).sum(), numeric, rtol=2e-5, atol=1e-10)


def test_measured_value_equals_the_differentiable_one() -> None:
    supernet = tiny_supernet(1)
    x, y = torch.randn(4, 1, 8, 8).double(), torch.tensor([0, 2, 1, 1])
    torch.testing.assert_close(measure_curvature(supernet, x, y), input_curvature(supernet, x, y).detach())


def test_model_is_left_as_it_was() -> None:
    supernet = tiny_supernet()
    supernet.train()
    supernet.cells[0].eval()
    modes = [module.training for module in supernet.modules()]
    state = {name: value.clone() for name, value in supernet.state_dict().items()}
    flags = [parameter.requires_grad for parameter in supernet.parameters()]
    x, y = torch.randn(2, 1, 8, 8).double(), torch.tensor([0, 2])
    double_backward_gradients(supernet, x, y, h=1.5)
    measure_curvature(supernet, x, y)
    assert [module.training for module in supernet.modules()] == modes
    assert [parameter.requires_grad for parameter in supernet.parameters()] == flags
    assert all(torch.equal(state[name], value) for name, value in supernet.state_dict().items())
    assert all(parameter.grad is None for parameter in supernet.parameters())


def test_examples_do_not_mix() -> None:
    supernet = tiny_supernet()
    x, y = torch.randn(3, 1, 8, 8).double(), torch.tensor([0, 2, 1])
    alone = torch.stack([measure_curvature(supernet, x[i : i + 1], y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(measure_curvature(supernet, x, y), alone.mean())


def test_safe_norm_is_the_norm_with_a_zero_slope_at_zero() -> None:
    v = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    norms = safe_norm(v)
    assert norms.tolist() == [5.0, 0.0]
    norms.sum().backward()
    assert v.grad is not None
    torch.testing.assert_close(v.grad, torch.tensor([[0.6, 0.8], [0.0, 0.0]], dtype=torch.float64))
