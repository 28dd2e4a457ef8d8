"""Decoded data sets on disk: one safetensors file for each source, with a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import safetensors
import safetensors.torch

from advrush.data.dataset import Split
from advrush.data.raw import Raw
from advrush.run import write_atomically

FORMAT = "1"


def key(files: Sequence[Path]) -> str:
    """Return a name that changes with the source: its files' places, sizes and times of change."""
    parts = [FORMAT]
    for path in files:
        if path.exists():
            stat = path.stat()
            parts.append(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def write(path: Path, raw: Raw) -> None:
    """Store the tensors atomically, with a digest of their bytes; a place that cannot be written is no error."""
    splits = {"train": raw.train, "test": raw.test, **({"validation": raw.validation} if raw.validation else {})}
    tensors = {f"{part}.images": split.images for part, split in splits.items()}
    tensors |= {f"{part}.labels": split.labels for part, split in splits.items()}
    metadata = {"classes": json.dumps(raw.classes), "digest": _digest(tensors)}
    try:
        write_atomically(path, safetensors.torch.save(tensors, metadata=metadata))
    except OSError:
        return


def read(path: Path) -> Raw | None:
    """Return what `write` stored; None if it is not there or damaged."""
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        tensors = safetensors.torch.load_file(path)
        classes = tuple(json.loads(metadata["classes"]))
    except (OSError, KeyError, ValueError, safetensors.SafetensorError):
        return None
    if metadata.get("digest") != _digest(tensors):
        return None

    def split(part: str) -> Split:
        return Split(tensors[f"{part}.images"], tensors[f"{part}.labels"])

    return Raw(split("train"), split("test"), classes, split("validation") if "validation.images" in tensors else None)


def _digest(tensors: dict[str, object]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].contiguous().numpy().tobytes())  # type: ignore[attr-defined]
    return digest.hexdigest()
