"""Decoded data sets on disk: one safetensors file for each source, with a checksum of its content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
import warnings
from pathlib import Path

import safetensors
import safetensors.torch

from advrush.data.dataset import Split
from advrush.data.raw import Raw, Source

FORMAT = "3"
"""Part of every key: a new number where what is stored, or how it is decoded, changes."""


def place(cache_dir: Path | str | None, name: str, source: Source) -> Path | None:
    """Return the file for a source: its name changes with each source file's place, size and time of change.

    `cache_dir` is $ADVRUSH_CACHE or ~/.cache/advrush unless given. None for a source without files, because
    nothing would tell when it changes.
    """
    folder = Path(cache_dir or os.environ.get("ADVRUSH_CACHE") or Path.home() / ".cache" / "advrush")
    digest = hashlib.sha256(f"{FORMAT}\n{source.form}\n".encode())
    known = False
    for path in source.files:
        try:
            stat = path.stat()
        except OSError:  # not there: the reader says so
            continue
        known = True
        digest.update(os.fsencode(path.absolute()) + f" {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return None if not known else folder / f"{name}-{digest.hexdigest()[:16]}.safetensors"


def write(path: Path, raw: Raw, checksum: str) -> None:
    """Store the splits atomically; where that cannot be done, warn and go on (the next run decodes again)."""
    parts = raw.parts()
    tensors = {f"{part}.images": split.images for part, split in parts.items()}
    tensors |= {f"{part}.labels": split.labels for part, split in parts.items()}
    metadata = {"classes": json.dumps(raw.classes), "checksum": checksum}
    if not is_private(path):
        message = f"{path.parent}: other users can write there, so decoded data are neither kept nor used"
        warnings.warn(f"{message}; chmod go-w it, or set ADVRUSH_CACHE", RuntimeWarning, stacklevel=2)
        return
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.tmp")  # processes of several machines may write
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        temporary.touch()
        mode = temporary.stat().st_mode & 0o777  # what the user's umask says; safetensors makes files private
        safetensors.torch.save_file(tensors, temporary, metadata=metadata)
        temporary.chmod(mode)
        os.replace(temporary, path)
    except (OSError, safetensors.SafetensorError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        warnings.warn(f"{path}: decoded data cannot be kept ({error})", RuntimeWarning, stacklevel=2)


def is_private(path: Path) -> bool:
    """Return whether only this user (or root) can have put the file, and what is in its folder, where it is.

    A group that is the user's own, as many systems make one for each, does not count as others. Folders that are not
    there yet are private: they will be made as the umask says.
    """
    if not hasattr(os, "geteuid"):  # Windows: folders of a profile are private
        return True
    for place in (path.parent, path):
        try:
            stat = place.stat()
        except OSError:
            continue
        open_to_all = stat.st_mode & 0o002 or (stat.st_mode & 0o020 and not _own_group(stat.st_gid))
        sticky = place is not path and stat.st_mode & 0o1000  # as /tmp: nobody can replace the file of another
        if stat.st_uid not in (0, os.geteuid()) or (open_to_all and not sticky):
            return False
    return True


def _own_group(gid: int) -> bool:
    """Return whether a group is that of this user alone, by its name."""
    import grp
    import pwd

    try:
        return grp.getgrgid(gid).gr_name == pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False


def _sweep(folder: Path) -> None:
    """Remove what writers that were killed have left: an hour is longer than a write takes."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink()


def read(path: Path) -> tuple[Raw, str] | None:
    """Return what `write` stored, and its checksum; None if it is not there or damaged."""
    if not path.is_file() or not is_private(path):
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        classes = tuple(str(name) for name in json.loads(metadata["classes"]))
        held = {name.partition(".")[0] for name in tensors}
        splits = {part: Split(tensors[f"{part}.images"], tensors[f"{part}.labels"]) for part in held}
        raw = Raw(splits["train"], splits["test"], classes, splits.get("validation"))
    except Exception:  # damaged bytes can fail in any way; the source is decoded again
        return None
    checksum = raw.checksum()
    return (raw, checksum) if checksum == metadata.get("checksum") else None
