"""ONNX files as networks of torch: the same outputs, true gradients, refusals by name."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from advrush.models.build import build
from advrush.models.errors import ModelError
from advrush.models.normalize import Normalized
from advrush.models.weights.export import export
from advrush.models.weights.import_onnx import OnnxNetwork, import_onnx


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    model = Normalized(build("advrush", channels=4, layers=3, num_classes=5), (0.5,) * 3, (0.25,) * 3).eval()
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    export(model, path)
    return model, path


def test_outputs_and_gradients_are_the_networks_own(exported: tuple[nn.Module, Path]) -> None:
    model, path = exported
    network = import_onnx(path)
    x = torch.rand((3, 3, 32, 32), requires_grad=True)
    ours, theirs = network(x), model(x)
    assert torch.allclose(ours, theirs, atol=1e-5)
    (gradient,) = torch.autograd.grad(ours[:, 0].sum(), x)
    (expected,) = torch.autograd.grad(theirs[:, 0].sum(), x)
    assert torch.allclose(gradient, expected, atol=1e-5)


def write_graph(path: Path, nodes: list[onnx.NodeProto], **values: np.ndarray) -> Path:
    """Write a graph from `x` (N, 3, 8, 8) to `y`."""
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


WEIGHT = np.random.default_rng(0).normal(size=(192, 4)).astype(np.float32)


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["y"], alpha=0.5)],
        [helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
         helper.make_node("GlobalAveragePool", ["p"], ["g"]), helper.make_node("Flatten", ["g"], ["y"])],
        [helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
         helper.make_node("HardSwish", ["p"], ["h"]), helper.make_node("Flatten", ["h"], ["f"]),
         helper.make_node("MatMul", ["f", "w"], ["y"])],
        [helper.make_node("LeakyRelu", ["x"], ["l"], alpha=0.1), helper.make_node("Sigmoid", ["l"], ["s"]),
         helper.make_node("Transpose", ["s"], ["t"], perm=[0, 2, 3, 1]), helper.make_node("Flatten", ["t"], ["y"])],
        [helper.make_node("Pad", ["x", "pads"], ["p"]), helper.make_node("GlobalMaxPool", ["p"], ["g"]),
         helper.make_node("Flatten", ["g"], ["f"]), helper.make_node("LogSoftmax", ["f"], ["y"], axis=1)],
        [helper.make_node("Slice", ["x", "start", "end", "axes"], ["s"]), helper.make_node("Flatten", ["s"], ["y"])],
    ],
)  # fmt: skip
def test_operators_compute_what_the_file_does(nodes: list[onnx.NodeProto], tmp_path: Path) -> None:
    used = {name for node in nodes for name in node.input}
    values = {
        "w": WEIGHT, "pads": np.array([0, 0, 1, 0, 0, 0, 2, 1]), "start": np.array([1, 2]), "end": np.array([8, 7]),
        "axes": np.array([2, 3]),
    }  # fmt: skip
    path = write_graph(tmp_path / "n.onnx", nodes, **{name: v for name, v in values.items() if name in used})
    assert import_onnx(path)(torch.rand(2, 3, 8, 8)).ndim == 2


def test_an_operator_that_is_not_converted_is_named(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "n.onnx", [helper.make_node("Round", ["x"], ["y"])])
    with pytest.raises(ModelError, match="operators Round are not converted"):
        OnnxNetwork(path)
    even = [helper.make_node("Conv", ["x", "k"], ["y"], auto_pad="SAME_UPPER", kernel_shape=[1, 1])]
    path = write_graph(tmp_path / "m.onnx", even, k=np.ones((1, 3, 1, 1), np.float32))
    with pytest.raises(ModelError, match="SAME_UPPER"):
        import_onnx(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not onnx at all")
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        import_onnx(path)


def test_other_outputs_than_the_files_are_refused(
    exported: tuple[nn.Module, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from advrush.models.weights import import_onnx as module

    monkeypatch.setitem(module.OPERATORS, "Relu", lambda inputs, attributes: inputs[0])
    with pytest.raises(ModelError, match="other logits"):
        import_onnx(exported[1])


def test_a_gradient_that_is_not_of_the_outputs_is_refused(
    exported: tuple[nn.Module, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from advrush.models.weights import import_onnx as module

    class Masked(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x.relu()

        @staticmethod
        def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return -gradient

    monkeypatch.setitem(module.OPERATORS, "Relu", lambda inputs, attributes: Masked.apply(inputs[0]))
    with pytest.raises(ModelError, match="gradient"):
        import_onnx(exported[1])
