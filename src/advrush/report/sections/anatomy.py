"""Section "Anatomy": operations, width, depth and scores of architectures (Table 6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from advrush.report.downloads import Download, csv_file
from advrush.report.labels import format_count, kind_label, operation_label, percent
from advrush.report.records import Record
from advrush.report.section import Chapter, Note, Render, Section, body
from advrush.report.table import Entry, Table

NOTE = Markup(
    "Counts are over all kinds of cells. Width: the sum over the nodes of the share of their inputs that are inputs of "
    "the cell, in units of the cell's channels c. Depth: the longest path from an input to the output. HRS: the "
    "harmonic mean of clean accuracy and accuracy under FGSM (standard training) or PGD-20 (adversarial training), in "
    "percent."
)
PRINTED = Markup(
    " Small: what the paper prints, where it differs; the published genotypes do not have the paper's counts."
)


def architecture_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return Table 6; what the paper prints where it differs stands below the number."""
    groups = list(dict.fromkeys(name for row in rows for name in row.get("counts", ())))
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.get("width", ())))
    columns = ["architecture", "parameters", "MACs", *(operation_label(name) for name in groups)]
    if kinds:
        cells = ", ".join(kind_label(kind).lower().removesuffix(" cell") for kind in kinds)
        columns += [f"width ({cells})", f"depth ({cells})"]
    columns += ["HRS, standard", "HRS, adversarial"]
    return Table("Anatomy of the architectures (Table 6)", tuple(columns), tuple(_row(r, groups, kinds) for r in rows))


def _row(row: Mapping[str, Any], groups: Sequence[str], kinds: Sequence[str]) -> tuple[Entry, ...]:
    printed = row.get("printed", {})
    size = f"c = {row['channels']}, {row['layers']} cells" if row.get("channels") and row.get("layers") else ""
    entries = [Entry(row["name"]), Entry(format_count(row["parameters"]), size), Entry(format_count(row["macs"]))]
    for name in groups:
        value, paper = row.get("counts", {}).get(name), printed.get("counts", {}).get(name)
        detail = f"paper {paper}" if paper is not None and paper != value else ""
        entries.append(Entry("–" if value is None else str(value), detail))
    for key, unit in (("width", "c"), ("depth", "")) if kinds else ():
        entries.append(_by_kind(row.get(key, {}), printed.get(key, {}), kinds, unit))
    for trained in ("standard", "adversarial"):
        score = row.get("hrs", {}).get(trained)
        paper = printed.get(f"hrs_{trained}")
        detail = f"paper {percent(paper)}" if paper is not None else ""
        entries.append(Entry(percent(score["hrs"]) if score else "–", detail))
    return tuple(entries)


def _by_kind(found: Mapping[str, float], printed: Mapping[str, float], kinds: Sequence[str], unit: str) -> Entry:
    """Return the values of all kinds of cells in one entry, what the paper prints below where one differs."""
    if not found:
        return Entry("–")

    def written(values: Mapping[str, float]) -> str:
        return ", ".join(f"{values[kind]:g}{unit}" if kind in values else "–" for kind in kinds)

    return Entry(written(found), f"paper {written(printed)}" if printed and printed != found else "")


def numbers(record: Record) -> Mapping[str, str]:
    """Return how many architectures there are."""
    return {"architectures": str(len((record.result or {})["rows"]))}


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section: Table 6 of each run."""
    results = [record.result or {} for record in records if record.kind == "analyze/architecture"]
    if results:
        parts: list[Table | Download] = []
        for result in results:
            table = architecture_table(result["rows"])
            texts = [[entry.text for entry in row] for row in table.rows]
            parts += [table, csv_file("architecture", table.columns, texts)]
        printed = any("printed" in row for result in results for row in result["rows"])
        yield Section("architecture", "Anatomy", body(render, *parts, Note(NOTE + PRINTED if printed else NOTE)))


ANATOMY = Chapter(sections, kind="analyze/architecture", numbers=numbers)
