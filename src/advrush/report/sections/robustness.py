"""Section "Robustness": accuracies under attack with their intervals: bars, curves, tables, Figure 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from advrush.report.accuracies import accuracies, by_threat, parameters_of
from advrush.report.drawing.architectures import Style, styles_by_label
from advrush.report.drawing.plot import INK, PAPER, legend_above, new_figure, signed, to_svg
from advrush.report.identity import architecture_key, digests, network_styles, page_styles
from advrush.report.labels import WORST, attack_label, format_count, format_whole, percent
from advrush.report.names import model_names, trained_by
from advrush.report.records import Record
from advrush.report.section import Chapter, Render, Section, Sentence
from advrush.report.table import Entry, Table
from advrush.report.targeted import targeted_table
from advrush.report.tradeoff import tradeoff


def accuracy_bars(
    models: Mapping[str, Mapping[str, tuple[float, float, float]]], styles: Mapping[str, Style] | None = None
) -> Figure:
    """Draw accuracies as bars, one group an attack, one color an architecture.

    `models` gives, by model and by attack ("clean" too), the accuracy and its interval, all fractions. `styles`: see
    `drawing.architectures`; by the models' names unless given.
    """
    attacks = list(dict.fromkeys(attack for row in models.values() for attack in row))
    attacks.sort(key=lambda attack: attack == WORST)
    figure, (axis,) = new_figure(height=3.1)
    width = 0.8 / len(models)
    styles = styles or styles_by_label(models)
    for index, (model, row) in enumerate(models.items()):
        places = [attacks.index(attack) - 0.4 + (index + 0.5) * width for attack in row]
        values = [100 * value for value, _, _ in row.values()]
        whiskers = [[max(0.0, 100 * (v - low)) for v, low, _ in row.values()],
                    [max(0.0, 100 * (high - v)) for v, _, high in row.values()]]  # fmt: skip
        style = styles[model]
        fill: dict[str, Any] = {"color": style.color, "hatch": style.hatch, "edgecolor": PAPER, "linewidth": 0}
        axis.bar(places, values, width * 0.9, label=model, **fill)
        axis.errorbar(places, values, whiskers, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2)
    axis.set_xticks(range(len(attacks)), [attack_label(attack) for attack in attacks])
    axis.set_xlim(-0.5, len(attacks) - 0.5)
    axis.set_ylabel("accuracy, %")
    axis.set_ylim(0, 100)
    axis.grid(visible=False, axis="x")
    legend_above(figure, (axis,))
    return figure


def sweep_curves(
    models: Mapping[str, Sequence[Mapping[str, Any]]], kind: str, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Draw robust accuracy in percent, with its interval, against PGD's steps (log scale, Figure A6) or the radius.

    `models` gives each model's rows with `kind` ("steps" or "eps"), robust_acc and interval, fractions.
    `styles` as for `accuracy_bars`.
    """
    figure, (axis,) = new_figure(height=3.1)
    styles = styles or styles_by_label(models)
    for model, rows in models.items():
        style = styles[model]
        places = [row[kind] for row in rows]
        low, high = ([100 * row["interval"][side] for row in rows] for side in (0, 1))
        axis.fill_between(places, low, high, color=style.color, alpha=0.15, linewidth=0)
        robust = [100 * row["robust_acc"] for row in rows]
        axis.plot(places, robust, color=style.color, label=model, **style.points(len(rows)))
    if kind == "steps":
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(FixedLocator(sorted({row[kind] for rows in models.values() for row in rows})))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel("steps of PGD")
    else:
        axis.set_xlabel("radius eps of the ball, pixels of [0, 1]")
    axis.set_ylabel("robust accuracy, %")
    axis.set_ylim(bottom=0)
    legend_above(figure, (axis,))
    return figure


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
    columns = ("model", "parameters", *(attack_label(name) for name in attacks))
    return Table(f"Accuracy in percent: {caption}", columns, tuple(rows))


def accuracy_tables(records: Sequence[Record]) -> list[Table]:
    """Return one table of accuracies for each threat model that the runs were evaluated under."""
    groups = by_threat([record for record in records if record.stage == "evaluate"])
    return [accuracy_table(caption, members, records) for caption, members in groups.items()]


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
        for attack in (*record.result["attacks"], *record.result.get("targeted", ()))
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


