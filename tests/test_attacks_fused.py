"""Networks whose 3x3 convolutions are fused for an attack: which are, equal logits and gradients, equal outcomes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from advrush.attacks import AutoAttack, FastModel
from advrush.attacks.passes.fused_parts import FusedConvolution, FusedNorm, FusedRun
from advrush.kernels import native
from advrush.models.build import build

pytestmark = pytest.mark.skipif(native.library() is None, reason="no compiled kernels")


class Block(nn.Module):
    """Two convolutions with norms, then a sum and a ReLU as `end` writes them."""

    def __init__(self, end: Callable[[Tensor, Tensor], Tensor], channels: int = 16) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, 1, 1, bias=False) for _ in "ab")
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels) for _ in "ab"])
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        z = relu(self.norms[0](self.first(x)))
        return self.end(self.norms[1](self.second(z)), x)


def summed(z: Tensor, x: Tensor) -> Tensor:
    return torch.relu(z + x)


def summed_in_place(z: Tensor, x: Tensor) -> Tensor:
    z += x
    return z.relu_()


def added_the_other_way(z: Tensor, x: Tensor) -> Tensor:
    return relu(torch.add(x, z), inplace=True)


def weighted(z: Tensor, x: Tensor) -> Tensor:
    return torch.relu(torch.add(x, z, alpha=0.5))


def read_twice(z: Tensor, x: Tensor) -> Tensor:
    return torch.relu(z + x) + z


def into_the_other(z: Tensor, x: Tensor) -> Tensor:
    y = x * 1.0
    y += z
    return y.relu() + y


ENDS = [summed, summed_in_place, added_the_other_way, weighted, read_twice, into_the_other]


def network(end: Callable[[Tensor, Tensor], Tensor] = summed, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), Block(end), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 5)
    )
    model.to(dtype)
    for _ in range(3):
        model(torch.rand(16, 3, 12, 12, dtype=dtype))
    return model.eval()


def fused_in(model: FastModel) -> list[FusedConvolution]:
    assert model.folded is not None
    return [module for module in model.folded.modules() if isinstance(module, FusedConvolution)]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["kernel", "torch"])
@pytest.mark.parametrize("end", ENDS)
def test_logits_and_gradients_stay(end: Callable[[Tensor, Tensor], Tensor], layout: torch.memory_format) -> None:
    model, x = network(end), torch.rand(5, 3, 12, 12, dtype=torch.float64, requires_grad=True)
    fast = FastModel(model, fold=True, channels_last=layout is torch.channels_last)
    mine, theirs = fast(x), model(x)
    assert len(fused_in(fast)) == 3
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    own, other = (torch.autograd.grad(logits.square().sum(), x)[0] for logits in (mine, theirs))
    torch.testing.assert_close(own, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("end", "relus", "others"),
    [(summed, 0, 0), (summed_in_place, 0, 0), (added_the_other_way, 0, 0), (weighted, 1, 1), (read_twice, 1, 2)],
)
def test_what_is_fused(end: Callable[[Tensor, Tensor], Tensor], relus: int, others: int) -> None:
    fast = FastModel(network(end), fold=True, channels_last=True)
    fast(torch.rand(2, 3, 12, 12, dtype=torch.float64))
    assert fast.folded is not None
    left = [node.target for node in fast.folded.graph.nodes if node.op in ("call_function", "call_method")]
    names = [target if isinstance(target, str) else target.__name__ for target in left]
    assert sum("relu" in name for name in names) == relus
    assert sum("add" in name for name in names) == others


@pytest.mark.parametrize(("name", "operations"), [("resnet18", ["flatten", "linear"]), ("densenet121", None)])
def test_the_projects_networks_are_fused(name: str, operations: list[str] | None) -> None:
    model = build(name, channels=16).eval()
    x = torch.rand(2, 3, 32, 32)
    fast = FastModel(model, fold=True, channels_last=True)
    torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)
    assert fast.folded is not None
    runs = [node for node in fast.folded.graph.nodes if str(node.target).startswith("run_")]
    assert runs
    if operations is not None:  # a single run, and what is no convolution
        assert [node.name for node in fast.folded.graph.nodes][2:-1] == operations
        assert len(runs) == 1


class PreActivated(nn.Module):
    """A block that norms before its convolutions, as wide residual networks do, with a projected shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(channels_in), nn.BatchNorm2d(channels, affine=False)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        same = channels_in == channels and stride == 1
        self.shortcut = None if same else nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        z = relu(self.bn1(x))
        y: Tensor = self.conv2(relu(self.bn2(self.conv1(z))))
        return y + (x if self.shortcut is None else self.shortcut(z))


