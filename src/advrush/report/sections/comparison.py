"""Section "Searches compared": L_val and L_lambda of several (Figures 2 and A1), and how far their genotypes agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from advrush.report.agreement import Agreement, mean, pairwise
from advrush.report.drawing.architectures import Style, styles, styles_by_label
from advrush.report.drawing.axes import Rows, epoch_axis, log_curve, mark_switch, switch_epoch
from advrush.report.drawing.plot import legend_above, new_figure, signed, to_svg, xy
from advrush.report.identity import digests, network_styles
from advrush.report.labels import kind_label, percent
from advrush.report.names import seed_names
from advrush.report.records import Record
from advrush.report.saving import drawn_cells
from advrush.report.section import Chapter, Render, Section
from advrush.report.sections.search import begun
from advrush.report.table import Entry, Table
from advrush.space import Architecture


def curvature_curves(runs: Mapping[str, Rows], drawn: Mapping[str, Style] | None = None) -> Figure:
    """Draw L_lambda of several searches against the epoch, logarithmic (Figure A1); `drawn`: see `search_styles`."""
    figure, (axis,) = new_figure()
    drawn = drawn or styles_by_label(runs)
    for label, rows in runs.items():
        log_curve(axis, rows, style=drawn[label], label=label)
    switches = {switch_epoch(rows) for rows in runs.values()} - {None}
    if len(switches) == 1:
        mark_switch(axis, next(rows for rows in runs.values() if switch_epoch(rows) is not None))
    axis.set_ylabel("L_λ, nats / input unit (log scale)")
    epoch_axis(axis)
    legend_above(figure, (axis,))
    return figure


def comparison_curves(runs: Mapping[str, Rows], drawn: Mapping[str, Style] | None = None) -> Figure:
    """Draw L_val (left, linear) and L_lambda (right, logarithmic) of several searches by epoch (Figures 2 and A1).

    `drawn`: how each is drawn, see `search_styles`; by the labels unless given.
    """
    figure, (left, right) = new_figure(2)
    drawn = drawn or styles_by_label(runs)
    for label, rows in runs.items():
        points = drawn[label].points(len(rows))
        left.plot(*xy(rows, "loss_val"), color=drawn[label].color, label=label, **points)
        log_curve(right, rows, style=drawn[label], label=label)
    switches = {switch_epoch(rows) for rows in runs.values()} - {None}
    for axis in (left, right):
        if len(switches) == 1:
            mark_switch(axis, next(rows for rows in runs.values() if switch_epoch(rows) is not None))
        epoch_axis(axis)
    right.set_xlim(left.get_xlim())
    left.set_ylabel("L_val, nats")
    right.set_ylabel("L_λ, nats / input unit (log scale)")
    legend_above(figure, (left, right))
    return figure


def told_apart(searches: Sequence[Record]) -> dict[Path, str]:
    """Return names of searches, with objective and gamma where these differ (Figures 2 and A1)."""
    names = seed_names(searches)
    kinds = {record.path: _objective(record) for record in searches}
    if len(set(kinds.values())) < 2:
        return names
    return {path: name if kinds[path] in name else f"{name}: {kinds[path]}" for path, name in names.items()}


def search_styles(searches: Sequence[Record], names: Mapping[Path, str], records: Sequence[Record]) -> dict[str, Style]:
    """Return how searches are drawn: one color an objective and gamma where these differ, else that of what each found.

    DARTS has the color of its architecture, and so has AdvRush with the paper's gamma 0.01.
    """
    kinds = {record.path: _objective(record) for record in searches}
    if len(set(kinds.values())) < 2:
        return network_styles(searches, names, records)
    own = {"darts": "DARTS (V2)", "advrush, γ = 0.01": "AdvRush"}
    return styles({names[path]: own.get(kind, kind) for path, kind in kinds.items()})


def _objective(record: Record) -> str:
    objective = str(record.config.get("objective", ""))
    gamma = record.config.get("curvature", {}).get("gamma")
    return f"{objective}, γ = {gamma:g}" if objective == "advrush" and gamma is not None else objective


def agreement_table(found: Mapping[str, Architecture]) -> Table:
    """Return how many of their edges every two named architectures share, in percent, and the mean of all pairs."""
    pairs = pairwise(found)
    kinds = list(dict.fromkeys(kind for row in pairs.values() for kind in row))
    averages = {kind: mean(row[kind] for row in pairs.values() if kind in row) for kind in kinds}
    rows = [(Entry("mean of all pairs"), *_entries(averages))] if len(pairs) > 1 else []
    rows += [(Entry(" – ".join(pair)), *_entries(row)) for pair, row in pairs.items() if list(row) == kinds]
    columns = [f"{kind_label(kind)}: {what}" for kind in kinds for what in ("wiring", "edges", "primitives")]
    return Table("Percent of edges that two searches share", ("searches", *columns), tuple(rows))


def _entries(row: Mapping[str, Agreement]) -> list[Entry]:
    return [Entry(percent(value, 0)) for a in row.values() for value in (a.wiring, a.edges, a.primitives)]


def comparison_body(searches: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return L_val and L_lambda of several searches in one figure, and how far their genotypes agree."""
    names = told_apart(searches)
    rows = {names[record.path]: record.rows for record in searches if record.rows}
    drawn = search_styles(searches, names, records)
    title = "L_val and L_λ of the searches by epoch"
    curves = to_svg(signed(comparison_curves(rows, drawn), *digests(searches)), title=title) if rows else None
    found = {names[record.path]: genotype for record in searches if (genotype := record.genotype())}
    made_by = {names[record.path]: record.digest for record in searches}
    pairs = drawn_cells(found, made_by) if len(found) == 2 else []
    cells = [(title, cell.showing(f"compared {cell.name}", cell.columns, cell.rows)) for title, cell in pairs]
    return render("comparison.html.j2", curves=curves, agreement=agreement_table(found), cells=cells)


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section where two or more searches have a genotype."""
    found = [record for record in begun(records) if record.genotype()]
    if len(found) > 1:
        yield Section("seeds", "Searches compared", comparison_body(found, records, render))


COMPARISON = Chapter(sections)
