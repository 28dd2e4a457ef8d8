"""Import a network from an ONNX file as torch operations, with gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advrush.models.errors import ModelError
from advrush.models.weights.onnx_operators import OPERATORS

TOLERANCE = 1e-4
"""Largest difference of logits from those of the file, relative to the largest logit (at least 1)."""
DERIVATIVE_TOLERANCE = 1e-3
"""Largest difference of a directional derivative from the finite difference, relative to the larger of the two."""


class OnnxNetwork(nn.Module):
    """The graph of an ONNX file: images (N, C, H, W) to logits; weights are buffers.

    Raises ModelError for a file that is none, has several inputs, or an operator that is not converted.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        onnx = _onnx()
        try:
            graph = onnx.load(str(path)).graph
        except Exception as error:  # protobuf, numpy and file errors: all say that this is no ONNX file
            raise ModelError(f"{path}: cannot be read as ONNX ({type(error).__name__}: {error})") from None
        fixed: dict[str, Tensor] = {t.name: _tensor(onnx.numpy_helper.to_array(t)) for t in graph.initializer}
        inputs = [value for value in graph.input if value.name not in fixed]
        if len(inputs) != 1 or not graph.output:
            raise ModelError(
                f"{path}: {len(inputs)} inputs and {len(graph.output)} outputs; expected one input, images"
            )
        self.input, self.output = inputs[0].name, graph.output[0].name
        self.shape = tuple(int(d.dim_value) for d in inputs[0].type.tensor_type.shape.dim)
        self.nodes: list[tuple[str, tuple[str, ...], tuple[str, ...], dict[str, Any]]] = []
        unknown = set()
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                fixed[node.output[0]] = _tensor(onnx.numpy_helper.to_array(attributes["value"]))
            elif node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
                unknown.add(node.op_type)
            else:
                self.nodes.append((node.op_type, tuple(node.input), tuple(node.output), attributes))
        if unknown:
            known = ", ".join(OPERATORS)
            raise ModelError(f"{path}: operators {', '.join(sorted(unknown))} are not converted; known are {known}")
        self.places = {name: f"value_{number}" for number, name in enumerate(fixed)}
        for name, value in fixed.items():
            self.register_buffer(self.places[name], value)

    def forward(self, x: Tensor) -> Tensor:
        """Return the file's first output for images."""
        values: dict[str, Any] = {name: getattr(self, place) for name, place in self.places.items()}
        values |= {self.input: x, "": None}
        for kind, inputs, outputs, attributes in self.nodes:
            values[outputs[0]] = OPERATORS[kind]([values[name] for name in inputs], attributes)
        found: Tensor = values[self.output]
        return found


def import_onnx(path: Path, *, image_size: int | None = None) -> OnnxNetwork:
    """Return the network of an ONNX file in eval mode, its outputs and gradients checked on random images.

    `image_size` is the side in pixels of the check's images where the file leaves it open (32 unless given). Raises
    ModelError where the package onnx is absent (extra `export`), an operator is not converted, the outputs differ from
    those of the file, or the gradient is not that of the outputs.
    """
    network = OnnxNetwork(path).eval()
    shape = network.shape if len(network.shape) == 4 else (0, 3, 0, 0)
    channels, *sides = (size or default for size, default in zip(shape[1:], (3, *[image_size or 32] * 2), strict=True))
    x = torch.rand((2, channels, *sides), generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            ours = network(x)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: cannot be computed by torch ({error})") from None
    parts = torch.split(x, shape[0]) if shape[0] else (x,)
    theirs = torch.cat([_computed(path, network.input, part) for part in parts])
    limit = TOLERANCE * max(1.0, float(theirs.abs().max()))
    if ours.shape != theirs.shape or not float((ours - theirs).abs().max()) <= limit:
        raise ModelError(f"{path}: torch computes other logits than the file; it cannot be converted")
    _check_gradient(network, x, path)
    return network


def _check_gradient(network: OnnxNetwork, x: Tensor, path: Path) -> None:
    """Compare the gradient along a random direction with a central difference, both in double precision."""
    double = OnnxNetwork(path).eval().double()
    x = x.double().requires_grad_()
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    weights = torch.randn(double(x).shape, generator=generator, dtype=x.dtype)

    def value(step: float) -> Tensor:
        found: Tensor = (double(x + step * direction) * weights).sum()
        return found

    try:
        (gradient,) = torch.autograd.grad(value(0.0), x)
    except RuntimeError:
        raise ModelError(f"{path}: its output has no gradient for the images; attacks would learn nothing") from None
    step = 1e-7
    with torch.no_grad():
        derivative, difference = float((gradient * direction).sum()), float((value(step) - value(-step)) / (2 * step))
    if abs(derivative - difference) > DERIVATIVE_TOLERANCE * max(abs(derivative), abs(difference), 1e-6):
        raise ModelError(
            f"{path}: gradient {derivative:.4g} along a direction where the outputs change by {difference:.4g}"
        )


def _computed(path: Path, name: str, x: Tensor) -> Tensor:
    """Return what the file computes, by onnxruntime, or by the reference of the package onnx where that is absent."""
    feed = {name: x.numpy()}
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        return torch.from_numpy(_first(ReferenceEvaluator(str(path)).run(None, feed)))
    session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, feed)[0])


def _first(outputs: Any) -> Any:
    return outputs[0]


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(array.copy())


def _onnx() -> Any:
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError:
        raise ModelError("ONNX files need the package onnx: pip install 'advrush[export]'") from None
    return onnx