def robustness_body(evaluations: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return accuracies as bars, one figure a threat model, and what the attacks cost."""
    groups = []
    for caption, members in by_threat(evaluations).items():
        names = model_names(members, records)
        found = {names[record.path]: accuracies(record.result) for record in members}
        bars = signed(accuracy_bars(found, network_styles(members, names, records)), *digests(members))
        groups.append({"caption": caption, "bars": to_svg(bars, title=f"Accuracies: {caption}")})
    return render(
        "robustness.html.j2", groups=groups, costs=cost_table(evaluations, records),
        scatters=_scatters(evaluations, records), sweeps=_sweeps(evaluations, records),
        waterfalls=waterfall_tables(evaluations, records), targeted=targeted_table(evaluations, records),
    )  # fmt: skip


def _scatters(evaluations: Sequence[Record], records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return Figure 1 for each threat model that two or more networks were tried under with the same attack."""
    found = []
    for caption, members in by_threat(evaluations).items():
        names = model_names(members, records)
        rows = {names[record.path]: accuracies(record.result) for record in members}
        attack = next((each for each in ("pgd20", "fgsm") if all(each in row for row in rows.values())), None)
        if attack and len(rows) > 1:
            points = {name: (row["clean"], row[attack]) for name, row in rows.items()}
            title = f"Robust against clean accuracy: {caption}"
            styles = network_styles(members, names, records)
            figure = tradeoff(points, attack=attack_label(attack), styles=styles)
            svg = to_svg(signed(figure, *digests(members)), title=title)
            columns = ("network", *(f"{what} {side}" for what in ("clean", attack) for side in ("acc", "low", "high")))
            points_of = [(name, *(float(v) for triple in pair for v in triple)) for name, pair in points.items()]
            text = f"{title}. Dashed: equal harmonic robustness score; bars are 95% Wilson intervals."
            found.append({"svg": svg.showing(title, columns, points_of), "caption": text})
    return found


def _sweeps(evaluations: Sequence[Record], records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return a figure for each kind of curve that the evaluations measured, all models in one."""
    found = []
    for kind, title in (("steps", "Accuracy against PGD's steps"), ("eps", "Accuracy against the radius, PGD-20")):
        shown = [record for record in evaluations if (record.result or {}).get("sweeps", {}).get(kind)]
        if shown:
            names = model_names(shown, records)
            curves = {names[record.path]: (record.result or {})["sweeps"][kind] for record in shown}
            figure = signed(sweep_curves(curves, kind, network_styles(shown, names, records)), *digests(shown))
            found.append({"title": title, "figure": to_svg(figure, title=title)})
    names = model_names(evaluations, records)
    measured = [
        (f"{names[record.path]}, {attack_label(attack['name'])}", record, attack["smallest"]["curve"])
        for record in evaluations
        for attack in (record.result or {}).get("attacks", ())
        if "smallest" in attack
    ]
    if measured:
        title = "Accuracy against the radius, from the smallest perturbations (L2)"
        drawn = page_styles({label: architecture_key(record, records) for label, record, _ in measured}, records)
        figure = sweep_curves({label: curve for label, _, curve in measured}, "eps", drawn)
        svg = to_svg(signed(figure, *digests([record for _, record, _ in measured])), title=title)
        found.append({"title": title, "figure": svg})
    return found


def sentence(record: Record) -> str:
    """Return an evaluation's accuracy without attack and under the strongest one."""
    found = accuracies(record.result)
    line = f"classifies {percent(found['clean'][0])}% of the clean test images correctly"
    attacked = {name: value for name, value in found.items() if name != "clean"}
    if attacked:
        strongest = min(attacked, key=lambda name: (attacked[name][0], name != WORST))
        acc, low, high = attacked[strongest]
        under = "in the worst case of all attacks" if strongest == WORST else f"under {attack_label(strongest)}"
        line += f" and {percent(acc)}% {under} (95% interval {percent(low, 1)} to {percent(high, 1)}%)"
    return f"{line}.{checked(record)}"


def checked(record: Record) -> str:
    """Return a sentence about the checks of an evaluation, nothing where they were not asked for."""
    checks = (record.result or {}).get("sanity")
    if not checks:
        return ""
    failed = [f"{each['name']} ({each['found']})" for each in checks if not each["passed"]]
    told = f" It passes {len(checks) - len(failed)} of {len(checks)} checks of the evaluation"
    return f"{told}; not: {'; '.join(failed)}." if failed else f"{told}."


def finished(records: Sequence[Record]) -> list[Record]:
    """Return the evaluations that have a result."""
    return [record for record in records if record.stage == "evaluate" and record.result]


def only_evaluation(training: Record, records: Sequence[Record]) -> Record | None:
    """Return the evaluation of a training's network where the report has exactly one."""
    tests = [record for record in finished(records) if trained_by(record, records) is training]
    return tests[0] if len(tests) == 1 else None


def sentences(records: Sequence[Record]) -> list[Sentence]:
    """Return a sentence for each evaluation that its training's does not tell of (see `training.sentences`)."""
    evaluations = finished(records)
    names = model_names(evaluations, records)
    told = [only_evaluation(record, records) for record in records if record.stage == "train"]
    left = [record for record in evaluations if not any(record is each for each in told)]
    return [Sentence(names[record.path], sentence(record)) for record in left]


def numbers(record: Record) -> Mapping[str, str]:
    """Return the accuracies of an evaluation."""
    values = accuracies(record.result) if record.result else {}
    return {attack_label(name): f"{percent(acc)}%" for name, (acc, _, _) in values.items()}


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section of all finished evaluations."""
    if evaluations := finished(records):
        yield Section("robustness", "Robustness", robustness_body(evaluations, records, render))


ROBUSTNESS = Chapter(sections, sentences, kind="evaluate", numbers=numbers)
