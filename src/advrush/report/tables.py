"""Tables of results as values, rendered to HTML by the templates and to Markdown here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from advrush.evaluation.results import wilson
from advrush.report.figures import attack_label, rate_drops
from advrush.report.names import label_name, model_names, trained_by
from advrush.report.records import Record

WORST = "worst case"

WIDEST_MATRIX = 4
"""Networks whose names stand above the columns of a transfer matrix; more are numbered."""


@dataclass(frozen=True)
class Entry:
    """A table's entry: text, a smaller detail behind it, and whether it is the best of its column."""

    text: str
    detail: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Columns and rows with a caption; all columns but the first hold numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]

    def to_markdown(self) -> str:
        """Return the table in Markdown, the best of each column bold."""
        lines = [
            "| " + " | ".join(self.columns) + " |",
            "|" + "|".join(["---", *["---:"] * (len(self.columns) - 1)]) + "|",
        ]
        for row in self.rows:
            cells = (f"**{entry.text}**" if entry.best else entry.text for entry in row)
            with_detail = (f"{cell} {e.detail}".rstrip() for cell, e in zip(cells, row, strict=True))
            lines.append("| " + " | ".join(with_detail) + " |")
        return "\n".join(lines) + "\n"


Accuracies = dict[str, tuple[float, float, float]]


def accuracies(result: dict[str, Any] | Any) -> Accuracies:
    """Return an evaluation's accuracies with their intervals by attack: "clean" first, "worst case" last.

    All are fractions. A Wilson interval is computed where the result has none; "worst case" is there for two or
    more attacks.
    """
    examples = int(result["examples"])

    def triple(acc: float, interval: Sequence[float] | None) -> tuple[float, float, float]:
        low, high = interval or wilson(round(acc * examples), examples)
        return acc, low, high

    found = {"clean": triple(result["clean_acc"], result.get("clean_interval"))}
    for attack in result["attacks"]:
        found[attack["name"]] = triple(attack["robust_acc"], attack.get("interval"))
    if len(result["attacks"]) > 1 and (worst := result.get("worst_case")):
        found[WORST] = triple(worst["robust_acc"], worst.get("interval"))
    return found


def by_threat(evaluations: Sequence[Record]) -> dict[str, list[Record]]:
    """Group finished evaluations that may stand in one table: same images, same threat model."""
    groups: dict[str, list[Record]] = {}
    for record in evaluations:
        if record.result is not None:
            threat = record.result["threat_model"]
            caption = (
                f"{record.result['dataset']}, {record.result['examples']:,} test images, "
                f"{threat['norm']} attacks with eps = {format_eps(threat['eps'])}"
            )
            precision = record.result.get("precision", {})
            if precision.get("searched", "float32") != "float32":
                caption += f", searched in {precision['searched']} and verified in {precision['verified']}"
            groups.setdefault(caption, []).append(record)
    return groups


def accuracy_table(caption: str, evaluations: Sequence[Record], records: Sequence[Record]) -> Table:
    """Return the accuracies of evaluated models in percent with 95% Wilson intervals, and their parameters.

    `records` are all runs of the report: they tell a model's name.
    """
    names = model_names(evaluations, records)
    found = [accuracies(record.result) for record in evaluations]
    attacks = [name for name in dict.fromkeys(name for row in found for name in row) if name != WORST]
    attacks += [WORST] if any(WORST in row for row in found) else []
    best = {attack: max(row[attack][0] for row in found if attack in row) for attack in attacks}
    rows = []
    for record, row in zip(evaluations, found, strict=True):
        parameters = (record.result or {}).get("parameters") or parameters_of(record, records)
        entries = [Entry(names[record.path]), Entry(format_count(parameters))]
        for attack in attacks:
            if attack not in row:
                entries.append(Entry("–"))
                continue
            acc, low, high = row[attack]
            bold = len(found) > 1 and acc == best[attack]
            entries.append(Entry(percent(acc), f"[{percent(low, 1)}, {percent(high, 1)}]", bold))
        rows.append(tuple(entries))
    labels = (attack_label(name) if name != WORST else WORST for name in attacks)
    return Table(f"Accuracy in percent: {caption}", ("model", "parameters", *labels), tuple(rows))


def cost_table(evaluations: Sequence[Record], records: Sequence[Record]) -> Table:
    """Return what each attack cost: seconds, and examples passed forward and backward."""
    names = model_names(evaluations, records)
    rows = [
        (
            Entry(f"{names[record.path]}, {attack_label(attack['name'])}"),
            Entry(f"{attack['seconds']:.1f} s" if attack.get("seconds") is not None else "–"),
            Entry(format_whole(attack.get("forwards"))),
            Entry(format_whole(attack.get("backwards"))),
        )
        for record in evaluations
        if record.result
        for attack in record.result["attacks"]
    ]
    columns = ("model, attack", "time", "examples forward", "examples backward")
    return Table("What the attacks cost", columns, tuple(rows))


