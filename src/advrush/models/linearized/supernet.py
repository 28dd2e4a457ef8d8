"""A supernet with fixed batch norm linearized at x: logits, JVP and VJP, and the slopes of the edges."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from advrush.models.fused.cell import Term
from advrush.models.fused.conv_chain import Stage
from advrush.models.linearized.activations import ReluAt
from advrush.models.linearized.affine import Affine
from advrush.models.linearized.block import BlockAt, FoldedBlock
from advrush.models.linearized.cell import CellAt, FoldedCell
from advrush.models.supernet import Cell, Supernet


class FoldedSupernet:
    """A supernet's weights with the running statistics folded in."""

    def __init__(self, supernet: Supernet) -> None:
        weights = supernet.edge_weights()
        conv, norm = supernet.stem
        self.stem = Affine(Stage((cast(nn.Conv2d, conv),), cast(nn.BatchNorm2d, norm)))
        self.cells = [
            FoldedCell(module, weights[module.kind]) if isinstance(module, Cell) else FoldedBlock(module)
            for module in supernet.cells
        ]
        self.inputs = supernet.space.topology.inputs
        self.last = Affine(Stage((), cast(nn.BatchNorm2d, supernet.lastact[0]))) if supernet.lastact else None
        self.head, self.bias = supernet.classifier.weight.detach(), supernet.classifier.bias.detach()
        self.shapes = {kind: alpha.shape for kind, alpha in supernet.alphas().items()}


class SupernetAt:
    """The folded supernet f at x (N, C, H, W): between the kinks of its ReLUs and max pools it is linear in x.

    `cotangent` and `tangent` are J^T and J, J = df/dx. The slopes, one dict for a cell or block, are derivatives with
    respect to the weight of each term of Eq. 7; a block has none.
    """

    def __init__(self, net: FoldedSupernet, x: Tensor) -> None:
        self.net = net
        states = [net.stem(x)] * net.inputs
        self.cells: list[CellAt | BlockAt] = []
        for i, folded in enumerate(net.cells):
            read = states[i : i + net.inputs]
            cell = BlockAt(folded, read) if isinstance(folded, FoldedBlock) else CellAt(folded, read)
            self.cells.append(cell)
            states.append(cell.output)
        self._last = None if net.last is None else ReluAt(net.last(states[-1]))
        features = states[-1] if self._last is None else self._last.value
        self.pixels = features.shape[2:]
        self.logits = torch.addmm(net.bias, features.mean(dim=(2, 3)), net.head.t())

    def tangent(self, t: Tensor) -> tuple[Tensor, list[dict[Term, Tensor]]]:
        """Return J t and the slopes of <c, J t>, where c is the cotangent that was pulled back last."""
        states = [self.net.stem.linear(t)] * self.net.inputs
        slopes: list[dict[Term, Tensor]] = []
        for i, cell in enumerate(self.cells):
            slopes.append({})
            read = states[i : i + self.net.inputs]
            states.append(cell.tangent(read) if isinstance(cell, BlockAt) else cell.tangent(read, slopes[-1]))
        features = states[-1]
        if self.net.last is not None and self._last is not None:
            features = self._last.tangent(self.net.last.linear(features))
        return features.mean(dim=(2, 3)) @ self.net.head.t(), slopes

    def cotangent(self, c: Tensor, *, to_input: bool = True) -> tuple[Tensor | None, list[dict[Term, Tensor]]]:
        """Return J^T c for c (N, K), or without `to_input` the slopes of <c, f>."""
        count = self.net.inputs
        states: list[Tensor | None] = [None] * (len(self.cells) + count)
        states[-1] = self._into_last(c)
        slopes: list[dict[Term, Tensor]] = [{} for _ in self.cells]
        for i in reversed(range(len(self.cells))):
            out, cell = states[i + count], self.cells[i]
            assert out is not None, "every cell is read by a later one"
            if isinstance(cell, BlockAt):
                backs, first = [cell.transpose(out)], count - 1
            else:
                backs, first = cell.transpose(out, None if to_input else slopes[i]), 0
            for j, back in enumerate(backs, i + first):
                known = states[j]
                states[j] = back if known is None else known + back
            states[i + count] = None
        if not to_input:
            return None, slopes
        total = torch.stack([s for s in states[:count] if s is not None]).sum(0)
        return self.net.stem.transpose(total), slopes

    def _into_last(self, c: Tensor) -> Tensor:
        """Return the cotangent of the last state for c (N, K), the cotangent of the logits."""
        height, width = self.pixels
        spread = ((c @ self.net.head) / (height * width))[:, :, None, None].expand(-1, -1, height, width)
        last = spread.contiguous(memory_format=torch.channels_last)
        if self.net.last is None or self._last is None:
            return last
        return self.net.last.transpose(self._last.transpose(last))
