"""The data of a run, read from its directory: which images, and where they lay."""

from __future__ import annotations

from pathlib import Path

from advrush import config as configs
from advrush.data import DataConfig
from advrush.errors import AdvrushError
from advrush.reading.text import as_object, read_json, read_toml


def data_of(target: Path | str | None) -> DataConfig | None:
    """Return the data of a search or training run, or of the run that a weights file lies in; None where it is none."""
    run = _run_of(target)
    if run is None:
        return None
    path = run / "config.toml"
    return configs.from_dict(DataConfig, as_object(read_toml(path).get("data", {}), path), where=str(path))


def place_of(target: Path | str | None) -> Path | None:
    """Return where the data of a run lay when it was made, as it was given; None where that is not known."""
    run = _run_of(target)
    try:
        told = read_json(run / "environment.json") if run is not None else {}
    except AdvrushError:
        return None
    place = told.get("data_dir") if isinstance(told, dict) else None
    return Path(place) if isinstance(place, str) else None


def _run_of(target: Path | str | None) -> Path | None:
    if target is None:
        return None
    run = Path(target).parent if str(target).endswith(".safetensors") else Path(target)
    return run if (run / "config.toml").is_file() else None
