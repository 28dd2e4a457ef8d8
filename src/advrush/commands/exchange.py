"""`advrush import` and `advrush export`: weights of other programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from advrush.atomic_write import write_atomically
from advrush.commands.addresses import run_of
from advrush.commands.options import words_and_options
from advrush.commands.output import print_json
from advrush.commands.train import architecture
from advrush.config import check
from advrush.errors import ConfigError
from advrush.evaluation.model_info import model_info
from advrush.evaluation.normalization import normalization
from advrush.models.build import display_name
from advrush.models.count import parameters
from advrush.models.weights.export import export
from advrush.models.weights.import_darts import import_network, layout, space_of
from advrush.models.weights.saved import Blueprint, class_metadata, load, read_blueprint, read_classes
from advrush.models.weights.state_dict import read_state
from advrush.progress import plain_console
from advrush.run import Run


@dataclass(frozen=True)
class ImportOptions:
    """How a checkpoint of the published code becomes a network of this one."""

    arch: str | None = None
    """The architecture, which has to be given: a name (advrush, pdarts, resnet18, ...), a genotype's text, a file
    with one, a search run."""
    out: Path = Path("imported.safetensors")
    """Where the network goes; `advrush evaluate` takes this file."""
    image_size: int = 32
    """Side of the images it takes, in pixels."""
    normalize: str | None = None
    """Normalization of its inputs, which becomes the first layer, so that it takes pixels: a data set (cifar10,
    imagenet, ...) or MEAN/STD, such as 0.5,0.5,0.5/0.2,0.2,0.2."""
    json: bool = False
    """Print what was written as JSON on standard output."""


def import_checkpoint(arguments: list[str]) -> None:
    """Read a checkpoint in the layout of the published DARTS and AdvRush code."""
    one = "checkpoint, as in `advrush import model_best.pth.tar --arch ADVRUSH`"
    words, options = words_and_options(arguments, "import", ImportOptions, one=one)
    if options.arch is None:
        raise ConfigError(
            f"arch: got nothing; expected the architecture of the checkpoint, as in `advrush import {words[0]} "
            "--arch ADVRUSH`"
        )
    path, arch = Path(words[0]), architecture(options.arch)
    model = import_network(path, arch, image_size=options.image_size)
    sizes = layout(read_state(path), space=space_of(arch))
    mean, std = (None, None) if options.normalize is None else normalization(options.normalize)
    blueprint = Blueprint(
        arch, sizes.num_classes, options.image_size, sizes.in_channels, sizes.channels, sizes.layers, sizes.auxiliary,
        mean, std,
    )  # fmt: skip
    whole = blueprint.build()
    inner = whole.model if mean else whole
    assert isinstance(inner, nn.Module)
    inner.load_state_dict(model.state_dict())
    export(
        whole, options.out, image_size=options.image_size, in_channels=sizes.in_channels,
        metadata=blueprint.to_metadata(),
    )  # fmt: skip
    count = parameters(whole)
    if options.json:
        print_json({"out": str(options.out), "parameters": count, "classes": sizes.num_classes})
        return
    plain_console().print(f"{count:,} parameters, {sizes.num_classes} classes\n{options.out}")


def _export_record(run: Run, options: ExportOptions) -> None:
    """Write an evaluation as RobustBench's leaderboard keeps it."""
    result = run.result()
    check(run.stage == "evaluate", "export", run.path.name, "an evaluation, for a record of RobustBench's form (.json)")
    name = str(result["model"])
    training = run.path.resolve().parent.parent / "/".join(name.split("/")[:2])
    known = training.is_dir() and (training / "config.toml").is_file()
    record = model_info(result, name=name, architecture=display_name(read_blueprint(training).arch) if known else name)
    write_atomically(options.out, json.dumps(record, indent=2) + "\n")
    if options.json:
        print_json(record)
        return
    plain_console().print(f"{options.out}\nadd authors, venue and link of your paper")


@dataclass(frozen=True)
class ExportOptions:
    """Where an exported network goes."""

    out: Path = Path("model.onnx")
    """A file ending in .onnx, .pt2 (torch.export) or .safetensors; of an evaluation in .json, in RobustBench's form."""
    json: bool = False
    """Print what was written as JSON on standard output."""


def export_network(arguments: list[str]) -> None:
    """Write a trained network for other programs, checked against the network itself."""
    one = "training run or weights file, as in `advrush export RUN --out model.onnx`"
    words, options = words_and_options(arguments, "export", ExportOptions, one=one)
    run = run_of(words[0])
    if options.out.suffix == ".json":
        _export_record(Run.at(Path(run)), options)
        return
    model, blueprint = load(run), read_blueprint(run)
    difference = export(
        model, options.out, image_size=blueprint.image_size, in_channels=blueprint.in_channels,
        metadata=blueprint.to_metadata() | class_metadata(read_classes(run)),
    )  # fmt: skip
    if options.json:
        print_json({"out": str(options.out), "largest_difference": difference})
        return
    console = plain_console()
    console.print(f"{options.out}\nlargest difference of the logits on random pixels: {difference:.2g}")
