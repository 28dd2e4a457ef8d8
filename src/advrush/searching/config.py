"""Configuration of a search; the defaults are the paper's (section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from advrush.attacks.config import PGDConfig
from advrush.config import MOST_CELLS, MOST_CHANNELS, check, check_between
from advrush.data import DataConfig
from advrush.space import space_named


@dataclass(frozen=True)
class CurvatureConfig:
    """The regularizer of the objectives `advrush` (Eq. 8-10) and `exact` (Eq. 8 itself)."""

    gamma: float = 0.01
    """Weight of the regularizer beside the validation loss; the 1/h of Eq. 10 is absorbed in it."""
    h: float = 1.5
    """Length of the step along the sign of the input gradient, in normalized input units."""
    scale: float = 1.0
    """Factor on L_lambda: 1 in the paper, 4 in the authors' code."""
    measure_every: int = 0
    """Also measure L_lambda on every n-th step where it is not optimized (0: never); Figures 2 and A1 need 1."""

    def __post_init__(self) -> None:
        check(self.gamma >= 0, "curvature.gamma", self.gamma, "a number >= 0")
        check(self.h > 0, "curvature.h", self.h, "a number > 0")
        check(self.scale > 0, "curvature.scale", self.scale, "a number > 0")
        check(self.measure_every >= 0, "curvature.measure_every", self.measure_every, "0 or a number of steps")


@dataclass(frozen=True)
class AdversarialConfig(PGDConfig):
    """The attack of the objective `adversarial` (Table 5): alpha minimizes the loss on adversarial examples."""

    PART = "adversarial"

    attack: Literal["fgsm", "pgd"] = "pgd"
    """fgsm: one step of size eps; pgd: `steps` steps of `step_size` from a random start."""
    weights: bool = False
    """Train the weights on adversarial examples as well (the paper attacks the architecture's step only)."""


@dataclass(frozen=True)
class AlphaOptimizer:
    """Adam for the architecture parameters."""

    lr: float = 3e-4
    """Learning rate, constant."""
    beta1: float = 0.5
    """Decay of the first moment."""
    beta2: float = 0.999
    """Decay of the second moment."""
    weight_decay: float = 1e-3
    """L2 penalty, added to the gradient."""

    def __post_init__(self) -> None:
        check(self.lr > 0, "alpha.lr", self.lr, "a number > 0")
        check(0 <= self.beta1 < 1, "alpha.beta1", self.beta1, "a number in [0, 1)")
        check(0 <= self.beta2 < 1, "alpha.beta2", self.beta2, "a number in [0, 1)")


@dataclass(frozen=True)
class WeightOptimizer:
    """SGD with momentum and a cosine schedule for the weights."""

    lr: float = 0.025
    """Learning rate of the first epoch."""
    lr_min: float = 0.001
    """Learning rate that the cosine falls to."""
    momentum: float = 0.9
    """Momentum."""
    weight_decay: float = 3e-4
    """L2 penalty, added to the gradient."""
    clip: float = 5.0
    """Largest 2-norm of the gradient of all weights together."""

    def __post_init__(self) -> None:
        check(self.lr > 0, "weights.lr", self.lr, "a number > 0")
        check(0 <= self.lr_min <= self.lr, "weights.lr_min", self.lr_min, f"between 0 and weights.lr ({self.lr})")
        check(self.clip > 0, "weights.clip", self.clip, "a number > 0")


@dataclass(frozen=True)
class Deviations:
    """Where the authors' code departs from their paper; `fidelity = "authors"` turns all of them on."""

    no_split: bool = False
    """Both levels read the whole training set; the architecture step always sees its first batch."""
    frozen_bn: bool = False
    """After the warm-up the weight step runs with frozen BN statistics."""
    curvature_times_4: bool = False
    """L_lambda is multiplied by 4."""
    polluted_gradient: bool = False
    """Alpha's gradient also holds the summed loss's gradient (batch size times the mean's), eval-mode BN."""
    h_ramp: bool | None = None
    """h rises over the first six epochs, 0, h/5, ... h; it matters where L_lambda acts in them (warmup_epochs < 5)."""


RAMP = 6
"""Epochs in which h rises in the authors' code: 0, 0.3, ... 1.5."""


