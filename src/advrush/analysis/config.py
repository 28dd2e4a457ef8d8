"""Configurations of the analyses; lengths of perturbations are in pixels of [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from advrush.config import check, check_radius
from advrush.data import DataConfig


@dataclass(frozen=True)
class ArchitectureConfig:
    """Table 6: anatomy, sizes and robustness scores of any number of architectures."""

    name: str = "architecture"
    """Name of the run, in front of the digest."""
    models: tuple[str, ...] = ()
    """The architectures: filled in by the command."""
    evaluations: tuple[str, ...] = ()
    """Digests of the evaluations that the scores are from: filled in by the command."""
    channels: int | None = None
    """Channels of architectures given by name; the published ones unless given."""
    layers: int | None = None
    """Cells of architectures given by name; the published number unless given."""
    num_classes: int = 10
    """Classes of architectures given by name."""
    image_size: int = 32
    """Side of the images of architectures given by name, in pixels."""


@dataclass(frozen=True)
class OneNetwork:
    """What is measured, of an analysis that takes one network: the network and some test images."""

    model: str = ""
    """The network: filled in by the command."""
    weights: str = ""
    """Digest of the network's weights: filled in."""
    data: DataConfig = field(default_factory=DataConfig)
    """The data set; `images` of its test split are used."""
    images: int = 128
    """Test images, the same share of each class."""

    def __post_init__(self) -> None:
        check(self.images >= 1, "images", self.images, "a whole number >= 1")


@dataclass(frozen=True)
class CurvatureConfig(OneNetwork):
    """The input Hessian's spectrum, image by image."""

    name: str = "curvature"
    """Name of the run, in front of the digest."""
    method: Literal["auto", "exact", "lanczos"] = "auto"
    """exact: one product for each class, for piecewise linear networks; lanczos: for all; auto: checks which."""
    tolerance: float = 1e-6
    """Largest relative error of lambda_max where Lanczos finds it."""
    steps: int = 100
    """Most Hessian-vector products of Lanczos for an image."""
    probes: int = 16
    """Random vectors for trace and Frobenius norm, beyond what Lanczos found."""
    whole: bool = False
    """Let Lanczos go on to `steps`: with as many as an image has numbers, all eigenvalues."""
    h: float = 1.5
    """Length of the step of L_lambda, as a 2-norm in pixels."""
    batch_size: int = 50
    """Images at once."""
    seed: int = 0
    """Seed of Lanczos's first vectors, of the probes and of the bootstrap."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 < self.tolerance < 1, "tolerance", self.tolerance, "a number between 0 and 1, such as 1e-6")
        check(self.steps >= 2, "steps", self.steps, "a whole number >= 2")
        check(self.probes >= 1, "probes", self.probes, "a whole number >= 1")
        check(self.h > 0, "h", self.h, "a number > 0, such as 1.5")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "a whole number >= 1")


@dataclass(frozen=True)
class LandscapeConfig(OneNetwork):
    """The loss on a plane through an image (or through the weights), Eq. 1."""

    name: str = "landscape"
    """Name of the run, in front of the digest."""
    around: Literal["input", "weights"] = "input"
    """What is moved: the image, or the weights along two random directions with the norms of the filters."""
    direction: Literal["normal", "sign"] = "normal"
    """First direction in the image: the gradient of the loss, or its sign; the second is random, orthogonal to it."""
    extent: float | None = None
    """Half side of the plane. Images: root mean square over the pixels, in [0, 1] pixels, 0.062 (twice the paper's
    eps) unless given. Weights: in norms of each filter, 0.5 unless given."""
    points: int = 51
    """Points along each side; odd, so that the middle is the image itself."""
    batch_size: int = 512
    """Images at once."""
    seed: int = 0
    """Seed of the random directions and of the bootstrap."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.extent is None or self.extent > 0, "extent", self.extent, "a number > 0, such as 0.062")
        check(self.points >= 3 and self.points % 2 == 1, "points", self.points, "an odd number >= 3, such as 51")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "a whole number >= 1")

    @property
    def half_side(self) -> float:
        """Return the extent, or what it is where none is given."""
        return self.extent if self.extent is not None else (0.062 if self.around == "input" else 0.5)


@dataclass(frozen=True)
class PathConfig:
    """Theorem 1: curvature and adversarial loss along a curve from standard to adversarially trained weights."""

    name: str = "path"
    """Name of the run, in front of the digest."""
    models: tuple[str, ...] = ()
    """Both networks and the digests of their weights: filled in by the command."""
    data: DataConfig = field(default_factory=DataConfig)
    """The data set: the bend is trained on its training split, `images` of its test split are measured."""
    points: int = 11
    """Networks along the curve, both ends included."""
    epochs: int = 10
    """Epochs of the bend's training."""
    lr: float = 0.01
    """Learning rate of the bend's training (SGD, momentum 0.9), falling to 0 as a cosine."""
    weight_decay: float = 0.0
    """L2 penalty on the point of the curve that a step trains."""
    batch_size: int = 64
    """Images of a step, of the recomputation of BN statistics and of the attack."""
    statistics_images: int = 2048
    """Training images that BN statistics are recomputed on at each point (fewer where there are fewer)."""
    images: int = 128
    """Test images that are measured, the same share of each class."""
    eps: float = 0.031
    """Radius of the Linf ball of the adversarial loss, in [0, 1] pixels."""
    attack_steps: int = 20
    """Steps of PGD, of length eps / 4."""
    restarts: int = 2
    """Random starts of PGD; of all steps of all starts the largest loss counts."""
    seed: int = 0
    """Seed of the batches, of the attack's starts and of the bootstrap."""

    def __post_init__(self) -> None:
        check(self.points >= 3, "points", self.points, "a whole number >= 3")
        check(self.epochs >= 0, "epochs", self.epochs, "a whole number >= 0")
        check(self.lr > 0, "lr", self.lr, "a number > 0")
        check(self.weight_decay >= 0, "weight_decay", self.weight_decay, "a number >= 0")
        check(self.batch_size >= 2, "batch_size", self.batch_size, "a whole number >= 2")
        check(self.statistics_images >= 2, "statistics_images", self.statistics_images, "a whole number >= 2")
        check(self.images >= 1, "images", self.images, "a whole number >= 1")
        check_radius("eps", self.eps)
        check(self.attack_steps >= 1, "attack_steps", self.attack_steps, "a whole number >= 1")
        check(self.restarts >= 1, "restarts", self.restarts, "a whole number >= 1")
