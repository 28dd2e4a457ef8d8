"""ONNX operators of image networks as torch functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from advrush.models.errors import ModelError

Attributes = Mapping[str, Any]
Operator = Callable[[Sequence[Any], Attributes], Any]
"""Inputs in order (None where one is left out) and attributes to the output."""


def _pads(attributes: Attributes, rank: int) -> tuple[list[int], list[int]]:
    """Return the padding at the start and at the end of each spatial dimension."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise ModelError(f"padding {attributes['auto_pad'].decode()}: only paddings in numbers are converted")
    pads = list(attributes.get("pads", [0] * (2 * rank)))
    return pads[:rank], pads[rank:]


def _padded(x: Tensor, attributes: Attributes, value: float) -> tuple[Tensor, list[int]]:
    """Return x, padded by hand where start and end differ, and what is left to pad."""
    start, end = _pads(attributes, x.ndim - 2)
    if start == end:
        return x, start
    around = [amount for pair in zip(reversed(start), reversed(end), strict=True) for amount in pair]
    return F.pad(x, around, value=value), [0] * len(start)


def _conv(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, weight, *bias = inputs
    x, padding = _padded(x, attributes, 0.0)
    ones = [1] * (x.ndim - 2)
    convolve = {3: F.conv1d, 4: F.conv2d}[x.ndim]
    return convolve(
        x, weight, bias[0] if bias else None, attributes.get("strides", ones), padding,
        attributes.get("dilations", ones), attributes.get("group", 1),
    )  # fmt: skip


def _max_pool(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, padding = _padded(inputs[0], attributes, -torch.inf)
    kernel, ones = attributes["kernel_shape"], [1] * len(attributes["kernel_shape"])
    return F.max_pool2d(
        x, kernel, attributes.get("strides", ones), padding, attributes.get("dilations", ones),
        bool(attributes.get("ceil_mode", 0)),
    )  # fmt: skip


def _average_pool(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, kernel = inputs[0], attributes["kernel_shape"]
    start, end = _pads(attributes, x.ndim - 2)
    if start != end:
        raise ModelError("AveragePool with uneven padding is not converted")
    strides = attributes.get("strides", [1] * len(kernel))
    counted = bool(attributes.get("count_include_pad", 0))
    return F.avg_pool2d(x, kernel, strides, start, bool(attributes.get("ceil_mode", 0)), counted)


def _batch_norm(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, scale, shift, mean, variance = inputs
    return F.batch_norm(x, mean, variance, scale, shift, training=False, eps=attributes.get("epsilon", 1e-5))


def _gemm(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    a, b, *rest = inputs
    a = a.transpose(0, 1) if attributes.get("transA") else a
    b = b.transpose(0, 1) if attributes.get("transB") else b
    product = attributes.get("alpha", 1.0) * (a @ b)
    found: Tensor = product + attributes.get("beta", 1.0) * rest[0] if rest and rest[0] is not None else product
    return found


def _axes(inputs: Sequence[Any], attributes: Attributes) -> list[int]:
    axes = attributes.get("axes")
    if axes is None and len(inputs) > 1 and inputs[1] is not None:
        axes = inputs[1].tolist()
    return [int(axis) for axis in axes or ()]


def _reduce(function: Callable[..., Tensor]) -> Operator:
    def reduce(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
        axes = _axes(inputs, attributes) or list(range(inputs[0].ndim))
        return function(inputs[0], dim=axes, keepdim=bool(attributes.get("keepdims", 1)))

    return reduce


def _reshape(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, shape = inputs[0], [int(size) for size in inputs[1].tolist()]
    kept = not attributes.get("allowzero", 0)
    shape = [x.shape[i] if size == 0 and kept else size for i, size in enumerate(shape)]
    if shape[0] > 1 and -1 not in shape:  # a batch size that was written into the file
        shape[0] = -1
    found: Tensor = x.reshape(shape)
    return found


def _flatten(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, axis = inputs[0], attributes.get("axis", 1)
    rows = int(torch.tensor(x.shape[:axis]).prod()) if axis else 1
    found: Tensor = x.reshape(rows, -1)
    return found


def _slice(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, starts, ends, *rest = inputs
    axes = rest[0].tolist() if rest and rest[0] is not None else range(len(starts))
    steps = rest[1].tolist() if len(rest) > 1 and rest[1] is not None else [1] * len(starts)
    if any(step < 1 for step in steps):
        raise ModelError("Slice with a negative step is not converted")
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        index[axis] = slice(start, end, step)
    found: Tensor = x[tuple(index)]
    return found


def _pad(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, pads = inputs[0], inputs[1].tolist() if len(inputs) > 1 else list(attributes["pads"])
    if attributes.get("mode", b"constant") != b"constant" or (len(inputs) > 3 and inputs[3] is not None):
        raise ModelError("Pad is converted for a constant on all axes only")
    value = float(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else 0.0
    around = [int(size) for i in reversed(range(x.ndim)) for size in (pads[i], pads[i + x.ndim])]
    return F.pad(x, around, value=value)


def _clip(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    low = inputs[1] if len(inputs) > 1 else attributes.get("min")
    high = inputs[2] if len(inputs) > 2 else attributes.get("max")
    found: Tensor = inputs[0].clamp(None if low is None else float(low), None if high is None else float(high))
    return found


def _squeeze(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    axes = _axes(inputs, attributes)
    found: Tensor = inputs[0].squeeze(tuple(axes)) if axes else inputs[0].squeeze()
    return found


def _unsqueeze(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x = inputs[0]
    for axis in sorted(_axes(inputs, attributes)):
        x = x.unsqueeze(axis)
    found: Tensor = x
    return found


def _layer_norm(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, scale, *shift = inputs
    shape = x.shape[attributes.get("axis", -1) :]
    return F.layer_norm(x, shape, scale, shift[0] if shift else None, attributes.get("epsilon", 1e-5))


def _gelu(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    return F.gelu(inputs[0], approximate=attributes.get("approximate", b"none").decode())


OPERATORS: dict[str, Operator] = {
    "Abs": lambda i, a: i[0].abs(),
    "Add": lambda i, a: i[0] + i[1],
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda i, a: torch.cat(list(i), a["axis"]),
    "Conv": _conv,
    "Div": lambda i, a: i[0] / i[1],
    "Dropout": lambda i, a: i[0],
    "Elu": lambda i, a: F.elu(i[0], a.get("alpha", 1.0)),
    "Erf": lambda i, a: i[0].erf(),
    "Exp": lambda i, a: i[0].exp(),
    "Flatten": _flatten,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda i, a: i[0].mean(tuple(range(2, i[0].ndim)), keepdim=True),
    "GlobalMaxPool": lambda i, a: i[0].amax(tuple(range(2, i[0].ndim)), keepdim=True),
    "HardSigmoid": lambda i, a: (a.get("alpha", 0.2) * i[0] + a.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda i, a: F.hardswish(i[0]),
    "Identity": lambda i, a: i[0],
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda i, a: F.leaky_relu(i[0], a.get("alpha", 0.01)),
    "Log": lambda i, a: i[0].log(),
    "LogSoftmax": lambda i, a: i[0].log_softmax(a.get("axis", -1)),
    "MatMul": lambda i, a: i[0] @ i[1],
    "MaxPool": _max_pool,
    "Mul": lambda i, a: i[0] * i[1],
    "Neg": lambda i, a: -i[0],
    "Pad": _pad,
    "Pow": lambda i, a: i[0] ** i[1],
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": lambda i, a: i[0].relu(),
    "Reshape": _reshape,
    "Sigmoid": lambda i, a: i[0].sigmoid(),
    "Slice": _slice,
    "Softmax": lambda i, a: i[0].softmax(a.get("axis", -1)),
    "Softplus": lambda i, a: F.softplus(i[0]),
    "Sqrt": lambda i, a: i[0].sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda i, a: i[0] - i[1],
    "Sum": lambda i, a: sum(i[1:], i[0]),
    "Tanh": lambda i, a: i[0].tanh(),
    "Transpose": lambda i, a: i[0].permute(*a["perm"]),
    "Unsqueeze": _unsqueeze,
}
"""By name; each has a gradient wherever the function has one."""
