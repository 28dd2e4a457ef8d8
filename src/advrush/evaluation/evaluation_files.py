"""Write the files of a finished evaluation: flags, norms, examples, predictions and result.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from advrush.attacks import Attack, Cascade
from advrush.attacks.gate import opened
from advrush.attacks.passes.chunks import predict
from advrush.attacks.passes.fast_model import exact_model
from advrush.data import Dataset
from advrush.evaluation.config import EvaluateConfig
from advrush.evaluation.lines import by_class, confusion
from advrush.evaluation.results import AttackOutcome, Evaluation
from advrush.evaluation.robust_accuracy import attack_names
from advrush.evaluation.sanity import sanity
from advrush.evaluation.sweep import Sweep, points
from advrush.evaluation.targeted import TargetedOutcome
from advrush.models.count import parameters
from advrush.modes import evaluating, frozen
from advrush.run import Run

SHOWN = 10
"""Examples kept as pictures for the report."""
Sweeps = Mapping[Literal["steps", "eps"], Sweep]


@dataclass(frozen=True, eq=False)
class Finished:
    """An evaluation's outcome, and what it is of: the network as attacks searched on it, images, labels, attacks."""

    outcome: Evaluation
    searched: nn.Module
    x: Tensor
    y: Tensor
    config: EvaluateConfig
    attacks: tuple[Attack, ...]
    sweeps: Sweeps
    dataset: Dataset

    def write(self, run: Run, *, warnings: tuple[str, ...]) -> None:
        """Write all files; result.json, which says that the run is finished, comes last."""
        self._save_flags(run)
        with evaluating(self.searched), frozen(self.searched):
            run.save_tensors("examples.safetensors", self._pictures())
        result = self._result()
        if self.config.save_examples:
            result["confusion"] = self._save_adversarial(run)
        if self.sweeps:
            result["sweeps"] = self._curves()
        run.finish(result | ({"warnings": list(warnings)} if warnings else {}))

    @property
    def _flags(self) -> dict[str, Tensor]:
        outcome = self.outcome
        flags = {"clean": outcome.clean, **{attack.name: attack.flags for attack in outcome.attacks}}
        return flags | {name: value for name, value in outcome.sweeps.items() if name not in flags}

    @property
    def _places(self) -> dict[str, Tensor]:
        """Return which images of the test split these are, and their labels."""
        index = self.dataset.test_index
        return {"index": torch.arange(len(self.x)) if index is None else index, "label": self.y}

    def _save_flags(self, run: Run) -> None:
        """Write what came of each image under each attack."""
        outcome = self.outcome
        run.save_tensors("flags.safetensors", {name: value.to(torch.bool) for name, value in self._flags.items()})
        if outcome.targeted:
            kinds = ("attacked", "reached")
            reached = {f"{kind}/{each.name}": getattr(each, kind) for each in outcome.targeted for kind in kinds}
            run.save_tensors("targeted.safetensors", reached)
        if norms := {attack.name: attack.norms for attack in outcome.attacks if attack.norms is not None}:
            run.save_tensors("norms.safetensors", norms)
        run.save_tensors("images.safetensors", self._places)
        if broken_by := {attack.name: attack.broken_by for attack in outcome.attacks if attack.broken_by is not None}:
            run.write_json("broken_by.json", broken_by)

    def _pictures(self) -> dict[str, Tensor]:
        """Return a few correct examples, their adversarial versions under the strongest attack, and predictions.

        An ensemble leaves what it cannot break as it is, for most of its time: of such examples it is not asked again.
        """
        names, outcome = attack_names(self.attacks), self.outcome
        strongest = min(outcome.attacks, key=lambda row: row.robust_acc, default=None)
        attack = self.attacks[names.index(names[0] if strongest is None else strongest.name)]
        rows = outcome.clean.nonzero().flatten()[:SHOWN]
        rows = rows if len(rows) else torch.arange(min(SHOWN, len(self.x)))
        x, x_adv = self.x[rows], self.x[rows].clone()
        again = torch.ones(len(rows), dtype=torch.bool)
        if isinstance(attack, Cascade) and strongest is not None:
            again = ~strongest.flags[rows]
        if again.any():
            with opened():
                x_adv[again] = attack(self.searched, x[again], self.y[rows][again])
        pred, pred_adv = (predict(exact_model(self.searched), images).argmax(1) for images in (x, x_adv))
        return {"x": x, "x_adv": x_adv, "y": self.y[rows], "pred": pred, "pred_adv": pred_adv}

    def _result(self) -> dict[str, Any]:
        config, dataset, outcome = self.config, self.dataset, self.outcome
        model = exact_model(self.searched)
        result = {
            "model": config.model,
            "weights": config.weights,
            "parameters": parameters(model),
            "dataset": dataset.name,
            "classes": list(dataset.classes),
            "threat_model": {"norm": config.norm, "eps": config.eps},
            "precision": {"searched": config.precision, "verified": config.dtype},
            **outcome.to_dict(),
        }
        if config.sanity:
            checks = sanity(
                self.searched, self.x, self.y, outcome.clean, eps=config.eps, norm=config.norm, seed=config.seed
            )
            result["sanity"] = [each.to_dict() for each in checks]
        flags, names = self._flags, ("clean", *(attack.name for attack in outcome.attacks))
        result["by_class"] = {name: by_class(flags[name], self.y, dataset.num_classes) for name in names}
        return result

    def _save_adversarial(self, run: Run) -> dict[str, Any]:
        """Write every adversarial example and what the network says of it; return the confusion matrices."""
        with evaluating(self.searched), frozen(self.searched):
            kept = self._adversarial(exact_model(self.searched))
        run.save_tensors("adversarial.safetensors", kept | self._places)
        predicted = {name.removeprefix("pred/"): value for name, value in kept.items() if name.startswith("pred/")}
        return {name: confusion(self.y, value, self.dataset.num_classes) for name, value in predicted.items()}

    def _adversarial(self, model: nn.Module) -> dict[str, Tensor]:
        found = {"pred/clean": predict(model, self.x).argmax(1)}
        rows: list[AttackOutcome | TargetedOutcome] = [*self.outcome.attacks, *self.outcome.targeted]
        for attack in rows:
            assert attack.x_adv is not None
            found[f"x_adv/{attack.name}"] = attack.x_adv
            found[f"pred/{attack.name}"] = predict(model, attack.x_adv.to(self.x)).argmax(1)
        return found

    def _curves(self) -> dict[str, Any]:
        places = {"steps": self.config.sweep_steps, "eps": self.config.sweep_eps}
        return {
            kind: points(kind, places[kind], [self.outcome.sweeps[name] for name in sweep.names])
            for kind, sweep in self.sweeps.items()
        }
