"""A table as Markdown, LaTeX, CSV and HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from markupsafe import Markup

from advrush.evaluation.csv_cell import csv_cell
from advrush.evaluation.latex import tex
from advrush.paper.artifacts import Column
from advrush.paper.table import Block, Comparison, Line, Mark, OverSeeds, Table


def to_markdown(table: Table) -> str:
    """Return the table in Markdown: best bold, second best underlined."""
    heads = ["architecture", "", *(column_head(each) for each in table.columns), "training"]
    lines = [f"### {table.artifact.title}", "", "| " + " | ".join(heads) + " |"]
    lines.append("|---|---|" + "---:|" * (len(heads) - 2))
    for block in table.blocks:
        for number, line in enumerate(block.lines):
            name = block.label.replace("|", "\\|") if number == 0 else ""
            hours = _hours(block, line)
            texts = _marked(line, lambda text: f"**{text}**", lambda text: f"<u>{text}</u>")
            lines.append("| " + " | ".join([name, line.who.replace("|", "\\|"), *texts, hours]) + " |")
    return "\n".join([*lines, "", *(f"- {text}" for text in below(table))]) + "\n"


def to_latex(table: Table) -> str:
    """Return the table as a LaTeX tabular; it needs booktabs."""
    heads = ["Architecture", "", *(column_head(each) for each in table.columns)]
    lines = [
        f"% {table.artifact.title}",
        r"\begin{tabular}{ll" + "r" * len(table.columns) + "}",
        r"\toprule",
        " & ".join(tex(head) for head in heads) + r" \\",
        r"\midrule",
    ]
    for block in table.blocks:
        for number, line in enumerate(block.lines):
            texts = _marked(line, lambda text: rf"\textbf{{{text}}}", lambda text: rf"\underline{{{text}}}", tex)
            name = tex(block.label) if number == 0 else ""
            lines.append(" & ".join([name, tex(line.who), *texts]) + r" \\")
        if block is not table.blocks[-1]:
            lines.append(r"\addlinespace")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def to_csv(table: Table) -> str:
    """Return one line for each number: who measured it, with deviation, interval, seeds, examples, source and note."""
    buffer = io.StringIO()
    out = csv.writer(buffer, lineterminator="\n")
    out.writerow(
        "artifact row column who checkpoint value sd low high seeds examples difference note".split()  # noqa: SIM905
    )
    for each in table.cells:
        place = [table.artifact.key, each.row.key, each.column.key]
        for said in (each.printed, *each.others):
            if said is not None:
                out.writerow(map(csv_cell, [*place, said.source, "", said.value, *[""] * 6, said.note]))
        for number, (checkpoint, ours) in enumerate(each.ours.items()):
            low, high = ours.interval or ("", "")
            away = each.difference if number == 0 and each.difference is not None else ""
            seeds, sd = " ".join(map(str, ours.seeds)), "" if ours.sd is None else ours.sd
            values = [ours.mean, sd, low, high, seeds, ours.examples or "", away, ""]
            out.writerow(map(csv_cell, [*place, "ours", checkpoint, *values]))
    return buffer.getvalue()


def to_html(table: Table) -> Markup:
    """Return the table as HTML for a report's section."""
    heads = Markup("").join(
        Markup('<th scope="col">{}</th>').format(text)
        for text in ("architecture", "", *(column_head(each) for each in table.columns), "training")
    )
    bodies = []
    for block in table.blocks:
        for number, line in enumerate(block.lines):
            first = (
                Markup('<th scope="rowgroup" rowspan="{}">{}</th>').format(len(block.lines), block.label)
                if number == 0
                else Markup("")
            )
            tags: dict[Mark, str] = {"best": "<b>{}</b>", "second": "<u>{}</u>", "": "{}"}
            texts = (Markup(tags[mark]).format(text) for text, mark in zip(line.texts, line.marks, strict=True))
            hours = _hours(block, line)
            cells = Markup("").join(Markup("<td>{}</td>").format(text) for text in (*texts, hours))
            bodies.append(Markup('<tr>{}<th scope="row">{}</th>{}</tr>').format(first, line.who, cells))
    frame = (
        '<div class="scroll" tabindex="0" role="region"><table>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    )
    grid = Markup(frame).format(heads, Markup("\n").join(bodies))
    items = Markup("").join(Markup("<li>{}</li>").format(text) for text in below(table))
    return grid + (Markup("<ul>{}</ul>").format(items) if items else Markup(""))


def below(table: Table) -> list[str]:
    """Return the sentences under a table: tests, agreement of ranks, contradictions and sources."""
    names = {each.key: column_head(each) for each in table.columns}
    labels = {row.key: row.label for row in table.artifact.rows}
    lines = [_over_seeds(each, names, labels) for each in table.over_seeds]
    lines += [_comparison(each, names, labels) for each in table.comparisons]
    for column, rho, rows in table.agreement:
        what = "Spearman's rank correlation of ours with the printed"
        lines.append(f"{names[column]}: {what} {rho:.2f} over {rows} architectures.")
    return [*lines, *table.notes]


def _over_seeds(each: OverSeeds, names: dict[str, str], labels: dict[str, str]) -> str:
    assert each.difference.interval is not None, "there are several seeds"
    low, high = each.difference.interval
    first, second = labels.get(each.first, each.first), labels.get(each.second, each.second)
    far = f"{each.difference.mean:+.1f} points, 95% interval {low:+.1f} to {high:+.1f}"
    verdict = "they differ" if each.told_apart else "not told apart"
    over = f"{names[each.column]}, over {each.seeds} seeds"
    return f"{over}: {first} against {second}: {far} (Student's t): {verdict}."


def _comparison(each: Comparison, names: dict[str, str], labels: dict[str, str]) -> str:
    test = each.test
    side = "ahead" if test.difference > 0 else "behind"
    far = f"{side} by {abs(test.difference):.1f} points" if test.difference else "equal"
    first, second = labels.get(each.first, each.first), labels.get(each.second, each.second)
    if not test.only_first and not test.only_second:
        same = f"the same on each of {test.examples} examples"
        return f"{names[each.column]}, seed {each.seed}: {first} against {second}: {same}."
    verdict = "significant" if test.p < 0.05 else "not significant"
    counts = f"{test.only_first} examples for, {test.only_second} against, of {test.examples}"
    tested = f"exact McNemar p = {test.p:.2g}, {verdict} at 0.05"
    return f"{names[each.column]}, seed {each.seed}: {first} against {second}: {far} ({counts}; {tested})."


def _hours(block: Block, line: Line) -> str:
    """Return the training's time beside the first of the block's own lines."""
    own = next((each for each in block.lines if each.who.startswith("ours")), None)
    return duration(block.hours) if line is own and block.hours is not None else ""


def duration(hours: float) -> str:
    """Return hours in the unit that suits them: 27 s, 12 min, 3.4 h, 2.1 days."""
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} s"
    return f"{60 * hours:.0f} min" if hours < 1 else f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def column_head(column: Column) -> str:
    """Return what stands above a column: its group where the label alone would not tell."""
    training = " (std)" if column.recipe == "standard" and column.group != "HRS" else ""
    short = {"width": "width ", "depth": "depth ", "HRS": "HRS "}.get(column.group, "")
    return f"{short}{column.label}{training}"


def _marked(
    line: Line, bold: Callable[[str], str], under: Callable[[str], str], plain: Callable[[str], str] = str
) -> list[str]:
    wrap: dict[Mark, Callable[[str], str]] = {"best": bold, "second": under, "": str}
    return [wrap[mark](plain(text)) if text else "" for text, mark in zip(line.texts, line.marks, strict=True)]


def board_markdown(entries: Sequence[tuple[str, int, int]]) -> str:
    """Return how much of each artifact exists, in Markdown: name, numbers there, numbers wanted."""
    lines = ["| artifact | there | of | |", "|---|---:|---:|---|"]
    for name, there, wanted in entries:
        lines.append(f"| {name} | {there} | {wanted} | {bar(there, wanted)} |")
    return "\n".join(lines) + "\n"


def bar(there: int, wanted: int) -> str:
    """Return a bar of ten signs."""
    full = round(10 * there / wanted) if wanted else 0
    return "█" * full + "░" * (10 - full)
