"""Section "Configurations and environment": of every run of the report, folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from advrush.report.records import Record
from advrush.report.section import Chapter, Render, Section


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section."""
    texts = [(record, (record.path / "config.toml").read_text(encoding="utf-8").strip()) for record in records]
    yield Section("runs", "Configurations and environment", render("runs.html.j2", runs=texts))


RUNS = Chapter(sections)