def waterfall_tables(evaluations: Sequence[Record], records: Sequence[Record]) -> list[Table]:
    """Return for each ensemble of attacks what every attack left of each model, and how many examples it broke."""
    names = model_names(evaluations, records)
    found: dict[str, list[tuple[str, list[dict[str, Any]]]]] = {}
    for record in evaluations:
        for attack in (record.result or {}).get("attacks", ()):
            if attack.get("waterfall"):
                found.setdefault(attack["name"], []).append((names[record.path], attack["waterfall"]))
    tables = []
    for ensemble, members in found.items():
        stages = [step["name"] for step in members[0][1]]
        rows = tuple(
            (
                Entry(model),
                *(Entry(percent(s["robust_acc"]), f"−{s['broken']}" if s.get("broken") else "") for s in steps),
            )
            for model, steps in members
            if [step["name"] for step in steps] == stages
        )
        caption = f"{attack_label(ensemble)}: accuracy left after each attack, and examples that it broke"
        tables.append(Table(caption, ("model", *(attack_label(stage) for stage in stages)), rows))
    return tables


def transfer_table(transfer: Record, records: Sequence[Record]) -> Table:
    """Return a transfer matrix in percent: row = source of the examples, column = attacked network.

    Networks are numbered in the heads of the columns where their names would make the table wider than a page.
    """
    result = transfer.result or {}
    names = heads = [label_name(label, records) for label in result["models"]]
    if len(names) > WIDEST_MATRIX:
        heads = [f"[{number}]" for number in range(1, len(names) + 1)]
        names = [f"{head} {name}" for head, name in zip(heads, names, strict=True)]
    threat = result["threat_model"]
    caption = (
        f"Transfer: accuracy in percent under {attack_label(result['attack'])} examples made on another network, "
        f"{result['dataset']}, {result['examples']:,} test images, {threat['norm']} eps = {format_eps(threat['eps'])}"
    )
    rows = [(Entry("no attack"), *(Entry(percent(value)) for value in result["clean"]))]
    for source, row in enumerate(result["matrix"]):
        cells = (Entry(percent(v), "white box" if target == source else "") for target, v in enumerate(row))
        rows.append((Entry(names[source]), *cells))
    return Table(caption, ("source of the examples", *heads), tuple(rows))


def training_table(trainings: Sequence[Record], records: Sequence[Record]) -> Table:
    """Return the trainings: objective, parameters, epochs, held-out accuracies of the kept checkpoint, time."""
    names = model_names(trainings, records)
    dropped = any(rate_drops(record.rows) for record in trainings)
    rows = []
    for record in trainings:
        result = record.result or {}
        total = record.epochs or len(record.rows)
        after = [Entry(percent(_after_drop(record)))] if dropped else []
        epochs = f"{total}" if record.result else f"{len(record.rows)} of {total}, unfinished"
        rows.append(
            (
                Entry(names[record.path]), Entry(str(record.config.get("objective", "–"))),
                Entry(format_count(result.get("parameters"))), Entry(epochs),
                Entry(_epoch(result.get("best_epoch"))), Entry(percent(result.get("clean_acc_val"))),
                Entry(percent(result.get("robust_acc_val"))), *after,
                Entry(percent(result.get("robust_overfitting"))),
                Entry(duration(record.seconds)),
            )
        )  # fmt: skip
    drop = ("robust after first rate drop",) if dropped else ()
    columns = (
        "network", "objective", "parameters", "epochs", "best epoch", "clean", "robust", *drop, "lost since", "time"
    )  # fmt: skip
    return Table(
        "Trainings; accuracies in percent of the best epoch, on images held out of the training set, and the robust "
        "accuracy that the last epoch has lost since (robust overfitting)",
        columns,
        tuple(rows),
    )


def _after_drop(record: Record) -> float | None:
    """Return the robust accuracy on held-out images of the first measured epoch from the first rate drop on."""
    drops = rate_drops(record.rows)
    measured = [row.get("robust_acc_val") for row in record.rows[drops[0] :]] if drops else []
    return next((float(value) for value in measured if isinstance(value, int | float)), None)


def parameters_of(evaluation: Record, records: Sequence[Record]) -> int | None:
    """Return the parameters that the evaluated network's training counted, None if that is not to be found."""
    training = trained_by(evaluation, records)
    return (training.result or {}).get("parameters") if training else None


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction as percent without the sign; a dash for None."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f}"


def format_count(count: int | None) -> str:
    """Return a number of parameters as 4.16 M or 35.2 k."""
    if count is None:
        return "–"
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.1f} k" if count >= 1e3 else str(count)


def format_whole(count: int | None) -> str:
    """Return a whole number with separators."""
    return "–" if count is None else f"{count:,}"


def format_eps(eps: float) -> str:
    """Return eps in pixel units and in gray levels, 0.031 (7.9/255): papers give it in either."""
    levels = eps * 255
    whole = levels >= 1 and abs(levels - round(levels)) < 1e-3
    return f"{round(levels)}/255 ({eps:.4f})" if whole else f"{eps:g} ({levels:.1f}/255)"


def duration(seconds: float) -> str:
    """Return seconds as 8.2 s, 3 min 20 s or 2 h 05 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _epoch(index: int | None) -> str:
    return "–" if index is None else str(index + 1)
