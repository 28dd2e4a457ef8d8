"""The cells of a search by epoch: a scene for each change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from advrush.atomic_write import write_atomically
from advrush.errors import ConfigError, RunError
from advrush.report.drawing.cells import draw_cell
from advrush.report.drawing.differences import only_in
from advrush.report.drawing.drawn import Drawing
from advrush.report.drawing.svg import stacked
from advrush.report.drawing.svg_pdf import to_pdf
from advrush.report.labels import kind_label
from advrush.report.records import Record
from advrush.space import CellGraph

FORMATS = (".svg", ".pdf")


class Scene(NamedTuple):
    """The cells of a search for as long as they did not change; epochs are counted from 1."""

    first: int
    last: int
    cells: Mapping[str, Drawing]

    @property
    def epochs(self) -> str:
        """Return "epoch 3" or "epochs 3 to 5"."""
        return f"epoch {self.first}" if self.first == self.last else f"epochs {self.first} to {self.last}"


def scenes(record: Record, name: str) -> list[Scene]:
    """Return the cells from scene to scene, edges dashed that the scene before lacks."""
    found: list[Scene] = []
    before: Mapping[str, CellGraph] = {}
    for epoch, architecture in record.architectures_by_epoch().items():
        cells = architecture.cells()
        if found and cells == before:
            found[-1] = found[-1]._replace(last=epoch + 1)
            continue
        drawn = {
            kind: draw_cell(
                cell,
                title=f"{name}, {kind_label(kind).lower()} after epoch {epoch + 1}",
                marked=only_in(cell, before[kind]) if found else (),
                digest=record.digest,
            )
            for kind, cell in cells.items()
        }
        found.append(Scene(epoch + 1, epoch + 1, drawn))
        before = cells
    return found


def save_film(run: Path | str, path: Path) -> Path:
    """Write the cells of a search, scene below scene, to `path` (.svg or .pdf); return it.

    Raises RunError for a run that is no search or has no epoch yet, ConfigError for another ending.
    """
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise ConfigError(f"out: got {str(path)!r}; expected a file ending in {' or '.join(FORMATS)}")
    record = Record.read(run)
    found = scenes(record, record.name)
    if not found:
        raise RunError(f"{record.path}: no cells by epoch; expected the directory of a search that has begun")
    told = [
        (f"{record.name}, {scene.epochs}: {kind_label(kind).lower()}", cell)
        for scene in found
        for kind, cell in scene.cells.items()
    ]
    drawing = stacked(told)
    write_atomically(path, str(drawing) + "\n" if ending == ".svg" else to_pdf(drawing))
    return path
