"""Tiny data sets written in every format that a reader knows, from the same random images."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from advrush.data import KNOWN, Known

TINY = {
    "cifar10": replace(KNOWN["cifar10"], train=20, test=10),
    "cifar100": replace(KNOWN["cifar100"], train=200, test=100),
    "svhn": replace(KNOWN["svhn"], train=30, test=20),
    "tiny_imagenet": replace(KNOWN["tiny_imagenet"], train=12, test=4, validation=4, classes=4, image_size=8),
}
"""The known data sets with the counts that the tiny files have: what a test passes in place of the table's row."""


class Pixels:
    """Random images uint8 (N, H, W, 3) with labels that go round the classes."""

    def __init__(self, count: int, classes: int, size: int, seed: int) -> None:
        self.x = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        self.y = np.arange(count) % classes


def pixels_of(known: Known) -> tuple[Pixels, Pixels]:
    """Return (train, test) of the right counts; test holds the validation images too where there are any."""
    train = Pixels(known.train, known.classes, known.image_size, 1)
    return train, Pixels(known.test + known.validation, known.classes, known.image_size, 2)


def png(x: np.ndarray) -> bytes:
    """Return the image (H, W), (H, W, 1) or (H, W, 3) as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(x[..., 0] if x.ndim == 3 and x.shape[-1] == 1 else x).save(content, "PNG")
    return content.getvalue()


def cifar_rows(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def names_of(known: Known) -> list[str]:
    return [f"class_{i}" for i in range(known.classes)]


def cifar_python(root: Path, known: Known, *, protocol: int = 2, keys: type = bytes) -> Path:
    """Write the python version; protocol 2 with keys of bytes is what the published files look like in Python 3."""
    train, test = pixels_of(known)
    fine = known.name == "cifar100"
    folder = root / ("cifar-100-python" if fine else "cifar-10-batches-py")
    folder.mkdir(parents=True)

    def text(value: str) -> bytes | str:
        return value.encode() if keys is bytes else value

    def dump(file: str, content: dict[str, object]) -> None:
        (folder / file).write_bytes(pickle.dumps({text(k): v for k, v in content.items()}, protocol=protocol))

    def batch(file: str, x: np.ndarray, y: np.ndarray) -> None:
        dump(file, {"data": cifar_rows(x), "fine_labels" if fine else "labels": y.tolist()})

    if fine:
        batch("train", train.x, train.y)
        batch("test", test.x, test.y)
        dump("meta", {"fine_label_names": [text(name) for name in names_of(known)]})
        return folder
    for i in range(5):
        rows = slice(i * known.train // 5, (i + 1) * known.train // 5)
        batch(f"data_batch_{i + 1}", train.x[rows], train.y[rows])
    batch("test_batch", test.x, test.y)
    dump("batches.meta", {"label_names": [text(name) for name in names_of(known)]})
    return folder


def cifar_binary(root: Path, known: Known) -> Path:
    train, test = pixels_of(known)
    fine = known.name == "cifar100"
    folder = root / ("cifar-100-binary" if fine else "cifar-10-batches-bin")
    folder.mkdir(parents=True)

    def batch(file: str, x: np.ndarray, y: np.ndarray) -> None:
        labels = [(y // 5)[:, None], y[:, None]] if fine else [y[:, None]]
        records = np.concatenate([*labels, cifar_rows(x)], axis=1).astype(np.uint8)
        (folder / file).write_bytes(records.tobytes())

    if fine:
        batch("train.bin", train.x, train.y)
    else:
        for i in range(5):
            rows = slice(i * known.train // 5, (i + 1) * known.train // 5)
            batch(f"data_batch_{i + 1}.bin", train.x[rows], train.y[rows])
    batch("test.bin" if fine else "test_batch.bin", test.x, test.y)
    (folder / ("fine_label_names.txt" if fine else "batches.meta.txt")).write_text("\n".join(names_of(known)) + "\n\n")
    return folder


def pack(folder: Path, archive: Path) -> Path:
    """Pack a folder as .tar.gz or .zip, as the published archives are: with the folder's name in front."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for path in sorted(folder.rglob("*")):
                out.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
        return archive
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    return archive


def svhn(root: Path, known: Known) -> Path:
    from scipy.io import savemat

    for part, pixels in zip(("train", "test"), pixels_of(known), strict=True):
        labels = np.where(pixels.y == 0, 10, pixels.y).astype(np.uint8)[:, None]
        savemat(root / f"{part}_32x32.mat", {"X": pixels.x.transpose(1, 2, 3, 0), "y": labels}, do_compression=True)
    return root


def tiny_imagenet(root: Path, known: Known) -> Path:
    """Write the folder; its .JPEG files hold PNG data, so that pixels can be compared exactly."""
    train, held = pixels_of(known)
    wnids = [f"n{i:08d}" for i in range(known.classes)]
    folder = root / "tiny-imagenet-200"
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(wnids) + "\n")
    for i, (x, y) in enumerate(zip(train.x, train.y, strict=True)):
        images = folder / "train" / wnids[y] / "images"
        images.mkdir(parents=True, exist_ok=True)
        (images / f"{wnids[y]}_{i:03d}.JPEG").write_bytes(png(x))
    rows = []
    for i, (x, y) in enumerate(zip(held.x, held.y, strict=True)):
        (folder / "val" / "images" / f"val_{i}.JPEG").write_bytes(png(x))
        rows.append(f"val_{i}.JPEG\t{wnids[y]}\t0\t0\t7\t7")
    (folder / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")
    return folder


def parquet(root: Path, known: Known, *, shards: int = 1, image: str = "img", label: str = "label") -> Path:
    """Write the hub's layout: images as PNG in structs {bytes, path}, class names in the schema's metadata."""
    import pyarrow
    import pyarrow.parquet

    features = {image: {"_type": "Image"}, label: {"names": names_of(known), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    last = "valid" if known.validation else "test"
    for part, pixels in zip(("train", last), pixels_of(known), strict=True):
        bounds = np.linspace(0, len(pixels.y), shards + 1).astype(int)
        for i in range(shards):
            rows = range(bounds[i], bounds[i + 1])
            cells = [{"bytes": png(pixels.x[row]), "path": None} for row in rows]
            kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
            columns = {image: pyarrow.array(cells, kind), label: pyarrow.array([int(pixels.y[row]) for row in rows])}
            table = pyarrow.table(columns).replace_schema_metadata(metadata)
            pyarrow.parquet.write_table(table, root / f"{part}-{i:05d}-of-{shards:05d}.parquet")
    return root


def npz(root: Path, known: Known) -> Path:
    for part, pixels in zip(("train", "test"), pixels_of(known), strict=True):
        np.savez(root / f"{part}.npz", images=pixels.x, labels=pixels.y, class_names=np.array(names_of(known)))
    return root


def class_folders(root: Path, pixels: Pixels) -> Path:
    for i, (x, y) in enumerate(zip(pixels.x, pixels.y, strict=True)):
        folder = root / f"class_{y}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:04d}.png").write_bytes(png(x))
    return root
