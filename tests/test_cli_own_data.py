"""The road for own data as typed: names from folders, images of any size, counts as limits, lines to paste."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advrush.cli import main
from advrush.commands.own_data import name_of, settle
from advrush.config import load
from advrush.data import DataConfig, load_dataset
from advrush.errors import AdvrushError, DataError
from advrush.training import TrainConfig


def make_images(folder: Path, sizes: list[tuple[int, int]], count: int = 40) -> Path:
    """Write two classes of noisy bright and dark images, of the given sizes (width, height) in turn."""
    draw = np.random.default_rng(0)
    for label, brightness in (("bright", 170), ("dark", 40)):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            width, height = sizes[number % len(sizes)]
            pixels = draw.integers(brightness, brightness + 60, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number:03}.png")
    return folder


def test_the_name_is_the_folders(tmp_path: Path) -> None:
    folder = make_images(tmp_path / "my images", [(8, 8)])
    found = settle(DataConfig(train_examples=2000), folder, [])
    assert (found.data.dataset, found.data.train_examples, found.data.image_size) == ("my_images", None, None)
    assert (found.train, found.test) == (64, 16)
    assert found.data.load(folder).name == "my_images"
    few = settle(DataConfig(train_examples=20, test_examples=6), folder, [])
    assert (few.train, few.test) == (20, 6)
    typed = settle(DataConfig("birds", train_examples=2000), folder, ["--data.dataset", "birds"])
    assert typed.data.dataset == "birds"


def test_a_typed_count_is_no_limit_but_a_wish(tmp_path: Path) -> None:
    folder = make_images(tmp_path / "pets", [(8, 8)])
    found = settle(DataConfig(train_examples=2000), folder, ["--data.train-examples", "2000"])
    with pytest.raises(AdvrushError, match=r"data.train_examples: got 2000; expected at most 64"):
        found.data.load(folder)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("my images", "my_images"), ("CIFAR-10", "cifar10"), ("-x-", "x"), ("Größe.v2", "Größe.v2"), ("!!", "images")],
)
def test_names_of_folders(folder: str, name: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    assert name_of(tmp_path / folder) == name


def test_a_place_that_is_not_there_or_holds_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder; --data-dir"):
        settle(DataConfig(), tmp_path / "absent", [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"emty: no such file or folder \(did you mean 'empty'\?\)"):
        settle(DataConfig(), tmp_path / "emty", [])
    with pytest.raises(DataError, match="no cifar10 in it"):
        settle(DataConfig(), tmp_path / "empty", [])
    (tmp_path / "svhn").mkdir()
    with pytest.raises(DataError, match="no svhn in it"):
        settle(DataConfig(), tmp_path / "svhn", [])


def test_the_folder_of_one_class_is_not_taken_for_the_data(tmp_path: Path) -> None:
    folder = make_images(tmp_path / "all", [(8, 8)], 10)
    one = next(path for path in sorted(folder.iterdir()) if path.is_dir())
    with pytest.raises(DataError, match=r"images, but no folder for each class; perhaps .*all is meant"):
        settle(DataConfig(), one, [])


def test_images_of_any_size_are_resized_and_cropped(tmp_path: Path) -> None:
    folder = make_images(tmp_path / "photos", [(40, 20), (16, 64), (33, 33)])
    with pytest.raises(DataError, match=r"data\.image_size"):
        load_dataset("photos", data_dir=folder)
    dataset = load_dataset("photos", data_dir=folder, image_size=12)
    assert tuple(dataset.train.images.shape[1:]) == (3, 12, 12)
    assert settle(DataConfig(), folder, []).data.image_size == 32
    assert settle(DataConfig(image_size=12), folder, ["--data.image-size", "12"]).data.image_size == 12


def test_the_middle_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 10:20] = 200  # the square in the middle
    for label in ("a", "b"):
        (tmp_path / "mid" / label).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(pixels).save(tmp_path / "mid" / label / f"{number}.png")
    images = load_dataset("mid", data_dir=tmp_path / "mid", image_size=10).train.images
    assert (images == 200).all()


def test_squares_of_one_size_are_resized_as_before(tmp_path: Path) -> None:
    folder = make_images(tmp_path / "squares", [(16, 16)])
    data = DataConfig("squares", image_size=8)
    plain = load_dataset("squares", data_dir=folder, image_size=8)
    assert plain.image_size == 16
    assert data.load(folder).image_size == 8


def next_of(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("next")).removeprefix("next").strip()


def test_every_next_line_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def run_line(line: str) -> str:
        """Run a command line as pasted into a shell, a few images and epochs at a time."""
        words = shlex.split(line)
        assert words[0] == "advrush"
        short = {"train": ["--epochs", "1", "--channels", "4", "--layers", "3"], "search": ["--epochs", "1"]}
        code = main([*words[1:], *short.get(words[1], [])])
        told = capsys.readouterr()
        assert code == 0, told.err
        return told.out

    make_images(tmp_path / "my images", [(20, 12), (12, 12)], count=24)
    start = (
        "advrush search small --data-dir 'my images' --epochs 1 --warmup-epochs 0 --channels 2 --layers 3 "
        "--data.image-size 12 --runs-dir 'my runs'"
    )
    searched = run_line(start)
    trained = run_line(next_of(searched))
    tested = run_line(next_of(trained) + " --attacks fgsm")
    assert "my runs/evaluate" in tested
    config = load(TrainConfig, next((tmp_path / "my runs" / "train").iterdir()) / "config.toml")
    assert (config.data.dataset, config.data.image_size) == ("my_images", 12)


def test_a_network_of_fixed_depth_drops_the_recipes_depth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--arch", "ResNet-18", "--print-config"]
    assert main(["train", "smoke", *options]) == 0
    assert "layers" not in capsys.readouterr().out
    place: list[Any] = ["--runs-dir", str(tmp_path), "--data.train-examples", "40"]
    assert main(["train", "smoke", "--arch", "resnet18", "--layers", "3", *place]) == 2
    assert "its depth is fixed" in capsys.readouterr().err
