"""The whole chain in minutes on a CPU: handwritten digits that come with scikit-learn, nothing downloaded."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TypeVar

import torch

from advrush import config as configs
from advrush.evaluation import EvaluateConfig, evaluate
from advrush.progress import Display
from advrush.report import write_report
from advrush.run import Run
from advrush.searching import SearchConfig, derive, search
from advrush.training import TrainConfig, train

T = TypeVar("T")


RECIPES = Path(str(resources.files("advrush"))) / "recipes"


def demo(
    runs_dir: Path = Path("runs/demo"), *, device: str = "auto", display: bool = True, recipes: Path = RECIPES
) -> Path:
    """Search with L_lambda, derive, adversarially train the found network and a ResNet, attack both, write report.html.

    Interrupted and called again it goes on where it was; called once more it returns at once. Returns the report.
    `recipes` holds search/demo.toml, train/demo-network.toml, train/demo-resnet.toml and evaluate/demo.toml.
    """
    return demo_runs(runs_dir, device=device, display=display, recipes=recipes)[1]


def demo_runs(
    runs_dir: Path, *, device: str = "auto", display: bool = True, recipes: Path = RECIPES
) -> tuple[list[Run], Path]:
    """Do what `demo` does; return search, trainings and evaluations, and the report."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # 8x8 images are too small to share: threads would wait for each other longer than work
    try:
        return _chain(runs_dir, device, display, recipes)
    finally:
        torch.set_num_threads(threads)


def _chain(runs_dir: Path, device: str, display: bool, recipes: Path) -> tuple[list[Run], Path]:
    screen = Display("demo", show=display)
    screen.line("1/4  searching an architecture on 8x8 digits; L_lambda enters after the warm-up")
    found = search(
        _recipe(recipes / "search/demo.toml", SearchConfig), runs_dir=runs_dir, device=device, display=display
    )
    genotype = derive(found)
    screen.line("2/4  adversarially training the network that was found")
    ours = _recipe(recipes / "train/demo-network.toml", TrainConfig, arch=genotype.to_json())
    trained = [train(ours, runs_dir=runs_dir, device=device, display=display)]
    screen.line("3/4  adversarially training a ResNet of similar size")
    resnet = _recipe(recipes / "train/demo-resnet.toml", TrainConfig)
    trained.append(train(resnet, runs_dir=runs_dir, device=device, display=display))
    screen.line("4/4  attacking both")
    attack = _recipe(recipes / "evaluate/demo.toml", EvaluateConfig)
    tested = [evaluate(run.path, attack, runs_dir=runs_dir, device=device, display=display) for run in trained]
    runs = [found, *trained, *tested]
    title = "AdvRush in minutes: handwritten digits"
    return runs, write_report(runs_dir / "report.html", title=title, runs=[run.path for run in runs])


def _recipe(path: Path, cls: type[T], **values: str) -> T:
    config = configs.load(cls, path)
    return configs.from_dict(cls, {**configs.to_dict(config), **values})
