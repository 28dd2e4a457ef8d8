"""The loss on a plane through a network's weights: Eq. 1 with o = w, directions with the norms of the filters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advrush.analysis.input_plane import Landscape, finite, grid
from advrush.analysis.pieces import Piece, Remember, forgetful
from advrush.attacks.gate import check_images, check_labels
from advrush.config import check
from advrush.modes import evaluating


def weight_landscape(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    extent: float = 0.5,
    points: int = 51,
    batch_size: int = 512,
    seed: int = 0,
    on_batch: Callable[[int], object] | None = None,
    remember: Remember = forgetful,
) -> Landscape:
    """Return each image's cross-entropy at the weights `w + i d + j e`, for i and j from -extent to extent.

    d and e are random; each filter of them has the norm of the network's own (Li et al. 2018), so that networks of
    different scales compare: i = 1 moves a filter by its own length. Biases and the vectors of batch norms stay.
    The model itself is left alone; its copy runs in eval mode with the statistics that it has.
    Arguments as in `input_landscape`.
    """
    check_images(x)
    y = check_labels(y, len(x))
    axis = grid(extent, points)
    check(batch_size >= 1, "batch_size", batch_size, "a whole number >= 1")
    moved = copy.deepcopy(model)
    own = [parameter for parameter in moved.parameters() if parameter.dim() > 1]
    generator = torch.Generator().manual_seed(seed)
    d, e = (filter_normalized(own, generator) for _ in range(2))
    start = [parameter.detach().clone() for parameter in own]

    def row(i: float) -> Piece:
        """Return the losses (N, points) of the weights moved by i along the first direction."""
        found = []
        for j in axis.tolist():
            for parameter, w, along, across in zip(own, start, d, e, strict=True):
                parameter.copy_(w + i * along + j * across)
            parts = zip(x.split(batch_size), y.split(batch_size), strict=True)  # type: ignore[no-untyped-call]
            found.append(torch.cat([cross_entropy(moved(a), b, reduction="none") for a, b in parts]))
        return {"losses": torch.stack(found, dim=1).cpu()}

    rows = []
    with evaluating(moved), torch.no_grad():
        for number, i in enumerate(axis.tolist()):
            rows.append(remember(f"row {number}", partial(row, i))["losses"])
            if on_batch:
                on_batch(len(x) * points)
    return finite(Landscape(axis, torch.stack(rows, dim=1)))


def filter_normalized(parameters: list[nn.Parameter], generator: torch.Generator) -> list[Tensor]:
    """Return a random direction for each parameter (out, ...), each of its `out` filters as long as the parameter's."""
    found = []
    for parameter in parameters:
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter)
        shape = (-1, *[1] * (parameter.dim() - 1))
        lengths = parameter.detach().flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
        found.append(noise * lengths.view(shape))
    return found
