"""Section "Searches compared": L_lambda of several searches (Figure A1), and how far their genotypes agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from advrush.report.agreement import Agreement, mean, pairwise
from advrush.report.drawing.axes import Rows, epoch_axis, log_curve, mark_switch, switch_epoch
from advrush.report.drawing.palette import series_color
from advrush.report.drawing.plot import legend_above, new_figure, to_svg
from advrush.report.labels import kind_label, percent
from advrush.report.names import seed_names
from advrush.report.records import Record
from advrush.report.saving import drawn_cells
from advrush.report.section import Chapter, Render, Section
from advrush.report.sections.search import begun
from advrush.report.table import Entry, Table
from advrush.space import Architecture


def curvature_curves(runs: Mapping[str, Rows]) -> Figure:
    """Draw L_lambda of several searches against the epoch, logarithmic (Figure A1)."""
    figure, (axis,) = new_figure()
    for index, (label, rows) in enumerate(runs.items()):
        log_curve(axis, rows, color=series_color(index), label=label)
    switches = {switch_epoch(rows) for rows in runs.values()} - {None}
    if len(switches) == 1:
        mark_switch(axis, next(rows for rows in runs.values() if switch_epoch(rows) is not None))
    axis.set_ylabel("L_λ (log scale)")
    epoch_axis(axis)
    legend_above(figure, (axis,))
    return figure


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


def comparison_body(searches: Sequence[Record], render: Render) -> Markup:
    """Return L_lambda of several searches in one figure, and how far their genotypes agree."""
    names = seed_names(searches)
    measured = {names[r.path]: r.rows for r in searches if any(row.get("curvature") is not None for row in r.rows)}
    curves = to_svg(curvature_curves(measured), title="L_λ of the searches by epoch") if measured else None
    found = {names[record.path]: genotype for record in searches if (genotype := record.genotype())}
    cells = drawn_cells(found) if len(found) == 2 else []
    return render("comparison.html.j2", curves=curves, agreement=agreement_table(found), cells=cells)


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section where two or more searches have a genotype."""
    found = [record for record in begun(records) if record.genotype()]
    if len(found) > 1:
        yield Section("seeds", "Searches compared", comparison_body(found, render))


COMPARISON = Chapter(sections)
