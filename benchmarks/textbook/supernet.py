"""The supernet of spec section 1, written op by op: every primitive its own module, nothing shared, nothing fused.

This file imports nothing from ``advrush``: it is the slow, plain implementation that speed and
values are measured against. Attribute names follow DARTS, so that state dicts can be exchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NODES = 4
EDGES = sum(2 + i for i in range(NODES))


class Zero(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class FactorizedReduce(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(c_out, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


def _block(c: int, kernel: int, stride: int, dilation: int) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(inplace=False),
        nn.Conv2d(c, c, kernel, stride, padding, dilation, groups=c, bias=False),
        nn.Conv2d(c, c, 1, bias=False),
        nn.BatchNorm2d(c, affine=False),
    ]


class Blocks(nn.Module):
    """A separable convolution (two blocks) or a dilated one (one block), as ``op``."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.op = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class ReLUConvBN(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(inplace=False), nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out, affine=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


def primitive(name: str, c: int, stride: int) -> nn.Module:
    if name == "none":
        return Zero(stride)
    if name == "max_pool_3x3":
        return nn.Sequential(nn.MaxPool2d(3, stride, 1), nn.BatchNorm2d(c, affine=False))
    if name == "avg_pool_3x3":
        pool = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        return nn.Sequential(pool, nn.BatchNorm2d(c, affine=False))
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(c, c)
    kernel = int(name[-1])
    if name.startswith("sep_conv"):
        return Blocks(*_block(c, kernel, stride, 1), *_block(c, kernel, 1, 1))
    return Blocks(*_block(c, kernel, stride, 2))


class MixedOp(nn.Module):
    """Eq. 7: the softmax(alpha)-weighted sum of the eight primitives."""

    def __init__(self, c: int, stride: int) -> None:
        super().__init__()
        self._ops = nn.ModuleList(primitive(name, c, stride) for name in PRIMITIVES)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        total: Tensor = sum(w * op(x) for w, op in zip(weights, self._ops, strict=True))  # type: ignore[assignment]
        return total


class Cell(nn.Module):
    def __init__(self, c_pp: int, c_p: int, c: int, *, reduces: bool, previous_reduces: bool) -> None:
        super().__init__()
        self.reduces = reduces
        self.preprocess0 = FactorizedReduce(c_pp, c) if previous_reduces else ReLUConvBN(c_pp, c)
        self.preprocess1 = ReLUConvBN(c_p, c)
        self._ops = nn.ModuleList(
            MixedOp(c, 2 if reduces and source < 2 else 1) for i in range(NODES) for source in range(2 + i)
        )

    def forward(self, s0: Tensor, s1: Tensor, weights: Tensor) -> Tensor:
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        offset = 0
        for _ in range(NODES):
            edges = range(offset, offset + len(states))
            states.append(sum(self._ops[e](s, weights[e]) for e, s in zip(edges, states, strict=True)))
            offset += len(edges)
        return torch.cat(states[-NODES:], dim=1)


class Supernet(nn.Module):
    """The DARTS supernet; ``alphas_normal`` and ``alphas_reduce`` are leaves outside ``parameters()``."""

    def __init__(self, channels: int = 16, layers: int = 8, classes: int = 10) -> None:
        super().__init__()
        c_now = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, c_now, 3, padding=1, bias=False), nn.BatchNorm2d(c_now))
        c_pp, c_p, c = c_now, c_now, channels
        cells, previous_reduces = [], False
        for i in range(layers):
            reduces = i in (layers // 3, 2 * layers // 3)
            c = 2 * c if reduces else c
            cells.append(Cell(c_pp, c_p, c, reduces=reduces, previous_reduces=previous_reduces))
            c_pp, c_p, previous_reduces = c_p, NODES * c, reduces
        self.cells = nn.ModuleList(cells)
        self.classifier = nn.Linear(c_p, classes)
        self.alphas_normal = (1e-3 * torch.randn(EDGES, len(PRIMITIVES))).requires_grad_()
        self.alphas_reduce = (1e-3 * torch.randn(EDGES, len(PRIMITIVES))).requires_grad_()

    def alphas(self) -> list[Tensor]:
        return [self.alphas_normal, self.alphas_reduce]

    def forward(self, x: Tensor) -> Tensor:
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            weights = torch.softmax(self.alphas_reduce if cell.reduces else self.alphas_normal, dim=-1)
            s0, s1 = s1, cell(s0, s1, weights)
        return self.classifier(s1.mean(dim=(2, 3)))
