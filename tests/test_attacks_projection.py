"""Steps onto a hyperplane inside the box: feasible, and no longer than the best that bisection finds."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from advrush.attacks.fab_projection import onto_hyperplane_l2, onto_hyperplane_linf

Project = Callable[[Tensor, Tensor, Tensor], Tensor]


def problem(scale: float) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(int(scale * 100))
    t = (torch.rand(60, 50, generator=generator, dtype=torch.float64) * 1.4 - 0.2).clamp(0, 1)
    w = torch.randn(60, 50, generator=generator, dtype=torch.float64)
    w[:, ::7] = 0
    shift = torch.randn(60, generator=generator, dtype=torch.float64) * scale
    return t, w, (w * t).sum(1) + shift


def shortest(t: Tensor, w: Tensor, b: Tensor, norm: str) -> Tensor:
    """Return the least norm by bisection over the multiplier."""
    gap = b - (w * t).sum(1)
    w = w * gap.sign()[:, None]
    low, high = torch.zeros_like(gap), torch.full_like(gap, 1e3)
    for _ in range(200):
        middle = (low + high) / 2
        step = (w.sign() if norm == "Linf" else w) * middle[:, None]
        moved = (t + step).clamp(0, 1) - t
        enough = (w * moved).sum(1) >= gap.abs()
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    moved = (t + (w.sign() if norm == "Linf" else w) * high[:, None]).clamp(0, 1) - t
    return moved.abs().amax(1) if norm == "Linf" else moved.norm(dim=1)


@pytest.mark.parametrize("scale", [0.01, 0.3, 3.0])
@pytest.mark.parametrize(("project", "norm"), [(onto_hyperplane_linf, "Linf"), (onto_hyperplane_l2, "L2")])
def test_step_reaches_the_hyperplane_by_the_shortest_way(project: Project, norm: str, scale: float) -> None:
    t, w, b = problem(scale)
    step = project(t, w, b)
    assert float((t + step).min()) >= -1e-12
    assert float((t + step).max()) <= 1 + 1e-12
    torch.testing.assert_close((w * (t + step)).sum(1), b, rtol=0, atol=1e-9)
    length = step.abs().amax(1) if norm == "Linf" else step.norm(dim=1)
    torch.testing.assert_close(length, shortest(t, w, b, norm), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("project", [onto_hyperplane_linf, onto_hyperplane_l2])
def test_unreachable_hyperplane_leads_to_the_corner(project: Project) -> None:
    t, w, _ = problem(1.0)
    corner = torch.where(w > 0, 1.0, 0.0).double()
    step = project(t, w, (w * corner).sum(1) + 1)
    moving = w != 0
    torch.testing.assert_close((t + step)[moving], corner[moving])
    assert float(step[~moving].abs().max()) == 0
