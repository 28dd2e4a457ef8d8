"""Configuration of a training; the defaults are the paper's adversarial training on CIFAR-10 (Table A1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from advrush.config import check
from advrush.data import Augment, DataConfig


@dataclass(frozen=True)
class AttackConfig:
    """The attack inside adversarial training."""

    eps: float = 0.031
    """Radius of the Linf ball, in [0, 1] pixel units."""
    steps: int = 7
    """Gradient steps."""
    step_size: float = 0.01
    """Length of a step, in [0, 1] pixel units."""
    val_steps: int = 20
    """Gradient steps of the attack on the held-out images."""

    def __post_init__(self) -> None:
        check(0 < self.eps < 1, "attack.eps", self.eps, "a number between 0 and 1, such as 0.031")
        check(self.steps >= 1, "attack.steps", self.steps, "a whole number >= 1")
        check(self.step_size > 0, "attack.step_size", self.step_size, "a number > 0")
        check(self.val_steps >= 1, "attack.val_steps", self.val_steps, "a whole number >= 1")


@dataclass(frozen=True)
class OptimizerConfig:
    """SGD with momentum and its schedule."""

    lr: float = 0.1
    """Learning rate at the start."""
    momentum: float = 0.9
    """Momentum."""
    weight_decay: float = 1e-4
    """L2 penalty, added to the gradient."""
    schedule: Literal["step", "cosine"] = "step"
    """step: multiply by decay_factor at decay_epochs; cosine: fall to lr_min."""
    decay_epochs: tuple[int, ...] = (100, 150)
    """Epochs at which the rate falls."""
    decay_factor: float = 0.1
    """Factor of the step schedule."""
    lr_min: float = 0.0
    """Where the cosine ends."""
    clip: float = 5.0
    """Largest 2-norm of all gradients together."""

    def __post_init__(self) -> None:
        check(self.lr > 0, "optimizer.lr", self.lr, "a number > 0")
        check(self.clip > 0, "optimizer.clip", self.clip, "a number > 0")


@dataclass(frozen=True)
class TrainConfig:
    """A training of one network."""

    name: str = "adversarial"
    """Name of the run, in front of the digest."""
    arch: str = "advrush"
    """A name (advrush, pdarts, resnet18, ...), a genotype's text, or (on the command line) a search run or a file."""
    channels: int | None = None
    """Channels of the first cells or stage; the architecture's own unless given."""
    layers: int | None = None
    """Cells; 20 unless given."""
    data: DataConfig = field(default_factory=DataConfig)
    """The images."""
    objective: Literal["standard", "pgd", "trades"] = "pgd"
    """What the weights minimize: clean loss, loss on PGD examples, or TRADES."""
    attack: AttackConfig = field(default_factory=AttackConfig)
    """The attack of pgd and trades, and of the check on held-out images."""
    beta: float = 6.0
    """Weight of TRADES' robust term."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """SGD and its schedule."""
    epochs: int = 200
    """Epochs."""
    batch_size: int = 64
    """Examples of one step, over all processes."""
    augment: Augment = field(default_factory=Augment)
    """Random changes of the training images."""
    normalize: bool | None = None
    """Normalize the input by the data's mean and std as the first layer; unless given, for `standard` alone."""
    auxiliary: float = 0.0
    """Weight of the auxiliary head's loss (0: no such head)."""
    drop_path: float = 0.0
    """Probability of drop path at the end; it rises linearly from 0."""
    validation_examples: int | None = None
    """Training images held out to choose the best checkpoint; unless given, a tenth of them, at most 1,000."""
    eval_every: int = 1
    """Check the held-out images every n epochs, and after the last."""
    seed: int = 0
    """Seed of the initialization, the batches, the augmentation and the attack's starts."""

    def __post_init__(self) -> None:
        check(bool(self.name), "name", self.name, "a word")
        check(self.epochs >= 1, "epochs", self.epochs, "a whole number >= 1")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "a whole number >= 1")
        held = self.validation_examples
        check(held is None or held >= 1, "validation_examples", held, "a whole number >= 1")
        check(self.eval_every >= 1, "eval_every", self.eval_every, "a whole number >= 1")
        check(self.beta >= 0, "beta", self.beta, "a number >= 0")
