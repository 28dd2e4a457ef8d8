"""Resolve the arguments of `analyze architecture`: names, genotypes, files, searches, trainings, evaluations."""

from __future__ import annotations

import json
from dataclasses import dataclass

from advrush.analysis.config import ArchitectureConfig
from advrush.analysis.scores import Score, evaluations_beside, scores
from advrush.models.build import canonical, display_name, is_known
from advrush.models.weights.saved import Blueprint, read_blueprint
from advrush.run import Run
from advrush.searching import derive
from advrush.space import PUBLISHED, Architecture, resolve
from advrush.space.files import place_of, read_text


@dataclass(frozen=True)
class Subject:
    """An architecture at a size, its cells if it has some, and the scores of the network that was trained of it."""

    name: str
    blueprint: Blueprint
    architecture: Architecture | None
    scores: tuple[Score, ...] = ()

    @property
    def key(self) -> str:
        """Return a text that two subjects share if they are one architecture at one size."""
        plain = self.architecture.to_json() if self.architecture else self.blueprint.arch
        return json.dumps([plain, self.blueprint.channels, self.blueprint.layers, self.blueprint.num_classes])


def find_subject(text: str, config: ArchitectureConfig) -> Subject:
    """Return what a name, a genotype's text or file, a weights file, or a run of any stage stands for."""
    path = place_of(text, is_known)
    if path is not None and path.is_dir():
        return _of_run(Run.at(path), config)
    if path is not None and path.suffix == ".safetensors":
        blueprint = read_blueprint(path)
        return Subject(path.stem, blueprint, find_architecture(blueprint.arch))
    if path is not None and path.is_file():
        return _of_arch(read_text(path), config, name=path.stem)
    return _of_arch(text, config)


def _of_run(run: Run, config: ArchitectureConfig) -> Subject:
    label = run.path.resolve().name
    if run.stage == "search":
        return _of_arch(derive(run.path).to_json(), config, name=label)
    if run.stage == "evaluate":
        model = str(run.result().get("model", ""))
        training = Run.at(run.path.resolve().parent.parent / model)
        blueprint = read_blueprint(training.path)
        found = tuple(scores(training, [run]))
        return Subject(_named(blueprint.arch, training), blueprint, find_architecture(blueprint.arch), found)
    blueprint = read_blueprint(run.path)
    found = tuple(scores(run, evaluations_beside(run)))
    return Subject(_named(blueprint.arch, run), blueprint, find_architecture(blueprint.arch), found)


def _named(arch: str, run: Run) -> str:
    """Return the published name, or the training's."""
    name = display_name(arch)
    return run.path.resolve().name.rpartition("-")[0] if name == "genotype" else name


def _of_arch(text: str, config: ArchitectureConfig, *, name: str | None = None) -> Subject:
    architecture = find_architecture(text)
    arch = text if architecture is None else architecture.to_json()
    blueprint = Blueprint(arch, config.num_classes, config.image_size, channels=config.channels, layers=config.layers)
    published = display_name(text) if architecture is None else display_name(arch)
    return Subject((name or "genotype") if published == "genotype" else published, blueprint, architecture)


def find_architecture(text: str) -> Architecture | None:
    """Return the cells of a published name or a genotype's text, None for a network that has no genotype.

    Raises ConfigError for an unknown name, GenotypeError for a text that no search space reads.
    """
    found = resolve(text)
    if found is not None:
        return found
    name = canonical(text)
    return {known.lower(): genotype for known, genotype in PUBLISHED.items()}.get(name)
