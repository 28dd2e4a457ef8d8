"""One thread for each test process: deterministic sums, and workers that do not fight over the cores."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy; test processes and their children inherit it

import pytest
import torch
from hypothesis import settings

from hostile import MORE

torch.set_num_threads(1)
settings.register_profile("suite", derandomize=MORE == 1, deadline=None, database=None)
settings.load_profile("suite")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each of `-n` processes files in one piece, so that a file's fixtures are made once."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep decoded data sets of tests out of the user's cache."""
    monkeypatch.setenv("ADVRUSH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"needs the folder of real data sets ../shared/data beside the checkout ({folder} is absent)")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the runs of a small network trained adversarially and of the same one trained standardly, evaluated.

    The first test process that needs them makes them; each has a copy of its own.
    """
    base = tmp_path_factory.getbasetemp()
    place = base.parent / "trained" if "PYTEST_XDIST_WORKER" in os.environ else base / "trained"
    done = place.with_name("trained.done")
    try:
        place.mkdir()
    except FileExistsError:
        until = time.monotonic() + 240
        while not done.exists():
            assert time.monotonic() < until, f"another test process has not finished {place}"
            time.sleep(0.1)
    else:
        train_both(place)
        done.touch()
    runs = tmp_path_factory.mktemp("runs") / "trained"
    shutil.copytree(place, runs)
    adversarial, standard = (next((runs / "train").glob(f"{name}-*")) for name in ("pgd", "standard"))
    return adversarial, standard


def train_both(runs: Path) -> None:
    """Train a small network adversarially and standardly, and evaluate both."""
    from advrush import EvaluateConfig, evaluate
    from advrush import config as configs
    from advrush.commands.options import read_recipe
    from advrush.training import TrainConfig, train

    plain = configs.to_dict(read_recipe("train", TrainConfig, "smoke"))
    for objective in ("pgd", "standard"):
        config = configs.from_dict(TrainConfig, {**plain, "name": objective, "objective": objective})
        run = train(config, runs_dir=runs, display=False)
        data = {"dataset": "digits", "test_examples": 30}
        attack = configs.from_dict(EvaluateConfig, {"data": data, "attacks": ["fgsm", "pgd20"]})
        evaluate(run.path, attack, runs_dir=runs, display=False)
