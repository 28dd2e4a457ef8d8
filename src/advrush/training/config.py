"""Configuration of a training; the defaults are the paper's adversarial training on CIFAR-10 (Table A1)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from advrush.attacks.config import PGDConfig
from advrush.config import check
from advrush.data import Augment, DataConfig
from advrush.schedule import cosine


@dataclass(frozen=True)
class AttackConfig(PGDConfig):
    """The attack inside adversarial training."""

    PART = "attack"

    val_steps: int = 20
    """Gradient steps of the attack on the held-out images."""

    def __post_init__(self) -> None:
        super().__post_init__()
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
    schedule: Literal["step", "cosine", "one-cycle"] = "step"
    """step: multiply by decay_factor at decay_epochs; cosine: fall to lr_min; one-cycle: rise, then fall, linearly."""
    rise: float = 0.4
    """Share of the epochs in which one-cycle rises from 0 to lr; it changes at each step."""
    decay_epochs: tuple[int, ...] = (100, 150)
    """Epochs at which the rate falls."""
    decay_factor: float = 0.1
    """Factor of the step schedule."""
    lr_min: float = 0.0
    """Where the cosine ends."""
    clip: float = 5.0
    """Largest 2-norm of all gradients together."""

    def __post_init__(self) -> None:
        check(0 < self.lr < math.inf, "optimizer.lr", self.lr, "a number > 0")
        check(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "a number from 0 to below 1")
        check(0 <= self.weight_decay < math.inf, "optimizer.weight_decay", self.weight_decay, "a number >= 0")
        check(self.clip > 0, "optimizer.clip", self.clip, "a number > 0")
        check(0 < self.rise < 1, "optimizer.rise", self.rise, "a number between 0 and 1")

    def drop_checkpoint(self, epochs: int) -> int | None:
        """Return after how many epochs the checkpoint `drop` is kept; None where the rate never drops in `epochs`.

        Robust accuracy peaks shortly after the first drop of a step schedule (Rice et al., ICML 2020), and that is the
        checkpoint which the authors of AdvRush recommend: five epochs after it, or just before the next drop or the
        end where that comes sooner.
        """
        drops = sorted(epoch for epoch in self.decay_epochs if 0 < epoch < epochs)
        if self.schedule != "step" or not drops:
            return None
        return min(drops[0] + 5, *drops[1:2], epochs)

    def rate(self, progress: float, epochs: int) -> float:
        """Return the learning rate after `progress` epochs (whole ones but for one-cycle) of `epochs`."""
        match self.schedule:
            case "step":
                return self.lr * self.decay_factor ** sum(progress >= epoch for epoch in self.decay_epochs)
            case "cosine":
                return cosine(self.lr, self.lr_min, progress, total=epochs)
            case "one-cycle":
                share = progress / epochs
                if share < self.rise:
                    return self.lr * share / self.rise
                return self.lr_min + (self.lr - self.lr_min) * (1 - share) / (1 - self.rise)


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
    objective: Literal["standard", "pgd", "trades", "mart"] = "pgd"
    """What the weights minimize: clean loss, loss on PGD examples, TRADES, or MART."""
    attack: AttackConfig = field(default_factory=AttackConfig)
    """The attack of the objective, and of the check on held-out images."""
    beta: float = 6.0
    """Weight of TRADES' or MART's robust term."""
    awp: float = 0.0
    """Adversarial weight perturbation: move weights by this share of their norm up the loss first (0: none; 0.005)."""
    awp_after: int = 0
    """Epochs before adversarial weight perturbation begins."""
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
    """Images that choose the best checkpoint: of the data set's validation split if it has one, else held out of the
    training images; unless given, all of that split or a tenth of the training images, at most 1,000."""
    eval_every: int = 1
    """Check the held-out images every n epochs, and after the last."""
    patience: int | None = None
    """Stop after this many checks without a better robust accuracy on the held-out images; never unless given."""
    ema: float = 0.0
    """Decay of an average of the weights, taken at each step: it is checked and saved in place of the last weights."""
    micro_batch: int | None = None
    """Examples that go through the network at once; a step adds them up. BN sees each part by itself."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of convolutions and products, by autocast; images, weights and losses stay in float32."""
    compile: bool = False
    """Compile the network (torch.compile): minutes at the start, then quicker steps on a GPU."""
    channels_last: bool = True
    """Lay images out pixel by pixel, in which depthwise convolutions are quicker."""
    recompute: bool | None = None
    """Keep the inputs of cells alone in the training pass and compute the rest again: less than half the memory for
    one forward pass more. Unless given, where an attack's passes are most of the time: not for `standard`."""
    seed: int = 0
    """Seed of the initialization, the batches, the augmentation and the attack's starts."""

    def __post_init__(self) -> None:
        check(bool(self.name), "name", self.name, "a word")
        check(self.epochs >= 1, "epochs", self.epochs, "a whole number >= 1")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "a whole number >= 1")
        held = self.validation_examples
        check(held is None or held >= 1, "validation_examples", held, "a whole number >= 1")
        check(self.eval_every >= 1, "eval_every", self.eval_every, "a whole number >= 1")
        check(0 <= self.drop_path < 1, "drop_path", self.drop_path, "a number from 0 to below 1")
        check(self.beta >= 0, "beta", self.beta, "a number >= 0")
        check(0 <= self.awp < 1, "awp", self.awp, "a number from 0 to below 1, such as 0.005")
        check(self.awp_after >= 0, "awp_after", self.awp_after, "a whole number >= 0")
        check(self.patience is None or self.patience >= 1, "patience", self.patience, "a whole number >= 1")
        check(0 <= self.ema < 1, "ema", self.ema, "a number from 0 to below 1, such as 0.999")
        part = self.micro_batch
        check(part is None or 1 <= part <= self.batch_size, "micro_batch", part, f"from 1 to {self.batch_size}")
        if self.auxiliary and self.objective in ("trades", "mart"):
            check(False, "auxiliary", self.auxiliary, f"0: {self.objective} has no auxiliary loss")

    def held_out(self, train: int) -> int:
        """Return how many of that many training images are held out, of data without a validation split."""
        return self.validation_examples or min(1000, max(1, train // 10))
