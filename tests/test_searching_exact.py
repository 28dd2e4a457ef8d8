"""The objective `exact`: ||H||_F and its gradient against the dense Hessian, in both spaces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advrush.commands.options import read_recipe
from advrush.curvature import input_hessian_norm
from advrush.models.linearized.hessian_norm import hessian_norm_gradients
from advrush.models.supernet import Supernet
from advrush.searching import ExactCurvature, SearchConfig, search
from advrush.space import DARTS, NASBENCH201, Space


def supernet_of(space: Space, *, fast: bool = True) -> Supernet:
    torch.manual_seed(3)
    supernet = Supernet(space, channels=2, layers=3, num_classes=4, in_channels=1, fast=fast).double()
    for alpha in supernet.alphas().values():
        torch.nn.init.normal_(alpha)
    supernet.train()
    supernet(torch.randn(8, 1, 4, 4, dtype=torch.float64))  # running statistics unlike those of a new network
    return supernet


def dense_norm(supernet: Supernet, x: Tensor, y: Tensor) -> Tensor:
    """Return the mean ||H||_F with H column by column from second derivatives."""
    norms = []
    for image, label in zip(x, y, strict=True):
        flat = image.flatten().requires_grad_(True)
        loss = cross_entropy(supernet(flat.view(1, *image.shape)), label[None])
        g = torch.autograd.grad(loss, flat, create_graph=True)[0]
        rows = [torch.autograd.grad(g[i], flat, create_graph=True)[0] for i in range(len(flat))]
        norms.append(torch.stack(rows).norm())
    return torch.stack(norms).mean()


@pytest.mark.parametrize(("space", "count"), [(NASBENCH201, 2), (DARTS, 1)], ids=["nasbench201", "darts"])
def test_value_and_gradient_are_those_of_the_dense_hessian(space: Space, count: int) -> None:
    x, y = torch.randn(count, 1, 4, 4, dtype=torch.float64), torch.tensor([1, 3])[:count]
    plain = supernet_of(space, fast=False).eval()
    alphas = plain.alphas()
    dense = dense_norm(plain, x, y)
    wanted = dict(zip(alphas, torch.autograd.grad(dense, list(alphas.values())), strict=True))
    assert float(dense.detach()) > 1e-6

    value, gradients = ExactCurvature(fast=False).curvature(plain, x, y)
    fast_value, fast_gradients = hessian_norm_gradients(supernet_of(space).eval(), x)
    for found, found_gradients in ((value, gradients), (fast_value, fast_gradients)):
        torch.testing.assert_close(found, dense.detach(), rtol=1e-9, atol=0)
        for kind, gradient in wanted.items():
            scale = float(gradient.abs().max())
            torch.testing.assert_close(found_gradients[kind], gradient, rtol=1e-8, atol=1e-9 * scale)


def test_the_objective_takes_the_fast_passes_and_parts_of_a_batch() -> None:
    supernet = supernet_of(NASBENCH201).eval()
    x, y = torch.randn(5, 1, 4, 4, dtype=torch.float64), torch.arange(5) % 4
    whole = ExactCurvature()
    assert whole.curvature_path(supernet) == "linearized"
    value, gradients = whole.curvature(supernet, x, y)
    part_value, part_gradients = replace(whole, micro_batch=2).curvature(supernet, x, y)
    torch.testing.assert_close(value, part_value)
    torch.testing.assert_close(gradients, part_gradients)
    torch.testing.assert_close(value, input_hessian_norm(supernet_of(NASBENCH201, fast=False), x).detach())


def test_a_constant_network_has_no_curvature_and_no_slope() -> None:
    supernet = supernet_of(NASBENCH201).eval()
    torch.nn.init.zeros_(supernet.classifier.weight)
    value, gradients = hessian_norm_gradients(supernet, torch.randn(2, 1, 4, 4, dtype=torch.float64))
    assert value == 0 and all((gradient == 0).all() for gradient in gradients.values())


def test_a_search_with_it_runs(tmp_path: Path) -> None:
    config = replace(read_recipe("search", SearchConfig, "smoke"), objective="exact", space="nasbench201")
    result = search(config, runs_dir=tmp_path, display=False).result()
    assert result["curvature"] > 0 and result["curvature_path"] == "linearized"
