"""Transfer attacks: examples made on a source network, measured on every target (Table 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advrush import parallel
from advrush.attacks import Attack, parse_attacks
from advrush.attacks.config import ThreatConfig
from advrush.attacks.ensemble.checks import suspicions
from advrush.attacks.ensemble.single import SUSPECTED, own_batches
from advrush.attacks.gate import graph_wanted, opened, probe, seeded_globally
from advrush.attacks.passes.fast_model import correct
from advrush.config import check
from advrush.data import DataConfig, Dataset
from advrush.evaluation.config import EvaluateConfig
from advrush.evaluation.evaluate_stage import searched_on
from advrush.evaluation.fingerprint import examine
from advrush.evaluation.robust_accuracy import UNKNOWN
from advrush.evaluation.targets import Target, as_target
from advrush.modes import evaluating, frozen
from advrush.progress import Display
from advrush.run import Run
from advrush.stage import stage


@dataclass(frozen=True)
class _Made(ThreatConfig):
    """How the examples of a source are made."""

    data: DataConfig = field(default_factory=DataConfig)
    """The images; `test_examples` chooses how many are attacked."""
    attack: str = "pgd20"
    """Attack that makes the examples on each source."""
    batch_size: int = 100
    """Examples attacked at once."""
    seed: int = 0
    """Seed of the attack's random starts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.batch_size >= 1, "batch_size", self.batch_size, "a whole number >= 1")


@dataclass(frozen=True)
class ExamplesConfig(_Made):
    """Adversarial examples of one source: kept, so that a further target costs one forward pass."""

    model: str = ""
    """The network's name."""
    weights: str = ""
    """Digest of its weights."""


@dataclass(frozen=True)
class TransferConfig(_Made):
    """The source x target matrix of some networks on the test split."""

    name: str = "transfer"
    """Name of the run, in front of the digest."""
    models: tuple[str, ...] = ()
    """The networks and the digests of their weights: filled in by the command."""


def transfer(
    targets: Sequence[str | Path | nn.Module | Target],
    config: TransferConfig | None = None,
    *,
    data_dir: Path | str | None = None,
    runs_dir: Path | str = "runs",
    device: str = "auto",
    display: bool = True,
) -> Run:
    """Measure every network on the adversarial examples of every network.

    Returns the finished run; its `result.json` holds `models`, `clean` (accuracies) and `matrix`, row = source of the
    examples, column = attacked target, diagonal = the white-box value that `evaluate` finds with the same settings.
    The examples of each source are kept under `runs_dir/examples`.
    """
    processes = parallel.setup(device)
    found = [as_target(target) for target in targets]
    check(len(found) >= 2, "targets", len(found), "at least two networks")
    config = replace(config or TransferConfig(), models=transferred(found))
    attack, *others = parse_attacks(config.attack, config.threat, seed=config.seed)
    check(not others, "attack", config.attack, "one attack, such as pgd20")
    check(getattr(attack, "target", None) is None, "attack", config.attack, "an untargeted attack: accuracies are told")
    dataset = config.data.load(data_dir)
    identity, odd = examine(found, dataset)
    with stage(processes, runs_dir, "transfer", config, identity=identity, data_dir=data_dir) as (run, todo):
        if todo:
            matrix = _Matrix(found, config, attack, dataset, identity, Path(runs_dir), processes)
            odd += matrix.suspicions()
            with Display("transfer", show=display and processes.is_main) as screen:
                result = matrix.measure(screen)
                for text in odd:
                    screen.line(f"warning: {text}")
            if processes.is_main:
                run.finish(result | ({"warnings": list(odd)} if odd else {}))
    return run


def transferred(found: Sequence[Target]) -> tuple[str, ...]:
    """Return the networks as a configuration keeps them: each one's name and the digest of its weights."""
    return tuple(f"{one.label}:{one.digest}" for one in found)