def test_networks_with_norms_before_convolutions() -> None:
    torch.manual_seed(0)
    blocks = PreActivated(16, 16, 1), PreActivated(16, 24, 2), PreActivated(24, 24, 1)
    end = nn.BatchNorm2d(24), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(96, 5)
    model = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), *blocks, *end).double()
    for _ in range(3):
        model(torch.rand(16, 3, 16, 16, dtype=torch.float64))
    model.eval()
    x = torch.rand(3, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    fast = FastModel(model, fold=True, channels_last=True)
    mine, theirs = fast(x), model(x)
    assert fast.folded is not None
    assert sum(isinstance(module, FusedRun) for module in fast.folded.modules()) == 1
    assert sum(isinstance(module, FusedNorm) for module in fast.folded.modules()) == 4
    torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-12)
    own, other = (torch.autograd.grad(logits.square().sum(), x)[0] for logits in (mine, theirs))
    torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-11)


class Sliced(nn.Module):
    """Reads parts of what a convolution gives, and a convolution of a class of its own."""

    class Own(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.own = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(16, 16, 3, 1, 1), self.Own(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        z = relu(self.first(x))
        y = self.second(z[:, :, ::2, 1:])
        logits: Tensor = self.own(relu(y + z[:, :, ::2, 1:])).mean(dim=(2, 3))
        return logits


def test_what_is_read_in_parts_or_computed_otherwise_stays() -> None:
    torch.manual_seed(0)
    model, x = Sliced().double().eval(), torch.rand(3, 3, 8, 9, dtype=torch.float64, requires_grad=True)
    fast = FastModel(model, fold=True, channels_last=True)
    mine, theirs = fast(x), model(x)
    assert len(fused_in(fast)) == 2
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    own, other = (torch.autograd.grad(logits.square().sum(), x)[0] for logits in (mine, theirs))
    torch.testing.assert_close(own, other, rtol=1e-10, atol=1e-12)


class Overwriting(nn.Module):
    """Changes a map in place after a convolution that the fused one would read later."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(16, 16, 3, 1, 1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.repeat(1, 16, 1, 1)[:, :16] - 0.5
        z = self.convolution(x)
        x = x.mul_(-1.0)
        logits: Tensor = self.linear((z + x).mean(dim=(2, 3)))
        return logits


def test_a_network_that_would_change_is_left_alone() -> None:
    torch.manual_seed(0)
    model, x = Overwriting().eval(), torch.rand(4, 3, 8, 8)
    fast = FastModel(model, fold=True, channels_last=True)
    torch.testing.assert_close(fast(x), model(x))
    assert fast.folded is None


def test_weights_are_those_of_the_first_pass() -> None:
    model, x = network(), torch.rand(2, 3, 12, 12, dtype=torch.float64)
    fast = FastModel(model, fold=True, channels_last=True)
    before = fast(x)
    with torch.no_grad():
        for layer in fused_in(fast):
            assert not layer.convolution.weight.requires_grad
    assert torch.equal(fast(x), before)


def test_another_type_is_folded_anew() -> None:
    model, x = network(dtype=torch.float32), torch.rand(2, 3, 12, 12, dtype=torch.float64)
    fast = FastModel(model, fold=True, channels_last=True)
    fast(x.float())
    fast.double()
    with torch.no_grad():
        fast.exact.model[0].weight.mul_(2)
    torch.testing.assert_close(fast(x), model(x), rtol=1e-12, atol=1e-12)
    assert fused_in(fast)[0].convolution.weight.dtype == torch.float64


def test_outcomes_are_the_plain_networks() -> None:
    model, x = network(dtype=torch.float32), torch.rand(24, 3, 12, 12)
    with torch.no_grad():
        model[-1].bias -= model(x).mean(dim=0)  # several classes are told
    y = model(x).argmax(dim=1)
    attack = AutoAttack(eps=0.007, order="example", version="custom", attacks=("apgd_ce", "fab_t"))
    plain, fast = (attack.run(each, x, y) for each in (model, FastModel(model, fold=True, channels_last=True)))
    assert 0 < int(plain.flags.sum()) < 24
    assert torch.equal(plain.flags, fast.flags)
