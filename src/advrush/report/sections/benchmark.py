"""Section "Searches judged by a table": what searches and predictors find of measured architectures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from advrush.report.benchmark.sections import benchmark_bodies
from advrush.report.records import Record
from advrush.report.section import Chapter, Render, Section


def numbers(record: Record) -> Mapping[str, str]:
    """Return the mean percentile of each method's finds, or each score's Kendall's tau."""
    result = record.result or {}
    if result.get("what") == "predictors":
        taus = {each["name"]: each["kendall"] for each in result["predictors"]}
        return {name: "–" if tau is None else f"{tau['value']:.2f}" for name, tau in taus.items()}
    means = {each["label"]: each["percentile"]["mean"] for each in result.get("methods", ())}
    return {name: "–" if mean is None else f"top {mean:.0f}%" for name, mean in means.items()}


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the sections of all finished benchmarks."""
    for found in benchmark_bodies(records, render):
        yield Section(*found)


BENCHMARK = Chapter(sections, kind="benchmark", numbers=numbers)
