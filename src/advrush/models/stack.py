"""Stack cells and fixed blocks as the search space plans them."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import nn

from advrush.config import check
from advrush.space.operations import block
from advrush.space.space import BlockPlan, CellPlan, Space


def stack(
    space: Space,
    channels: int,
    layers: int,
    cell: Callable[[CellPlan, tuple[int, ...], int], nn.Module],
    *,
    affine: bool = True,
) -> tuple[nn.ModuleList, list[int]]:
    """Build the modules of `space.plans(layers)`; return them and the width of each one's output.

    Args:
        space: what plans them.
        channels: width of the first cells.
        layers: how many cells.
        cell: makes a cell from its plan, the widths of the states that it reads, and its own width; the cell tells the
            width of its output as `channels_out`.
        affine: whether the batch norms of blocks have affine parameters.

    Raises ConfigError where a cell without preprocessing does not get inputs of its width.
    """
    inputs = space.topology.inputs
    states = [channels * space.stem_multiplier] * inputs
    modules = nn.ModuleList()
    for plan in space.plans(layers):
        width, read = channels * plan.multiplier, tuple(states[-inputs:])
        if isinstance(plan, BlockPlan):
            modules.append(block(plan.block, read[-1], width, plan.stride, affine=affine, own=space.blocks))
            states.append(width)
        else:
            fits = space.preprocess or set(read) == {width}
            where = f"inputs of a cell of the space {space.name!r}"
            check(fits, where, read, f"widths of {width}: it has no preprocessing")
            modules.append(cell(plan, read, width))
            states.append(cast(int, modules[-1].channels_out))
    return modules, states[inputs:]
