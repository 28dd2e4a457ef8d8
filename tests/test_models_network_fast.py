"""The quick kernels and the recomputation of derived networks against plain modules, in float64."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from advrush.models.build import build
from advrush.models.cell import plain_modules
from advrush.models.network import Network
from advrush.modes import frozen
from advrush.space.operations import FactorizedReduce

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
def test_quick_kernels_compute_what_plain_modules_do(name: str, training: bool) -> None:
    quick = network(name)
    plain = copy.deepcopy(quick)
    found = results(quick, training)
    with plain_modules():
        close(found, results(plain, training))


class Norms(TorchDispatchMode):
    """Counts the batch norms that are computed as such."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += "batch_norm" in str(function)
        return function(*args, **(kwargs or {}))


def norms_computed(net: Network) -> int:
    with Norms() as norms, torch.no_grad():
        net(torch.rand(2, 3, 16, 16, dtype=torch.float64))
    return norms.count


def test_frozen_network_folds_its_batch_norms() -> None:
    net = network("advrush").eval()
    plain = copy.deepcopy(net)
    every = sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    assert norms_computed(net) == every, "where weights are trained nothing is folded"
    halved = sum(isinstance(module, FactorizedReduce) for module in net.modules())
    with frozen(net):
        # left: that of the stem, and those behind two convolutions side by side
        assert norms_computed(net) == 1 + halved < every / 4
    with frozen(net), frozen(plain):
        found = results(net, training=False)
        with plain_modules():
            close(found, results(plain, training=False))


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
