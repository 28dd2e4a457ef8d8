"""What the runs found, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from advrush.report.figures import attack_label
from advrush.report.names import model_names, seed_names
from advrush.report.palette import kind_label, primitive_label
from advrush.report.records import Record
from advrush.report.tables import accuracies, duration, format_count, percent
from advrush.space import CellGraph


def sentences(records: Sequence[Record]) -> list[str]:
    """Return the summary: what was searched, what was found, what was trained, how robust it is."""
    searches = [record for record in records if record.stage == "search"]
    trainings = [record for record in records if record.stage == "train"]
    evaluations = [record for record in records if record.stage == "evaluate" and record.result]
    names = seed_names(searches)
    lines = [_search(record, names[record.path]) for record in searches]
    lines += [_train(record, records) for record in trainings]
    return lines + _evaluations(evaluations, records)


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
    return f"unfinished: {len(record.rows)} of {record.epochs or '?'} epochs, {duration(record.seconds)} so far"


def _search(record: Record, name: str) -> str:
    config, rows = record.config, record.rows
    warm = f" ({config['warmup_epochs']} of them warm-up)" if config.get("warmup_epochs") else ""
    line = f"The search {name} on {data_set(record)} ran {len(rows)} epochs{warm} {progress(record)}"
    genotype = record.genotype()
    if genotype is not None:
        cells = "; ".join(f"{kind_label(kind).lower()}: {in_words(cell)}" for kind, cell in genotype.cells().items())
        line += f" and {'found' if record.result else 'so far has'} {cells}"
    line += "."
    measured = [row["curvature"] for row in rows if row.get("curvature") is not None]
    if len(rows) > 1:
        line += f" L_val went from {rows[0]['loss_val']:.3f} to {rows[-1]['loss_val']:.3f}"
        line += f", L_λ from {measured[0]:.3g} to {measured[-1]:.3g}." if len(measured) > 1 else "."
    return line


def _train(record: Record, records: Sequence[Record]) -> str:
    name = model_names([record], records)[record.path]
    result = record.result or {}
    size = f", {format_count(result['parameters'])} parameters" if result.get("parameters") else ""
    line = f"{name[0].upper() + name[1:]}{size}: trained on {data_set(record)} {progress(record)}"
    return line + "."


def _evaluations(evaluations: Sequence[Record], records: Sequence[Record]) -> list[str]:
    names = model_names(evaluations, records)
    lines = []
    for record in evaluations:
        found = accuracies(record.result)
        attacked = {name: value for name, value in found.items() if name != "clean"}
        if not attacked:
            continue
        strongest = min(attacked, key=lambda name: attacked[name][0])
        acc, low, high = attacked[strongest]
        under = "in the worst case" if strongest == "worst case" else f"under {attack_label(strongest)}"
        name = names[record.path]
        lines.append(
            f"{name[0].upper() + name[1:]} gets {percent(found['clean'][0])}% of clean test images right and "
            f"{percent(acc)}% {under} (95% interval {percent(low, 1)} to {percent(high, 1)}%)."
        )
    return lines