class _Matrix:
    """The networks, the images, and the attack that makes examples on each of the networks."""

    def __init__(
        self,
        found: Sequence[Target],
        config: TransferConfig,
        attack: Attack,
        dataset: Dataset,
        identity: Mapping[str, Any],
        runs: Path,
        processes: parallel.Parallel,
    ) -> None:
        self.found, self.config, self.attack, self.runs, self.processes = found, config, attack, runs, processes
        kinds = [key for key in identity if key != "data"]
        self.identities = [
            {"data": dataset.checksum} | {key: identity[key][place] for key in kinds} for place in range(len(found))
        ]
        split = dataset.test.to(processes.device)
        self.x, self.y = split.pixels(), split.labels
        self.models = [one.model.to(processes.device) for one in found]

    def suspicions(self) -> tuple[str, ...]:
        """Return what is odd about each network on the first images; raise as `attacks.gate` does for unusable ones."""
        gradients, cut = graph_wanted([self.attack])
        said = []
        for target, model in zip(self.found, self.models, strict=True):
            probe(model, self.x, self.y, gradients=gradients, cut=cut)
            with evaluating(model), frozen(model), seeded_globally(self.x.device, self.config.seed):
                found = suspicions(model, self.x[:SUSPECTED], self.y[:SUSPECTED])
            said += [f"{target.label}: {sentence}" for sentence in found]
        return tuple(said)

    def measure(self, screen: Display) -> dict[str, Any]:
        """Return the result: accuracies without an attack, and of each network under the examples of each."""
        clean = [self._flags(model, self.x) for model in self.models]
        matrix = []
        for source in screen.steps(range(len(self.models)), total=len(self.models)):
            x_adv = self._examples(source, clean[source])
            flags = [self._flags(model, x_adv) for model in self.models]
            flags[source] = flags[source] & clean[source]
            matrix.append([float(each.double().mean()) for each in flags])
            screen.line(f"{self.found[source].label:<24} " + "  ".join(f"{value:6.2%}" for value in matrix[-1]))
        config = self.config
        return {
            "models": [one.label for one in self.found],
            "examples": len(self.x),
            "dataset": config.data.dataset,
            "attack": config.attack,
            "threat_model": {"norm": config.norm, "eps": config.eps},
            "clean": [float(each.double().mean()) for each in clean],
            "matrix": matrix,
        }

    def _examples(self, source: int, clean: Tensor) -> Tensor:
        """Return a network's adversarial examples (N, C, H, W), from its kept file if it is there.

        Each process makes its share of the batches; all of them return all examples.
        """
        target, c, processes, x = self.found[source], self.config, self.processes, self.x
        about = ExamplesConfig(
            c.norm, c.eps, c.data, c.attack, c.batch_size, c.seed, model=target.label, weights=target.digest
        )
        label, identity = target.label.replace("/", "-").replace(":", "-"), self.identities[source]
        with stage(processes, self.runs, "examples", about, name=label, identity=identity) as (kept, todo):
            if todo:
                x_adv, searched = torch.full_like(x, UNKNOWN), searched_on(self.models[source], EvaluateConfig())
                with opened(), evaluating(searched), frozen(searched):
                    # the examples that are right by themselves: the same batches and seeds as in an evaluation
                    for wanted in (clean.nonzero().flatten(), (~clean).nonzero().flatten()):
                        for rows, seeded in own_batches(self.attack, wanted, c.batch_size, processes=processes):
                            x_adv[rows] = seeded(searched, x[rows], self.y[rows])
                x_adv = processes.maximum(x_adv)
                if processes.is_main:
                    kept.save_tensors("x_adv.safetensors", {"x_adv": x_adv})
                    kept.finish({"examples": len(x)})
        return kept.load_tensors("x_adv.safetensors")["x_adv"].to(x)

    def _flags(self, model: nn.Module, x: Tensor) -> Tensor:
        with evaluating(model):
            size = self.config.batch_size
            parts = zip(x.split(size), self.y.split(size), strict=True)  # type: ignore[no-untyped-call]
            return torch.cat([correct(model, a, b) for a, b in parts])
