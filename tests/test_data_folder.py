"""Class folders of one's own, with and without a split."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advrush.data import load_dataset
from advrush.errors import DataError
from data_files import Pixels, class_folders, png


def test_separate_folders_read_back_exactly(tmp_path: Path) -> None:
    parts = {part: Pixels(6, 2, 9, seed) for seed, part in enumerate(("train", "test", "val"))}
    for part, pixels in parts.items():
        class_folders(tmp_path / part, pixels)
    dataset = load_dataset("own", data_dir=tmp_path)
    assert dataset.validation is not None and dataset.classes == ("class_0", "class_1")
    for split, part in ((dataset.train, "train"), (dataset.test, "test"), (dataset.validation, "val")):
        order = [0, 2, 4, 1, 3, 5]  # class by class
        assert torch.equal(split.images, torch.from_numpy(parts[part].x[order]).permute(0, 3, 1, 2))
        assert split.labels.tolist() == [0, 0, 0, 1, 1, 1]
    flat = parts["train"].x.reshape(-1, 3) / 255
    assert dataset.mean == pytest.approx(flat.mean(axis=0)) and dataset.std == pytest.approx(flat.std(axis=0))


def test_without_a_split_a_fifth_of_each_class_is_held_out(tmp_path: Path) -> None:
    class_folders(tmp_path, Pixels(30, 3, 5, 0))
    one, two = load_dataset("own", data_dir=tmp_path), load_dataset("own", data_dir=tmp_path)
    assert one.train.labels.bincount().tolist() == [8] * 3 and one.test.labels.bincount().tolist() == [2] * 3
    assert one.checksum == two.checksum
    every = torch.cat([one.train.images, one.test.images]).flatten(1)
    assert len(every.unique(dim=0)) == 30


def test_gray_stays_gray_and_a_mixture_becomes_color(tmp_path: Path) -> None:
    pixels = Pixels(20, 2, 5, 0)
    pixels.x = pixels.x[..., :1]
    assert load_dataset("own", data_dir=class_folders(tmp_path, pixels)).channels == 1
    (tmp_path / "class_0" / "color.png").write_bytes(png(np.zeros((5, 5, 3), np.uint8)))
    assert load_dataset("own", data_dir=tmp_path).channels == 3


def _sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((5, 5), 4000, np.uint16)).save(path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: p.write_bytes(b""), r"new\.png: damaged, 0 bytes"),
        (lambda p: p.write_text("no image"), r"new\.png: damaged, 8 bytes \(not an image\)"),
        (lambda p: p.write_bytes(png(np.zeros((7, 7, 3), np.uint8))), r"new\.png: 7x7 pixels; expected 5x5 as"),
        (_sixteen_bits, r"new\.png: pixels of mode I;16; expected 8 bits"),
    ],
)
def test_a_file_that_does_not_fit_is_named(write: object, message: str, tmp_path: Path) -> None:
    class_folders(tmp_path, Pixels(20, 2, 5, 0))
    write(tmp_path / "class_1" / "new.png")  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        load_dataset("own", data_dir=tmp_path)


def test_a_missing_test_folder_is_named(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", Pixels(6, 2, 5, 0))
    with pytest.raises(DataError, match="has train but no images below test"):
        load_dataset("own", data_dir=tmp_path)


def test_a_class_that_is_only_in_the_test_folder_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", Pixels(6, 2, 5, 0))
    class_folders(tmp_path / "test", Pixels(6, 3, 5, 0))
    with pytest.raises(DataError, match="class class_2 is not below train; expected one of class_0, class_1"):
        load_dataset("own", data_dir=tmp_path)


@pytest.mark.parametrize(
    "litter", [".cache", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__pycache__"]
)
def test_hidden_and_system_folders_are_no_classes(tmp_path: Path, litter: str) -> None:
    for name in ("a", "b", litter):
        for i in range(4):
            place = tmp_path / "train" / name
            place.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (i, 0, 0)).save(place / f"{i}.png")
            (tmp_path / "test" / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (i, 9, 0)).save(tmp_path / "test" / name / f"{i}.png")
    (tmp_path / "train" / "a" / "._0.png").write_bytes(b"shadow")
    data = load_dataset("mine", data_dir=tmp_path)
    assert data.classes == ("a", "b")
    assert len(data.train) == 8


@pytest.mark.parametrize("ending", ["webp", "tif", "tiff", "gif", "bmp", "PNG", "jpe", "jfif"])
def test_common_forms_are_read(tmp_path: Path, ending: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new("L", (4, 4), 10 * i).save(tmp_path / name / f"{i}.{ending}", "JPEG" if ending == "jfif" else None)
    data = load_dataset("mine", data_dir=tmp_path)
    assert len(data.train) + len(data.test) == 10


@pytest.mark.parametrize(
    "kind",
    [
        "empty class", "folder called like an image", "broken link", "broken link for a class", "link to itself",
        "form not read", ".ppm", ".tga", "no ending", "images in a folder of a class", "images deep in a class",
    ],
)  # fmt: skip
def test_what_would_vanish_in_silence_is_named(tmp_path: Path, kind: str) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"{i}.png")
    named = tmp_path / "b" / "odd.png"
    match kind:
        case "empty class":
            named = tmp_path / "b"
            for file in named.iterdir():
                file.unlink()
        case "folder called like an image":
            named.mkdir()
        case "broken link":
            named.symlink_to(tmp_path / "gone.png")
        case "broken link for a class" | "link to itself":
            named = tmp_path / "d"
            named.symlink_to("gone" if kind.startswith("broken") else "d")
        case ".ppm" | ".tga":
            named = named.with_suffix(kind)
            Image.new("RGB", (4, 4)).save(named)
        case "no ending":
            named = tmp_path / "b" / "odd"
            Image.new("RGB", (4, 4)).save(named, "PNG")
        case "images in a folder of a class" | "images deep in a class":
            named = tmp_path / ("b" if kind.startswith("images in") else "d") / "more"
            named.mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(named / "0.png")
        case _:
            named = named.with_suffix(".heic")
            named.write_bytes(b"x")
    with pytest.raises(DataError, match=re.escape(str(named))):
        load_dataset("mine", data_dir=tmp_path)


def test_an_image_beside_the_classes_is_named(tmp_path: Path) -> None:
    for part in ("train", "test"):
        class_folders(tmp_path / part, Pixels(6, 2, 5, 0))
    (tmp_path / "train" / "lost.png").write_bytes(png(np.zeros((5, 5, 3), np.uint8)))
    with pytest.raises(DataError, match=r"lost\.png: an image beside"):
        load_dataset("mine", data_dir=tmp_path)


@pytest.mark.parametrize("place", ["class", "file"])
def test_names_that_are_not_utf8_are_shown(tmp_path: Path, place: str) -> None:
    class_folders(tmp_path, Pixels(12, 2, 5, 0))
    old = tmp_path / "class_0" if place == "class" else next((tmp_path / "class_0").iterdir())
    try:
        os.rename(os.fsencode(old), os.path.join(os.fsencode(old.parent), b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DataError, match="not UTF-8") as failure:
        load_dataset("mine", data_dir=tmp_path)
    assert str(failure.value).isascii()


def test_an_accent_of_its_own_is_the_same_class(tmp_path: Path) -> None:
    for part, form in (("train", "NFC"), ("test", "NFD")):
        class_folders(tmp_path / part, Pixels(6, 2, 5, 0))
        (tmp_path / part / "class_0").rename(tmp_path / part / unicodedata.normalize(form, "caf\u00e9"))
    assert load_dataset("mine", data_dir=tmp_path).classes == ("caf\u00e9", "class_1")


def test_the_side_that_is_up_is_the_cameras(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    note = Image.Exif()
    note[0x112] = 6  # to be turned by 90 degrees
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.jpg", exif=note, quality=100)
    image = load_dataset("mine", data_dir=tmp_path).train.images[0]
    assert image[:, :, 4:].min() > 200 and image[:, :, :4].max() < 50


def test_gray_beside_colored_images_become_three_channels(tmp_path: Path) -> None:
    for part, mode in (("train", "RGB"), ("test", "L")):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.new(mode, (4, 4)).save(tmp_path / part / name / "0.png")
    data = load_dataset("mine", data_dir=tmp_path)
    assert data.train.images.shape[1] == data.test.images.shape[1] == 3