@dataclass(frozen=True)
class SearchConfig:
    """A bilevel search of a supernet (Algorithm 1)."""

    name: str = "advrush"
    """Name of the run, in front of the digest."""
    objective: Literal["advrush", "exact", "darts", "darts_second_order", "adversarial"] = "advrush"
    """What the architecture step minimizes after the warm-up; before it, the validation loss alone."""
    mixed_derivative: Literal["exact", "difference"] | None = None
    """Of `darts_second_order`: exact, or the published central difference. Unless given, exact; the difference with
    fidelity `authors`. Nothing for other objectives."""
    relaxation: Literal["softmax", "gdas", "partial"] = field(default="softmax", metadata={"since": 2})
    """What an edge computes in the search: the softmax-weighted sum of all primitives; gdas: one of them, drawn by
    straight-through Gumbel softmax; partial: the sum on a quarter of the channels, with a weight for each edge."""
    data: DataConfig = field(default_factory=DataConfig)
    """The images."""
    space: str = "darts"
    """Search space."""
    channels: int = 16
    """Channels of the supernet's first cells."""
    layers: int = 8
    """Cells of the supernet."""
    epochs: int = 60
    """Epochs, the warm-up included."""
    warmup_epochs: int = 50
    """First epochs, in which the objective is the plain validation loss."""
    batch_size: int = 32
    """Examples of one step, over all processes, for each of the two levels."""
    curvature: CurvatureConfig = field(default_factory=CurvatureConfig)
    """The regularizer."""
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    """The attack of the objective `adversarial`."""
    alpha: AlphaOptimizer = field(default_factory=AlphaOptimizer)
    """Optimizer of the architecture."""
    weights: WeightOptimizer = field(default_factory=WeightOptimizer)
    """Optimizer of the weights."""
    crop: int = 4
    """Padding of the random crop, in pixels (0: none)."""
    flip: bool = True
    """Random horizontal flip; wrong for digits."""
    fidelity: Literal["paper", "authors"] = "paper"
    """paper: the text; authors: their published code, with all of `deviations`. Its README asked for no warm-up
    (warmup_epochs 0) until 27 December 2021, after the conference, and for 50 epochs since: choose the one you mean."""
    deviations: Deviations = field(default_factory=Deviations)
    """Single departures of the authors' code from the text."""
    micro_batch: int | None = None
    """Compute L_lambda on so many examples at a time: the same sum in less memory (the losses need the whole batch)."""
    fast: bool = True
    """Compute with the fast kernels, equal to rounding; false: op by op, slower: the reference."""
    seed: int = 0
    """Seed of the initialization, the split, the batches and the augmentation."""
    dtype: Literal["float32", "float64"] = "float32"
    """Arithmetic; float64 is for checks."""

    def __post_init__(self) -> None:
        check(bool(self.name), "name", self.name, "a word")
        chosen = self.mixed_derivative
        check(chosen in (None, "exact", "difference"), "mixed_derivative", chosen, "exact or difference")
        if self.objective != "darts_second_order":
            chosen = None
        elif chosen is None:
            chosen = "difference" if self.fidelity == "authors" else "exact"
        object.__setattr__(self, "mixed_derivative", chosen)  # a run of the one is never taken for one of the other
        fewest = space_named(self.space).fewest_layers
        check_between("channels", self.channels, MOST_CHANNELS)
        quarters = self.relaxation != "partial" or self.channels % 4 == 0
        check(quarters, "channels", self.channels, "a multiple of 4 with the relaxation `partial`")
        enough = fewest <= self.layers <= MOST_CELLS
        check(
            enough, "layers", self.layers, f"at least {fewest} cells in the space {self.space!r}, at most {MOST_CELLS}"
        )
        check(self.epochs >= 1, "epochs", self.epochs, "a whole number >= 1")
        check(self.warmup_epochs >= 0, "warmup_epochs", self.warmup_epochs, "a whole number >= 0")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "a whole number >= 1")
        part = self.micro_batch
        check(part is None or part >= 1, "micro_batch", part, "a whole number >= 1")

    def step_length(self, epoch: int) -> float:
        """Return h in an epoch (from 0): constant, or with the deviation `h_ramp` rising over the first six epochs."""
        h = self.curvature.h
        return h * min(epoch, RAMP - 1) / (RAMP - 1) if self.departs("h_ramp") else h

    def departs(self, deviation: str) -> bool:
        """Tell whether one of the fields of `Deviations` is in force, by itself or through `fidelity`."""
        return self.fidelity == "authors" or bool(getattr(self.deviations, deviation))
