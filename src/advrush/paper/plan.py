"""From artifacts and a scale to the jobs of each cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from advrush import config as configs
from advrush.analysis import LandscapeConfig
from advrush.data import DataConfig
from advrush.evaluation import EvaluateConfig, TransferConfig
from advrush.models.build import FIXED_DEPTH, NO_CELLS, canonical, is_known
from advrush.paper.artifacts import Artifact, Column, Recipe, Row, chosen_rows, paper
from advrush.paper.jobs import EvaluateJob, Job, LandscapeJob, SearchJob, TrainJob, TransferJob, in_order
from advrush.paper.scale import Scale

BASIC = ("fgsm", "pgd20")
CASCADE = ("apgd_ce", "apgd_t", "fab_t", "square", "autoattack")
"""Measures that one run of AutoAttack gives: accuracy after each of its attacks."""


@dataclass(frozen=True)
class Plan:
    """Artifacts at a scale: which jobs a cell is measured by."""

    scale: Scale
    artifacts: tuple[Artifact, ...]
    only: frozenset[str] = frozenset()
    """Keys of the rows (of figures of searches: the searches) that are run; empty: all."""
    _known: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """Searches and trainings that were asked for: every cell of a row asks for the same."""

    def runs(self, key: str) -> bool:
        """Return whether a row or search is run."""
        return not self.only or key in self.only

    def jobs(self) -> list[Job]:
        """Return all jobs of the rows that are run, each once, needed ones first, seed by seed."""
        return in_order([job for seed in self.scale.seeds for one in self.artifacts for job in self.of(one, seed)])

    def of(self, artifact: Artifact, seed: int) -> list[Job]:
        """Return the jobs that the cells of an artifact's rows are read from, those of rows that are run."""
        rows = [row for row in artifact.rows if self.runs(row.key)]
        match artifact.kind:
            case "table" | "scatter":
                return list(self._table(artifact, rows, seed))
            case "transfer":
                job = self.transfer(artifact, rows, seed)
                return [] if job is None else [job]
            case "searches":
                return [self.search(name, seed) for name in artifact.searches if self.runs(name)]
            case "landscapes":
                found = (self.landscape(row, column, seed) for row in rows for column in artifact.columns)
                return [job for job in found if job is not None]
            case "cells":
                return [self.search(row.search, seed) for row in rows if row.search]
            case "steps":
                jobs = (self.steps(row, seed) for row in rows)
                return [job for job in jobs if job is not None]

    def _table(self, artifact: Artifact, rows: Sequence[Row], seed: int) -> Iterator[Job]:
        for row in rows:
            for column in artifact.columns:
                if column.recipe is None:
                    if row.search is not None:
                        yield self.search(row.search, seed)
                    if column.measure == "parameters" and (training := self.training(row, "adversarial", seed)):
                        yield training
                    continue
                for checkpoint in self.checkpoints(column):
                    if job := self.evaluation(row, column, seed, checkpoint):
                        yield job

    def checkpoints(self, column: Column) -> tuple[str, ...]:
        """Return the checkpoints that a column is measured at: a standard training's last."""
        if column.recipe is None:
            return ()
        return ("last",) if column.recipe == "standard" else self.scale.checkpoints

    def search(self, name: str, seed: int) -> SearchJob:
        """Return a search of artifacts.toml."""
        if (name, seed) not in self._known:
            self._known[name, seed] = SearchJob(self.scale.search_config(name, paper().searches[name], seed))
        found: SearchJob = self._known[name, seed]
        return found

    def training(self, row: Row, recipe: Recipe, seed: int) -> TrainJob | None:
        """Return the training of a row, None where the scale has no images for its data set."""
        if row.dataset not in self.scale.images:
            return None
        place = (row, recipe, seed)
        if place not in self._known:
            self._known[place] = self._training(row, recipe, seed)
        job: TrainJob = self._known[place]
        return job

    def _training(self, row: Row, recipe: Recipe, seed: int) -> TrainJob:
        config = self.scale.train_config(row, recipe, seed)
        if row.arch is not None and is_known(row.arch):
            name = canonical(row.arch)
            if name in FIXED_DEPTH:
                config = replace(config, layers=None)
            if name in NO_CELLS:
                config = replace(config, auxiliary=0.0, drop_path=0.0)
        found = None if row.search is None else self.search(row.search, seed)
        return TrainJob(config, row.dataset, found, self.scale.parameters)

    def evaluation(self, row: Row, column: Column, seed: int, checkpoint: str) -> EvaluateJob | None:
        """Return the evaluation that gives a column's measure, None where the scale leaves its attacks out."""
        assert column.recipe is not None
        training = self.training(row, column.recipe, seed)
        attack = column.measure.removeprefix("hrs:")
        if attack in CASCADE:
            attacks: tuple[str, ...] = ("autoattack",)
            group = "autoattack"
        elif attack == "pgd100":
            group, attacks = "pgd100", ("pgd100",)
        else:
            group, attacks = "basic", BASIC
        if training is None or self.scale.examples.get(group) == 0:
            return None
        return self._evaluate(training, checkpoint, group, attacks)

    def steps(self, row: Row, seed: int) -> EvaluateJob | None:
        """Return the evaluation under PGD of several lengths (Figure A6)."""
        training = self.training(row, "adversarial", seed)
        if training is None:
            return None
        checkpoint = self.scale.checkpoints[0]
        return self._evaluate(training, checkpoint, "steps", ("fgsm",), sweep_steps=self.scale.steps)

    def _evaluate(
        self, training: TrainJob, checkpoint: str, group: str, attacks: tuple[str, ...], **more: Any
    ) -> EvaluateJob:
        name = f"{training.config.name}-{group}"
        config = configs.from_dict(EvaluateConfig, dict(self.scale.evaluate), where=f"scale {self.scale.name}")
        eps = self.scale.images[training.dataset].eps
        data = self._test_images(training.config.data, group)
        return EvaluateJob(
            training, checkpoint, replace(config, name=name, data=data, attacks=attacks, eps=eps, **more)
        )

    def _test_images(self, data: DataConfig, group: str) -> DataConfig:
        """Return the data with the scale's number of test images for a group of attacks."""
        wanted = self.scale.examples.get(group)
        if wanted is None:
            return data
        return replace(data, test_examples=wanted if data.test_examples is None else min(wanted, data.test_examples))

    def transfer(self, artifact: Artifact, rows: Sequence[Row], seed: int) -> TransferJob | None:
        """Return the source x target matrix of rows of an artifact (Table 2), None of fewer than two."""
        trainings = [self.training(row, "adversarial", seed) for row in rows]
        there = tuple(each for each in trainings if each is not None)
        if len(there) < 2:
            return None
        first = there[0]
        config = TransferConfig(
            name=f"{self.scale.name}-{artifact.key}",
            data=self._test_images(first.config.data, "transfer"),
            eps=self.scale.images[first.dataset].eps,
            batch_size=self.scale.evaluate.get("batch_size", 100),
        )
        return TransferJob(there, self.scale.checkpoints[0], config)

    def landscape(self, row: Row, column: Column, seed: int) -> LandscapeJob | None:
        """Return the loss surface of a row after the column's training (Figures 3, A4, A5)."""
        assert column.recipe is not None
        training = self.training(row, column.recipe, seed)
        if training is None:
            return None
        eps = self.scale.images[row.dataset].eps
        own = {"name": f"{training.config.name}-landscape", "extent": 2 * eps, **self.scale.landscape}
        config = configs.from_dict(LandscapeConfig, own, where=f"scale {self.scale.name}: landscape")
        return LandscapeJob(training, self.checkpoints(column)[0], replace(config, data=training.config.data))


