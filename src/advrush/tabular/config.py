"""Configurations of the benchmarks by table."""

from __future__ import annotations

from dataclasses import dataclass, field

from advrush.attacks.config import PGDConfig
from advrush.config import check
from advrush.searching.config import SearchConfig
from advrush.searching.seeds import seeds_of


@dataclass(frozen=True)
class NetworkSize:
    """The networks that a table's rows stand for."""

    channels: int | None = None
    """Channels of the first cells; the space's own unless given."""
    layers: int | None = None
    """Cells; the space's own unless given."""

    def __post_init__(self) -> None:
        for name in ("channels", "layers"):
            value = getattr(self, name)
            check(value is None or value >= 1, f"network.{name}", value, "a whole number >= 1")


@dataclass(frozen=True)
class InheritedScores(PGDConfig):
    """How a supernet's own opinion of the rows is measured, with the weights that they inherit from it."""

    PART = "scores"

    images: int = 256
    """Test images of the search's data set."""
    recalibration_images: int = 512
    """Training images from which each row's batch-norm statistics are taken anew."""
    eps: float = 0.03137254901960784
    """Radius of the PGD attack, in [0, 1] pixel units (8/255 unless given)."""
    step_size: float = 0.00784313725490196
    """Length of its steps, in [0, 1] pixel units (2/255 unless given)."""
    rows: int | None = None
    """Score so many rows, drawn at random (all unless given)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.images >= 2, "scores.images", self.images, "a whole number >= 2")
        value = self.recalibration_images
        check(value >= 2, "scores.recalibration_images", value, "a whole number >= 2")
        check(self.rows is None or self.rows >= 3, "scores.rows", self.rows, "a whole number >= 3")


@dataclass(frozen=True)
class BenchmarkConfig:
    """Searches judged by a table."""

    name: str = "benchmark"
    """Name of the run, in front of the digest."""
    measure: str = ""
    """The column that the finds are judged by."""
    searches: tuple[str, ...] = ("advrush", "darts", "random", "best-of-20", "largest")
    """Objectives, perhaps with fields of their own (advrush:gamma=0.1), random, largest, best-of-N."""
    seeds: str = "0..7"
    """Seeds of each: a range such as 0..7 or a list such as 0,2,5."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """What all searches have in common; its objective and seed are those of the lists above."""
    network: NetworkSize = field(default_factory=NetworkSize)
    """The networks that the rows stand for: `largest` counts their parameters."""
    scores: InheritedScores = field(default_factory=InheritedScores)
    """For a table that holds a sample of its space: how each supernet scores the rows."""

    def __post_init__(self) -> None:
        check(len(self.searches) > 0, "searches", self.searches, "at least one method")
        seeds = seeds_of(self.seeds)
        check(len(set(seeds)) == len(seeds), "seeds", self.seeds, "each seed once")
