"""Choose the data of a command: a run's, a recipe's, or a folder of one's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from advrush.commands.options import Launch
from advrush.config import did_you_mean
from advrush.data import KNOWN, DataConfig, load_dataset, readers
from advrush.data.load import HUB
from advrush.data.raw import Source
from advrush.errors import ConfigError, DataError
from advrush.evaluation import find_target
from advrush.evaluation.trained_data import data_of, place_of

C = TypeVar("C", bound=Any)
L = TypeVar("L", bound=Launch)
SIDE = 32
"""Pixels to which images of several sizes are brought where nothing else is said."""


@dataclass(frozen=True)
class Settled:
    """The data of a command, where they lie, and how many training and test images they have."""

    data: DataConfig
    data_dir: Path | None
    train: int
    test: int


def settle(data: DataConfig, data_dir: Path | None, options: Sequence[str], *, source: Path | None = None) -> Settled:
    """Return which data are meant.

    Args:
        data: the recipe's data with the options that were typed.
        data_dir: the place that was typed.
        options: the words of the command line.
        source: a run whose data and place are taken where no other were typed.

    A place without a name is the recipe's data set where it holds that, else images of one's own named after the
    folder. Counts that were not typed are upper limits. Raises DataError where the data are not there.
    """
    typed = typed_options(options)
    named = "--data.dataset" in typed
    before = data_of(source) if source is not None else None
    wanted = [data.dataset]
    if before is not None and not named:
        if data_dir is None or before.dataset in KNOWN:
            wanted.insert(0, before.dataset)
        data_dir = data_dir or place_of(source)
    if data_dir is not None and str(data_dir) != HUB and not named:
        check_place(data_dir)
        data = replace(data, dataset=_name_for(data_dir, wanted, data))
    elif not named:
        data = replace(data, dataset=wanted[0])
    if before is not None and before.dataset == data.dataset:
        sized = data.image_size if "--data.image-size" in typed else before.image_size
        data = replace(data, image_size=sized, partial=data.partial or before.partial)
    if data_dir is not None and data.image_size is None and _of_several_sizes(data, data_dir):
        data = replace(data, image_size=SIDE)
    whole = load_dataset(data.dataset, data_dir=data_dir, partial=data.partial, image_size=data.image_size)
    train = len(whole.train)
    test = len(whole.test) + (train if data.test_all else 0)
    if (data.train_examples or 0) > train and "--data.train-examples" not in typed:
        data = replace(data, train_examples=None)
    if (data.test_examples or 0) > test and "--data.test-examples" not in typed:
        data = replace(data, test_examples=None)
    return Settled(data, data_dir, data.train_examples or train, data.test_examples or test)


def check_place(place: Path) -> None:
    """Raise DataError, with what is called alike beside it, where there is no such file or folder."""
    place = place.expanduser()
    if not place.exists():
        beside = [path.name for path in place.parent.iterdir()] if place.parent.is_dir() else []
        raise DataError(
            f"{place}: no such file or folder{did_you_mean(place.name, beside)}; --data-dir (data_dir=) names where "
            "the data set lies, or the folder that holds a folder for each class"
        )


def settle_for(config: C, launch: L, options: Sequence[str], target: str) -> tuple[C, L]:
    """Return configuration and launch with the data on which a network is measured: its own unless others are typed.

    Raises DataError where they are not there, and what is wrong with the network where that is the first mistake.
    """
    if launch.print_config and launch.data_dir is None and data_of(target) is None:
        return config, launch
    try:
        found = settle(config.data, launch.data_dir, options, source=Path(target))
    except DataError:
        find_target(target)
        raise
    return replace(config, data=found.data), replace(launch, data_dir=found.data_dir)


def typed_options(options: Sequence[str]) -> set[str]:
    """Return the names of the options that were typed, with dashes."""
    return {word.partition("=")[0].replace("_", "-") for word in options if word.startswith("--")}


def name_of(folder: Path) -> str:
    """Return a folder's name as that of a data set: `my images` as `my_images`, `CIFAR-10` as `cifar10`."""
    stem = folder.expanduser().resolve()
    text = stem.name if stem.is_dir() else stem.stem
    plain = re.sub(r"[\W_]", "", text.lower())
    for known in KNOWN:
        if plain == known.replace("_", ""):
            return known
    return re.sub(r"[^\w.-]+", "_", text).strip("_.-") or "images"


def _name_for(place: Path, wanted: Sequence[str], data: DataConfig) -> str:
    """Return the first known name whose data lie there, else the folder's own."""
    own, refused = name_of(place), None
    for name in dict.fromkeys(wanted):
        if name == own:
            return own
        if name not in KNOWN:
            continue
        try:
            load_dataset(name, data_dir=place, partial=data.partial)
            return name
        except (DataError, ConfigError) as error:
            refused = refused or error
    if refused is None or own in KNOWN or _source(own, place) is not None:
        return own
    raise refused


def _source(name: str, place: Path) -> Source | None:
    """Return what lies in a folder, or in its subfolder of that name; nothing is decoded."""
    for folder in (place / name, place):
        if folder.exists() and (found := readers.find(name, folder, None)) is not None:
            return found
    return None


def _of_several_sizes(data: DataConfig, place: Path) -> bool:
    """Return whether images of one's own can be read only when they are resized."""
    if data.dataset in KNOWN or data.dataset == "digits" or str(place) == HUB:
        return False
    source = _source(data.dataset, place.expanduser())
    return source is not None and source.fit is not None and source.fit(SIDE).form != source.form
