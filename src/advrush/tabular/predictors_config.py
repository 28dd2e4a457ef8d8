"""Configuration of predictors judged by a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from advrush.config import check
from advrush.data.config import DataConfig
from advrush.tabular.config import NetworkSize
from advrush.training.config import TrainConfig


@dataclass(frozen=True)
class PredictorsConfig:
    """Scores of networks judged by what a table says of them."""

    name: str = "predictors"
    """Name of the run, in front of the digest."""
    measure: str = ""
    """The column that is to be foretold."""
    predictors: tuple[str, ...] = ("all",)
    """Names of scores, or all: l_lambda, frobenius, lambda_max, gradient_norm, synflow, ntk_condition, agreement; those
    that only count (parameters, macs, convolutions) are always there."""
    state: Literal["init", "trained", "inherited"] = "init"
    """The networks' weights: as initialized, after the training below, or inherited from the supernet of a search."""
    supernet: str = ""
    """Of `inherited`: the search, as search/NAME-DIGEST; taken from --inherit."""
    rows: int | None = None
    """Take so many rows, drawn at random (all unless given)."""
    images: int = 16
    """Images that the networks are probed with, of the training set."""
    h: float = 1.5
    """Length of L_lambda's step, in the units of the network's input."""
    eps: float = 0.03137254901960784
    """Perturbation of the score `agreement`, in [0, 1] pixel units (8/255 unless given)."""
    network: NetworkSize = field(default_factory=NetworkSize)
    """The networks that the rows stand for."""
    data: DataConfig = field(default_factory=DataConfig)
    """The images."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Of `trained`: the training of each row's network; its architecture, sizes and data are those above."""
    seed: int = 0
    """Seed of the initialization, the same for every row, and of the choice of rows and images."""

    def __post_init__(self) -> None:
        check(len(self.predictors) > 0, "predictors", self.predictors, "at least one, or all")
        check(self.rows is None or self.rows >= 3, "rows", self.rows, "a whole number >= 3")
        check(self.images >= 2, "images", self.images, "a whole number >= 2")
        check(self.h > 0, "h", self.h, "a number > 0")
        check(0 < self.eps < 1, "eps", self.eps, "a number between 0 and 1, such as 8/255")
