"""What the runs found, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from advrush.report.drawing.palette import kind_label, primitive_label
from advrush.report.figures import attack_label
from advrush.report.names import model_names, seed_names, trained_by
from advrush.report.records import Record
from advrush.report.tables import accuracies, duration, format_count, percent
from advrush.space import CellGraph


class Sentence(NamedTuple):
    """A subject, which a page may set in bold, and what is said of it."""

    subject: str
    rest: str


def sentences(records: Sequence[Record]) -> list[Sentence]:
    """Return the summary: what was searched and found, what was trained, how robust it is."""
    searches = [record for record in records if record.stage == "search"]
    trainings = [record for record in records if record.stage == "train"]
    evaluations = [record for record in records if record.stage == "evaluate" and record.result]
    names = {**seed_names(searches), **model_names(trainings, records), **model_names(evaluations, records)}
    lines = [Sentence(f"Search {names[record.path]}", _search(record)) for record in searches]
    for training in trainings:
        tests = [record for record in evaluations if trained_by(record, records) is training]
        line = _train(training)
        if len(tests) == 1:
            line += f" It {_evaluation(tests[0])}"
            evaluations.remove(tests[0])
        lines.append(Sentence(names[training.path], line))
    return lines + [Sentence(names[record.path], _evaluation(record)) for record in evaluations]


def in_words(graph: CellGraph) -> str:
    """Return a cell's primitives with their counts, the most frequent first."""
    counts = Counter(edge.primitive for edge in graph.edges)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count} {primitive_label(primitive)}" for primitive, count in ordered)


def data_set(record: Record) -> str:
    """Return the name of a run's data set."""
    data = record.config.get("data")
    return str(data.get("dataset", "its data")) if isinstance(data, dict) else "its data"


def progress(record: Record) -> str:
    """Return "in 3 min 20 s", or how far an unfinished run came."""
    if record.result is not None:
        return f"in {duration(record.seconds)}"
    epochs = f"{len(record.rows)} of {record.epochs} epochs, " if record.epochs else ""
    return f"unfinished: {epochs}{duration(record.seconds)} so far"


def _search(record: Record) -> str:
    config, rows = record.config, record.rows
    warm = f", {config['warmup_epochs']} of them warm-up," if config.get("warmup_epochs") else ""
    line = f"ran {len(rows)} epochs{warm} on {data_set(record)} ({progress(record)})"
    genotype = record.genotype()
    if genotype is not None:
        cells = [f"a {kind_label(kind).lower()} of {in_words(cell)}" for kind, cell in genotype.cells().items()]
        line += f" and {'found' if record.result else 'so far has'} {' and '.join(cells)}"
    line += "."
    measured = [row["curvature"] for row in rows if row.get("curvature") is not None]
    if len(rows) > 1:
        line += f" L_val went from {rows[0]['loss_val']:.3f} to {rows[-1]['loss_val']:.3f}"
        line += f", L_λ from {measured[0]:.3g} to {measured[-1]:.3g}." if len(measured) > 1 else "."
    return line


def _train(record: Record) -> str:
    parameters = (record.result or {}).get("parameters")
    size = f"has {format_count(parameters)} parameters and " if parameters else ""
    epochs = f"for {len(record.rows)} epochs " if record.rows else ""
    return f"{size}was trained {epochs}on {data_set(record)} ({progress(record)})."


def _evaluation(record: Record) -> str:
    found = accuracies(record.result)
    line = f"classifies {percent(found['clean'][0])}% of the clean test images correctly"
    attacked = {name: value for name, value in found.items() if name != "clean"}
    if attacked:
        strongest = min(attacked, key=lambda name: (attacked[name][0], name != "worst case"))
        acc, low, high = attacked[strongest]
        under = "in the worst case of all attacks" if strongest == "worst case" else f"under {attack_label(strongest)}"
        line += f" and {percent(acc)}% {under} (95% interval {percent(low, 1)} to {percent(high, 1)}%)"
    return line + "."