def plan_of(
    names: Sequence[str],
    scale: Scale,
    added: Sequence[Row] = (),
    seeds: Sequence[int] = (),
    rows: Sequence[str] = (),
) -> Plan:
    """Return the plan of some artifacts (`all`: every one), with architectures added to each table.

    `rows` restricts what is run to rows by name (and those added), the rest of the artifacts stays empty. Raises
    ConfigError for an unknown name.
    """
    artifacts = tuple(_on_images(one, scale) for one in paper().select(names, added))
    only = frozenset(chosen_rows(artifacts, [*rows, *(row.key for row in added)])) if rows else frozenset()
    return Plan(replace(scale, seeds=tuple(seeds) or scale.seeds), artifacts, only)


def _on_images(artifact: Artifact, scale: Scale) -> Artifact:
    """Return an artifact of several data sets with further rows on images that the scale has besides the paper's."""
    datasets = list(dict.fromkeys(row.dataset for row in artifact.rows))
    if len(datasets) < 2:
        return artifact
    further = [name for name in scale.images if name not in (*datasets, "cifar10")]
    first = [row for row in artifact.rows if row.dataset == datasets[0]]
    own = [replace(row, key=f"{name}/{row.key.partition('/')[2]}", dataset=name) for name in further for row in first]
    return replace(artifact, rows=(*artifact.rows, *own))
