"""Fused forward of a supernet cell: ReLU and pooling are shared by all edges. Same result as the reference modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from advrush.kernels.add_scaled import add_scaled
from advrush.kernels.batch_norm import normalize, normalize_alike
from advrush.kernels.batch_statistics import fixed_scale_and_shift
from advrush.kernels.concat import join
from advrush.models.fused.compiled_cell import run_compiled
from advrush.models.fused.conv_chain import Chain, Stage, read_branches, read_chain
from advrush.models.fused.layers import convolved, joined_halves
from advrush.models.fused.read_plan import read_plan
from advrush.models.fused.separable_chain import run_separable
from advrush.models.fused.source import Source
from advrush.models.fused.terms import Edge, Term, terms_of
from advrush.space.operations import FactorizedReduce
from advrush.space.space import Topology


def mixed_cell(
    preprocess: Iterable[nn.Module],
    topology: Topology,
    edges: Sequence[Edge],
    *,
    inputs: Sequence[Tensor],
    weights: Tensor,
) -> Tensor:
    """Map a cell's inputs with the softmax weights (edges, primitives) to its joined output nodes.

    Computes what the supernet's cell defines edge by edge: with a ReLU and pooled maps per source, depthwise kernels
    that are quick in both directions, and the weights of Eq. 7 inside batch norm. Differentiable any number of times.

    Args:
        preprocess: one module for each input.
        topology: which nodes the edges join, and which nodes are outputs.
        edges: the primitives of each edge of the topology.
        inputs: maps (N, C, H, W).
        weights: (edges, primitives).
    """
    states = []
    for module, x in zip(preprocess, inputs, strict=True):
        chain = read_chain(module)
        states.append(module(x) if chain is None else run_chain(chain, Source(x)))
    terms = terms_of(topology, edges)
    plan = read_plan(topology, terms, states, weights)
    if plan is not None:
        return run_compiled(plan, states, weights, lambda states, weights: _mixed(topology, terms, states, weights))
    return _mixed(topology, terms, states, weights)


def _mixed(topology: Topology, terms: list[Term], states: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return the joined output nodes for the preprocessed inputs, term by term under autograd."""
    nodes: list[Tensor | None] = [*states, *[None] * topology.nodes]
    scalars = [row.unbind() for row in weights.unbind()]
    for _, outgoing in groupby(terms, key=lambda term: term.source):
        _send(list(outgoing), nodes, scalars)
    return join([node for i in topology.outputs if (node := nodes[i]) is not None])


def _send(terms: list[Term], nodes: list[Tensor | None], scalars: list[tuple[Tensor, ...]]) -> None:
    """Add the terms of one source to their targets."""
    state = nodes[terms[0].source]
    assert state is not None, "the edges of a topology are in the order of their targets"
    source = Source(state)
    pooled = _pooled(terms, source)
    for term in terms:
        weight = scalars[term.row][term.column]
        node = nodes[term.target]
        if term.chain is None:
            y = weight * term.module(source.x)
        elif term in pooled or not term.chain.stages:
            x = pooled[term] if term in pooled else source.feature(term.chain)
            nodes[term.target] = weight * x if node is None else add_scaled(node, weight, x)
            continue
        else:
            added = run_separable(term.chain, source.x, weight, node)
            if added is not None:
                nodes[term.target] = added
                continue
            y = run_chain(term.chain, source, weight)
        nodes[term.target] = y if node is None else node.add_(y)


def _pooled(terms: list[Term], source: Source) -> dict[Term, Tensor]:
    """Return the normalized maps of the terms that are a feature and a batch norm, nothing else."""
    alike: dict[object, list[tuple[Term, nn.BatchNorm2d]]] = {}
    for term in terms:
        if term.chain is not None and len(term.chain.stages) == 1 and not term.chain.stages[0].layers:
            norm = term.chain.stages[0].norm
            assert norm is not None, "a stage without layers is a batch norm"
            alike.setdefault(term.chain.key, []).append((term, norm))
    pooled: dict[Term, Tensor] = {}
    for group in alike.values():
        chain = group[0][0].chain
        assert chain is not None
        maps = normalize_alike([norm for _, norm in group], source.feature(chain))
        pooled.update({term: y for (term, _), y in zip(group, maps, strict=True)})
    return pooled


def run_chain(chain: Chain, source: Source, weight: Tensor | None = None) -> Tensor:
    """Return `weight * chain(source)` under autograd."""
    compiled = run_separable(chain, source.x, weight)
    if compiled is not None:
        return compiled
    x = source.feature(chain)
    for i, stage in enumerate(chain.stages):
        x = relu(x) if i else x
        last = i == len(chain.stages) - 1
        folded = None if weight is not None and last else fold_norm(stage)
        layers = stage.layers[: None if folded is None else -1]
        if i == 0 and layers and isinstance(layers[0], FactorizedReduce):
            x, layers = joined_halves(layers[0], *source.halves(chain)), layers[1:]
        for layer in layers:
            x = convolved(layer, x)
        if stage.norm is None:
            x = weight * x if last and weight is not None else x
        else:
            x = normalize(stage.norm, x, weight if last else None) if folded is None else folded(x)
    return x


def run_block(module: nn.Module, x: Tensor) -> Tensor:
    """Return `module(x)` for a fixed block, by the fast kernels where it is a sum of known chains."""
    chains = read_branches(module)
    if chains is None:
        return module(x)  # type: ignore[no-any-return]
    source = Source(x)
    total: Tensor | None = None
    for chain in chains:
        y = run_chain(chain, source)
        total = y if total is None else total + y
    assert total is not None
    return total


def fold_norm(stage: Stage) -> Callable[[Tensor], Tensor] | None:
    """Return the stage's last convolution with its batch norm inside, where neither is trained nor counts batches.

    So it is in an attack: the parameters are frozen and the statistics fixed.
    """
    norm, layer = stage.norm, stage.layers[-1] if stage.layers else None
    if norm is None or norm.training or not isinstance(layer, nn.Conv2d):
        return None
    if norm.running_var is None or norm.running_mean is None:
        return None
    trained = layer.weight.requires_grad or (norm.affine and (norm.weight.requires_grad or norm.bias.requires_grad))
    if trained or layer.bias is not None or type(norm) is not nn.BatchNorm2d:
        return None
    scale, bias = fixed_scale_and_shift(norm)
    weight = layer.weight * scale.view(-1, 1, 1, 1)
    stride, padding, dilation, groups = layer.stride, layer.padding, layer.dilation, layer.groups
    return lambda x: conv2d(x, weight, bias, stride, padding, dilation, groups)
