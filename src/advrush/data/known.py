"""The data sets that are known by name: sizes (Table A4), statistics, where to get them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from advrush.config import check
from advrush.errors import ConfigError
from advrush.reading.gate import shown


@dataclass(frozen=True)
class Known:
    """What is known of a data set before it is read."""

    name: str
    train: int
    test: int
    classes: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    hub: str
    """Name on the Hugging Face hub."""
    how: str
    """How to get it, in one sentence."""
    validation: int = 0
    hub_configuration: str | None = None
    """Which of the variants that the hub has under that name."""


_CIFAR = (
    "the archive cifar-{0}-python.tar.gz or cifar-{0}-binary.tar.gz (packed or unpacked) from "
    "https://www.cs.toronto.edu/~kriz/cifar.html"
)
_IDX = "the four files train-images-idx3-ubyte.gz, ... , t10k-labels-idx1-ubyte.gz from {0}"

KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        known.name: known
        for known in (
            Known(
                "cifar10", 50_000, 10_000, 10, 32,
                (0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768),
                "uoft-cs/cifar10", _CIFAR.format(10),
            ),
            Known(
                "cifar100", 50_000, 10_000, 100, 32,
                (0.50707516, 0.48654887, 0.44091785), (0.26733429, 0.25643846, 0.27615047),
                "uoft-cs/cifar100", _CIFAR.format(100),
            ),
            Known(
                "svhn", 73_257, 26_032, 10, 32,
                (0.4376821, 0.4437697, 0.47280442), (0.19803012, 0.20101562, 0.19703614),
                "ufldl-stanford/svhn",
                "train_32x32.mat and test_32x32.mat from http://ufldl.stanford.edu/housenumbers",
                hub_configuration="cropped_digits",
            ),
            Known(
                "tiny_imagenet", 100_000, 5_000, 200, 64,
                (0.48024579, 0.44807218, 0.39754775), (0.27698641, 0.26906449, 0.28208191),
                "zh-plus/tiny-imagenet",
                "tiny-imagenet-200.zip (packed or unpacked) from http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                validation=5_000,
            ),
            Known(
                "mnist", 60_000, 10_000, 10, 28,
                (0.13066048,), (0.30810781,),
                "ylecun/mnist", _IDX.format("https://ossci-datasets.s3.amazonaws.com/mnist"),
            ),
            Known(
                "fashion_mnist", 60_000, 10_000, 10, 28,
                (0.28604060,), (0.35302424,),
                "zalando-datasets/fashion_mnist",
                _IDX.format("https://github.com/zalandoresearch/fashion-mnist, Debian's package dataset-fashion-mnist"),
            ),
        )
    }
)  # fmt: skip
"""The canonical data sets by name; `digits` comes with scikit-learn, any other name is one's own data."""


def check_name(name: str) -> None:
    """Refuse a name that is no plain word, or that spells a known one in another way (`CIFAR-10`)."""
    check(bool(re.fullmatch(r"\w[\w.-]*", name)), "dataset", name, "a word such as cifar10 (its place is data_dir)")
    for known in (*KNOWN, "digits"):
        if name != known and re.sub(r"[\W_]", "", name.lower()) == known.replace("_", ""):
            raise ConfigError(f"dataset: got {shown(name)} (did you mean {known!r}?)")
