"""A genotype's network with weights inherited from a supernet."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from advrush.errors import GenotypeError
from advrush.models.supernet import Cell, MixedEdge, Supernet
from advrush.space import Architecture, CellGraph, CellPlan, Space


class InheritedNetwork(nn.Module):
    """The supernet's stem, fixed blocks, head, and of every edge the primitive that the genotype chooses.

    Normalized inputs to logits. The modules are copies, so that batch-norm statistics may be taken anew; the chosen
    primitives enter each node with weight 1. Raises GenotypeError for a genotype that the supernet does not hold.
    """

    def __init__(self, supernet: Supernet, genotype: Architecture) -> None:
        super().__init__()
        if genotype.space != supernet.space.name:
            raise GenotypeError(f"genotype: of the space {genotype.space}; the supernet is of {supernet.space.name}")
        graphs = genotype.cells()
        self.inputs = supernet.space.topology.inputs
        self.stem = copy.deepcopy(supernet.stem)
        layers = sum(isinstance(module, Cell) for module in supernet.cells)
        self.cells = nn.ModuleList(
            InheritedCell(module, graphs[module.kind], supernet.space, reduces=plan.reduces)
            if isinstance(module, Cell) and isinstance(plan, CellPlan)
            else copy.deepcopy(module)
            for module, plan in zip(supernet.cells, supernet.space.plans(layers), strict=True)
        )
        self.lastact = copy.deepcopy(supernet.lastact)
        self.classifier = copy.deepcopy(supernet.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes)."""
        states = (self.stem(x),) * self.inputs
        for module in self.cells:
            y = module(states) if isinstance(module, InheritedCell) else module(states[-1])
            states = (*states[1:], y)
        features = states[-1] if self.lastact is None else self.lastact(states[-1])
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits


class InheritedCell(nn.Module):
    """One cell of the supernet with one primitive on each edge that the graph has."""

    def __init__(self, cell: Cell, graph: CellGraph, space: Space, *, reduces: bool) -> None:
        super().__init__()
        self.graph, self.stride = graph, 2 if reduces else 1
        self.preprocess = copy.deepcopy(cell.preprocess)
        chosen: list[nn.Module] = []
        for edge in graph.edges:
            if edge.primitive not in space.primitives:
                raise GenotypeError(f"genotype: the supernet has no primitive {edge.primitive!r}")
            mixed = cast(MixedEdge, cell.edges[cell.topology.edges.index((edge.source, edge.target))])
            if not mixed.whole:
                raise GenotypeError("genotype: a supernet of partial channels has no weights for whole networks")
            # `none` has no module in a supernet: nothing is added for it
            chosen.append(mixed.primitives().get(space.primitives.index(edge.primitive), nn.Identity()))
        self.operations = nn.ModuleList(copy.deepcopy(module) for module in chosen)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Map the cell's inputs to its joined output nodes; a node that nothing enters is zero."""
        states = [prepare(x) for prepare, x in zip(self.preprocess, inputs, strict=True)]
        zero = (
            0.0 * states[-1][:, :, :: self.stride, :: self.stride]
        )  # still a function of the input: it has a gradient
        for target in range(self.graph.inputs, self.graph.inputs + self.graph.nodes):
            total = zero
            for edge, operation in zip(self.graph.edges, self.operations, strict=True):
                if edge.target == target and edge.primitive != "none":
                    total = total + operation(states[edge.source])
            states.append(total)
        return torch.cat([states[state] for state in self.graph.outputs], dim=1)


def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Take every batch norm's running statistics anew, as the mean over the batches (N, C, H, W); eval mode after."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch: the plain average of all batches
    model.train()
    with torch.no_grad():
        for x in batches:
            model(x)
    model.eval()
