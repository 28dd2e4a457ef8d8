"""A supernet with fixed batch norm linearized at x: logits, JVP and VJP, and the gradients of the edges' weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from advrush.models.fused.conv_chain import Stage
from advrush.models.linearized.activations import LinearizedReLU
from advrush.models.linearized.affine import Affine
from advrush.models.linearized.block import FoldedBlock, LinearizedBlock
from advrush.models.linearized.cell import CellVJP, EdgeGradients, FoldedCell, LinearizedCell
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


class LinearizedSupernet:
    """The folded supernet f at x (N, C, H, W): while no ReLU or max pool changes its mask it is linear in x.

    J = df/dx. Edge gradients come as one dict for each cell or block; a block's is empty. No call changes the object.
    """

    def __init__(self, net: FoldedSupernet, x: Tensor) -> None:
        self.net = net
        self._size = (x.shape[2], x.shape[3])
        states = [net.stem(x)] * net.inputs
        self.cells: list[LinearizedCell | LinearizedBlock] = []
        for i, folded in enumerate(net.cells):
            read = states[i : i + net.inputs]
            cell: LinearizedCell | LinearizedBlock = (
                LinearizedBlock(folded, read[-1]) if isinstance(folded, FoldedBlock) else LinearizedCell(folded, read)
            )
            self.cells.append(cell)
            states.append(cell.value())
        self._last = None if net.last is None else LinearizedReLU(net.last(states[-1]))
        features = states[-1] if self._last is None else self._last.value
        self._pixels = (features.shape[2], features.shape[3])
        self.logits = torch.addmm(net.bias, features.mean(dim=(2, 3)), net.head.t())

    def jvp(self, t: Tensor, cotangents: Sequence[Sequence[Tensor]]) -> tuple[Tensor, list[EdgeGradients]]:
        """Return J t and the edge gradients of <c, J t>; `cotangents` are those of the cells' states for c (`vjp`)."""
        states = [self.net.stem.jvp(t)] * self.net.inputs
        edge_gradients: list[EdgeGradients] = []
        for i, cell in enumerate(self.cells):
            read = states[i : i + self.net.inputs]
            output, found = (
                (cell.jvp(read[-1]), {}) if isinstance(cell, LinearizedBlock) else cell.jvp(read, cotangents[i])
            )
            states.append(output)
            edge_gradients.append(found)
        features = states[-1]
        if self.net.last is not None and self._last is not None:
            features = self._last.jvp(self.net.last.jvp(features))
        return features.mean(dim=(2, 3)) @ self.net.head.t(), edge_gradients

    def vjp(self, c: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
        """Return J^T c for c (N, K), and the cotangents of the states of each cell, as `jvp` takes them."""
        cotangents: list[list[Tensor]] = [[] for _ in self.cells]
        states = self._into_last(c)
        for i in reversed(range(len(self.cells))):
            found = self._backward(i, states, edges=False)
            cotangents[i] = found.states
        total = torch.stack([s for s in states[: self.net.inputs] if s is not None]).sum(0)
        return self.net.stem.vjp(total, self._size), cotangents

    def edge_gradients(self, c: Tensor) -> list[EdgeGradients]:
        """Return the edge gradients of <c, f> for c (N, K)."""
        states = self._into_last(c)
        backward = [self._backward(i, states, edges=True).edge_gradients for i in reversed(range(len(self.cells)))]
        return backward[::-1]

    def _backward(self, i: int, states: list[Tensor | None], *, edges: bool) -> CellVJP:
        """Pull the cotangent of cell i's output back to what it reads, in `states`; return the cell's VJP."""
        out, cell = states[i + self.net.inputs], self.cells[i]
        assert out is not None, "every cell is read by a later one"
        if isinstance(cell, LinearizedBlock):
            found, first = CellVJP([cell.vjp(out)], {}, []), self.net.inputs - 1
        else:
            found, first = cell.vjp(out, edges=edges), 0
        for j, back in enumerate(found.inputs, i + first):
            known = states[j]
            states[j] = back if known is None else known + back
        states[i + self.net.inputs] = None
        return found

    def _into_last(self, c: Tensor) -> list[Tensor | None]:
        """Return the cotangents of the states for c (N, K), the cotangent of the logits: that of the last alone."""
        height, width = self._pixels
        spread = ((c @ self.net.head) / (height * width))[:, :, None, None].expand(-1, -1, height, width)
        last = spread.contiguous(memory_format=torch.channels_last)
        if self.net.last is not None and self._last is not None:
            last = self.net.last.vjp(self._last.vjp(last), self._pixels)
        return [*[None] * (len(self.cells) + self.net.inputs - 1), last]
