"""A supernet with fixed batch norm at a point: logits, Jacobian and its transpose, and the slopes of the edges."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from advrush.models.fused.cell import Term
from advrush.models.fused.conv_chain import Stage
from advrush.models.linearized.affine import Affine
from advrush.models.linearized.cell import CellAt, FoldedCell
from advrush.models.supernet import Cell, Supernet


class FoldedSupernet:
    """A supernet's weights with the running statistics folded in."""

    def __init__(self, supernet: Supernet) -> None:
        weights = supernet.edge_weights()
        conv, norm = supernet.stem
        self.stem = Affine(Stage((cast(nn.Conv2d, conv),), cast(nn.BatchNorm2d, norm)))
        self.cells = [FoldedCell(cell, weights[cell.kind]) for cell in cast("list[Cell]", supernet.cells)]
        self.inputs = supernet.space.topology.inputs
        self.head, self.bias = supernet.classifier.weight.detach(), supernet.classifier.bias.detach()
        self.shapes = {kind: alpha.shape for kind, alpha in supernet.alphas().items()}


class SupernetAt:
    """The folded supernet f at x (N, C, H, W): between the kinks of its ReLUs and max pools it is linear in x.

    `cotangent` and `tangent` are J^T and J, J = df/dx. The slopes, one dict for a cell, are derivatives with respect to
    the weight of each term of Eq. 7.
    """

    def __init__(self, net: FoldedSupernet, x: Tensor) -> None:
        self.net = net
        states = [net.stem(x)] * net.inputs
        self.cells: list[CellAt] = []
        for i, folded in enumerate(net.cells):
            cell = CellAt(folded, states[i : i + net.inputs])
            self.cells.append(cell)
            states.append(cell.output)
        self.pixels = states[-1].shape[2:]
        self.logits = torch.addmm(net.bias, states[-1].mean(dim=(2, 3)), net.head.t())

    def tangent(self, t: Tensor) -> tuple[Tensor, list[dict[Term, Tensor]]]:
        """Return J t and the slopes of <c, J t>, where c is the cotangent that was pulled back last."""
        states = [self.net.stem.linear(t)] * self.net.inputs
        slopes: list[dict[Term, Tensor]] = []
        for i, cell in enumerate(self.cells):
            slopes.append({})
            states.append(cell.tangent(states[i : i + self.net.inputs], slopes[-1]))
        return states[-1].mean(dim=(2, 3)) @ self.net.head.t(), slopes

    def cotangent(self, c: Tensor, *, to_input: bool = True) -> tuple[Tensor | None, list[dict[Term, Tensor]]]:
        """Return J^T c for c (N, K), or without `to_input` the slopes of <c, f>."""
        count = self.net.inputs
        height, width = self.pixels
        last = ((c @ self.net.head) / (height * width))[:, :, None, None].expand(-1, -1, height, width)
        states: list[Tensor | None] = [None] * (len(self.cells) + count)
        states[-1] = last.contiguous(memory_format=torch.channels_last)
        slopes: list[dict[Term, Tensor]] = [{} for _ in self.cells]
        for i in reversed(range(len(self.cells))):
            out = states[i + count]
            assert out is not None, "every cell is read by a later one"
            backs = self.cells[i].transpose(out, None if to_input else slopes[i])
            for j, back in enumerate(backs):
                known = states[i + j]
                states[i + j] = back if known is None else known + back
            states[i + count] = None
        if not to_input:
            return None, slopes
        total = torch.stack([s for s in states[:count] if s is not None]).sum(0)
        return self.net.stem.transpose(total), slopes
