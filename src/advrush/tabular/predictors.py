"""Zero-cost predictors of robustness: scores of a network before adversarial training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from advrush.analysis.spectrum_exact import exact_spectrum
from advrush.curvature import measure_curvature
from advrush.errors import ModelContractError
from advrush.models.count import count
from advrush.modes import evaluating, frozen
from advrush.space import Architecture


@dataclass
class Probe:
    """A network, the images that it is probed with, and what several scores have in common."""

    genotype: Architecture
    network: nn.Module
    """In eval mode; takes `x` to logits."""
    x: Tensor
    """Inputs (N, C, H, W) in the units that the network takes, float32."""
    y: Tensor
    h: float = 1.5
    """Length of L_lambda's step, in the units of `x`."""
    eps: float = 0.127
    """Length of the perturbation's step along the sign of the gradient, in the units of `x`."""

    @cached_property
    def gradient(self) -> Tensor:
        """Each image's gradient of its own cross-entropy (N, C, H, W); zero where the network ignores the image."""
        x = self.x.detach().requires_grad_(True)
        with frozen(self.network), torch.enable_grad():
            loss = cross_entropy(self.network(x), self.y, reduction="sum")
            if not loss.requires_grad:
                return torch.zeros_like(x)
            return torch.autograd.grad(loss, x)[0]

    @cached_property
    def spectrum(self) -> tuple[float, float]:
        """Mean over the images of the exact ||H||_F and lambda_max of the input Hessian; products in float32."""
        try:
            with frozen(self.network):
                part = exact_spectrum(self.network, self.x, self.y)
        except ModelContractError:  # no path from the image to the logits
            return 0.0, 0.0
        return float(part.frobenius.mean()), float(part.lambda_max.mean())

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """Parameters, and multiply-accumulates of one image."""
        found = count(self.network, image_size=self.x.shape[-1], in_channels=self.x.shape[1])
        return found.parameters, found.macs


@dataclass(frozen=True)
class Predictor:
    """A score, and the direction in which it is said to foretell robustness: fixed before the truth is looked at."""

    about: str
    sign: int
    """1: the higher the better; -1: the lower the better."""
    of: Callable[[Probe], float]
    counts: bool = False
    """Whether it only counts what the network consists of, so that every other one should beat it."""


def l_lambda(probe: Probe) -> float:
    """Return AdvRush's curvature score, Eq. 10."""
    try:
        return float(measure_curvature(probe.network, probe.x, probe.y, h=probe.h))
    except RuntimeError:
        if not probe.gradient.any():  # no path from the image to the logits
            return 0.0
        raise


def synflow(probe: Probe) -> float:
    """Return the logarithm of the synaptic flow (Tanaka et al., NeurIPS 2020) in float64, batch norms as identities."""
    network = copy.deepcopy(probe.network).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.zero_()
            module.running_var.fill_(1.0)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    with torch.no_grad():
        for weight in weights:
            weight.abs_()
    with evaluating(network), torch.enable_grad():
        total = network(torch.ones_like(probe.x[:1], dtype=torch.float64)).sum()
        grads = torch.autograd.grad(total, weights, allow_unused=True)
    flow = sum(float((w * s).detach().abs().sum()) for w, s in zip(weights, grads, strict=True) if s is not None)
    return float(torch.tensor(flow, dtype=torch.float64).clamp_min(1e-300).log())


def ntk_condition(probe: Probe) -> float:
    """Return log10 of the condition number of the neural tangent kernel of the summed logits (after Chen et al. 2021).

    The kernel is that of the images of the probe, with batch norm in eval mode.
    """
    weights = [weight for weight in probe.network.parameters() if weight.requires_grad]
    rows = []
    for index in range(len(probe.x)):
        with torch.enable_grad():
            grads = torch.autograd.grad(probe.network(probe.x[index : index + 1]).sum(), weights, allow_unused=True)
        rows.append(torch.cat([s.flatten().double() for s in grads if s is not None]))
    values = torch.linalg.eigvalsh(torch.stack(rows) @ torch.stack(rows).t())
    floor = torch.finfo(torch.float32).eps * values[-1].clamp_min(1e-300)
    return float((values[-1] / values[0].clamp_min(floor)).log10())


def agreement(probe: Probe) -> float:
    """Return how far the weights' gradients on clean and on perturbed images agree (after Ha et al., NeurIPS 2023).

    The mean over the layers of the cosine between the loss's gradients on `x` and on `x + eps sign(gradient)`.
    """
    weights = [weight for weight in probe.network.parameters() if weight.requires_grad and weight.dim() > 1]
    both = []
    for x in (probe.x, probe.x + probe.eps * probe.gradient.sign()):
        with torch.enable_grad():
            loss = cross_entropy(probe.network(x), probe.y)
            both.append(torch.autograd.grad(loss, weights, allow_unused=True))
    cosines = [
        float(cosine_similarity(a.flatten(), b.flatten(), dim=0))
        for a, b in zip(*both, strict=True)
        if a is not None and b is not None
    ]
    return sum(cosines) / len(cosines) if cosines else 0.0


def convolutions(genotype: Architecture, kind: str | None = None) -> int:
    """Return the edges that hold a convolution, in one kind of cell or in all."""
    graphs = genotype.cells()
    chosen = graphs.values() if kind is None else (graphs[kind],)
    return sum("conv" in edge.primitive for graph in chosen for edge in graph.edges)


def _first_kind(probe: Probe) -> float:
    return convolutions(probe.genotype, next(iter(probe.genotype.cells())))


PREDICTORS: Mapping[str, Predictor] = MappingProxyType(
    {
        "l_lambda": Predictor("curvature along the gradient's sign, L_λ", -1, l_lambda),
        "frobenius": Predictor("exact ‖H‖_F of the input Hessian", -1, lambda p: p.spectrum[0]),
        "lambda_max": Predictor("exact λ_max of the input Hessian", -1, lambda p: p.spectrum[1]),
        "gradient_norm": Predictor(
            "norm of the input gradient", -1, lambda p: float(p.gradient.flatten(1).norm(dim=1).mean())
        ),
        "synflow": Predictor("synaptic flow", 1, synflow),
        "ntk_condition": Predictor("condition number of the tangent kernel", -1, ntk_condition),
        "agreement": Predictor("agreement of clean and perturbed gradients", 1, agreement),
        "parameters": Predictor("parameters", 1, lambda p: p.sizes[0], counts=True),
        "macs": Predictor("multiply-accumulates", 1, lambda p: p.sizes[1], counts=True),
        "convolutions": Predictor("convolutions in all cells", 1, lambda p: convolutions(p.genotype), counts=True),
        "convolutions_first": Predictor(
            "convolutions in the first kind of cell (DARTS: the normal one)", 1, _first_kind, counts=True
        ),
    }
)
"""Every score by name."""
