"""The quick kernels and the recomputation of derived networks against plain modules, in float64."""

import copy

import pytest
import torch
from torch import Tensor, nn

from advrush.models import cell as cells
from advrush.models.build import build
from advrush.models.fused.conv_chain import Chain
from advrush.models.fused.layers import convolved
from advrush.models.fused.source import Source
from advrush.models.network import Network
from advrush.modes import frozen

NAMES = ["advrush", "pdarts", "darts_v1", "nasnet", "amoebanet", "robnet_free"]


def network(name: str, drop_path: float = 0.0) -> Network:
    torch.manual_seed(0)
    layers = None if name == "robnet_free" else 5
    net = build(name, num_classes=5, image_size=16, channels=4, layers=layers).double()
    assert isinstance(net, Network)
    for module in net.modules():  # as after some training
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.1)
    net.drop_path = drop_path
    return net


def results(net: Network, training: bool) -> list[Tensor]:
    """Return logits, the gradients of input and parameters, and all buffers afterwards."""
    net.train(training)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(3, 3, 16, 16, dtype=torch.float64, generator=generator).requires_grad_()
    y = torch.tensor([0, 1, 2])
    torch.manual_seed(2)
    logits = net(x)
    loss = nn.functional.cross_entropy(logits, y)
    wanted = [x, *(p for p in net.parameters() if p.requires_grad)]
    return [logits, *torch.autograd.grad(loss, wanted, materialize_grads=True), *net.buffers()]


def close(first: list[Tensor], second: list[Tensor]) -> None:
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_quick_kernels_compute_what_plain_modules_do(
    name: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = network(name)
    plain = copy.deepcopy(quick)
    found = results(quick, training)
    with monkeypatch.context() as patch:
        for module in ("cell", "network"):
            patch.setattr(f"advrush.models.{module}.quick_kernels_apply", lambda x: False)
        close(found, results(plain, training))


def test_frozen_network_folds_its_batch_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("advrush")
    with frozen(net):
        found = results(net, training=False)
        calls: list[int] = []
        monkeypatch.setattr(cells, "run_chain", lambda *a: calls.append(1) or _plain_chain(*a))  # type: ignore[func-returns-value]
        close(found, results(net, training=False))
    assert calls


def _plain_chain(chain: Chain, source: Source) -> Tensor:
    x = source.feature(chain)
    for i, stage in enumerate(chain.stages):
        x = torch.relu(x) if i else x
        for layer in stage.layers:
            x = convolved(layer, x)
        x = stage.norm(x)
    return x


@pytest.mark.parametrize("drop_path", [0.0, 0.3])
def test_recomputation_changes_nothing(drop_path: float) -> None:
    plain = network("advrush", drop_path)
    again = copy.deepcopy(plain)
    again.recompute = True
    close(results(again, training=True), results(plain, training=True))


def kept_values(recompute: bool) -> int:
    """Count the numbers that autograd keeps after a forward pass."""
    net, sizes = network("advrush").train(), []
    net.recompute = recompute

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net(torch.rand(3, 3, 16, 16, dtype=torch.float64))
    return sum(sizes)


def test_recomputation_keeps_less() -> None:
    assert kept_values(recompute=True) < kept_values(recompute=False) / 3
