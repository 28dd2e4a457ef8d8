"""The line below a report's title: networks, data, and when the newest of the runs was changed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from advrush.report.labels import data_set
from advrush.report.names import model_names
from advrush.report.records import Record

FEW = 3
"""So many networks are named; more are counted."""


def heading(records: Sequence[Record]) -> str:
    """Return "demo-found (architecture found), demo-resnet (ResNet-18) on digits, 26 November 2026", "" of no runs."""
    if not records:
        return ""
    made = [record for stage in ("train", "evaluate", "search") for record in records if record.stage == stage]
    stage = made[0].stage if made else ""
    names = list(model_names([record for record in made if record.stage == stage], records).values())
    several = f"{len(names)} {'searches' if stage == 'search' else 'networks'}"
    networks = several if len(names) > FEW else ", ".join(names)
    data = ", ".join(sorted({data_set(record) for record in records if "data" in record.config}))
    return ", ".join(part for part in (" on ".join(filter(None, (networks, data))), _date(records)) if part)


def _date(records: Sequence[Record]) -> str:
    files = [path for record in records for path in (record.path / "result.json", record.path / "config.toml")]
    newest = time.localtime(max(path.stat().st_mtime for path in files if path.exists()))
    return f"{newest.tm_mday} {time.strftime('%B %Y', newest)}"
