"""Section "Configurations and environment": of every run of the report, folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from advrush.reading.text import printable, read_bytes
from advrush.report.records import Record
from advrush.report.section import Chapter, Render, Section


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section."""
    read = (read_bytes(record.path / "config.toml", "a TOML file").decode("utf-8") for record in records)
    texts = [(record, printable(text.strip())) for record, text in zip(records, read, strict=True)]
    yield Section("runs", "Configurations and environment", render("runs.html.j2", runs=texts))


RUNS = Chapter(sections)
