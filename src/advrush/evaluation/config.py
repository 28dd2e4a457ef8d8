"""Configuration of an evaluation; the defaults are the paper's threat model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from advrush.attacks.config import ThreatConfig
from advrush.config import check, check_radius
from advrush.data import DataConfig


@dataclass(frozen=True)
class EvaluateConfig(ThreatConfig):
    """A network's accuracy, clean and under attacks, on the test split."""

    name: str = "evaluation"
    """Name of the run, in front of the digest."""
    model: str = ""
    """The network: filled in by the command from the target that it is given."""
    weights: str = ""
    """Digest of the network's weights: filled in, so that other weights are another run."""
    data: DataConfig = field(default_factory=DataConfig)
    """The images; `test_examples` chooses how many are attacked."""
    attacks: tuple[str, ...] = ("fgsm", "pgd20")
    """Attacks by name: fgsm, pgd20, pgd100, apgd_ce, autoattack, ..."""
    batch_size: int = 100
    """Examples attacked at once."""
    seed: int = 0
    """Seed of the attacks' random starts."""
    order: Literal["example", "batch"] = "example"
    """How ensembles draw random numbers: example by example, whatever the batches and processes; or, in one process
    alone, batch by batch, as the published implementation of AutoAttack does."""
    sweep_steps: tuple[int, ...] = ()
    """Also measure PGD after each of these numbers of steps, such as 7 10 20 50 100, in one pass (Figure A6)."""
    sweep_eps: tuple[float, ...] = ()
    """Also measure PGD-20 at each of these radii, such as 0.01 0.02 0.04."""
    dtype: Literal["float32", "float64"] = "float32"
    """Arithmetic of the network that decides what is broken."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic in which attacks search; what they find counts where the network in `dtype` is wrong too."""
    compile: bool = False
    """Compile the passes of the attacks (torch.compile): minutes at the start, quicker afterwards on a GPU."""
    channels_last: bool = True
    """Pass the attacks' images in this layout, which convolutions like; not with order batch, whose outcomes are
    held to the published implementation's to the last bit."""
    save_examples: bool = field(default=False, metadata={"since": 2})
    """Keep the adversarial examples of every attack and what the network says of them, in adversarial.safetensors."""
    sanity: bool = field(default=False, metadata={"since": 2})
    """Also make the field's checks of an evaluation: more steps help, a large radius breaks all, and others."""
    fold_norms: bool = True
    """Fold batch norms into the convolutions before them where attacks search; not with order batch either."""

    def __post_init__(self) -> None:
        check(bool(self.name), "name", self.name, "a word")
        check(bool(self.attacks), "attacks", self.attacks, "at least one attack, such as fgsm or pgd20")
        super().__post_init__()
        steps, radii = self.sweep_steps, self.sweep_eps
        check(all(step >= 1 for step in steps), "sweep_steps", steps, "whole numbers >= 1, such as 7 20 100")
        for eps in radii:
            check_radius("sweep_eps", eps, norm=self.norm)
        reduced = self.precision != "float32"
        check(not reduced or self.dtype == "float32", "precision", self.precision, "float32 where dtype is float64")
        check(
            not (self.sanity and self.norm == "L1"), "sanity", self.sanity, "no with norm L1: Square has no form in it"
        )
        check(self.batch_size >= 1, "batch_size", self.batch_size, "a whole number >= 1")
