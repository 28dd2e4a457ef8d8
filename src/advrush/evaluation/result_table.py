"""The table of an evaluation: for a terminal, a notebook, a paper, a program."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advrush.config import radius_name, radius_text
from advrush.evaluation.csv_cell import csv_cell
from advrush.evaluation.latex import tex
from advrush.evaluation.smallest import smallest_line
from advrush.run import Run

COLUMNS = (
    "model",
    "data",
    "attack",
    "accuracy",
    "low",
    "high",
    "images",
    "norm",
    "eps",
    "seconds",
    "forward",
    "backward",
    "targeted_success_rate",
)
HEADS = ("attack", "accuracy", "95% interval", "seconds", "forward", "backward")
TARGETED_HEADS = ("targeted attack", "success rate", *HEADS[2:])


@dataclass(frozen=True)
class ResultTable:
    """Accuracies clean, under each attack and in the worst case, with their intervals and what they cost.

    A row maps COLUMNS to values: accuracies as fractions, `eps` in [0, 1] pixel units, passes in examples; None where
    a cell has no value. Targeted attacks have a success rate in place of the accuracy, and a block of their own.
    """

    title: str
    rows: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    """Warnings that speak against a number."""
    remarks: tuple[str, ...] = ()
    """Sentences that belong to the table."""

    @classmethod
    def of(cls, result: Mapping[str, Any] | Run) -> ResultTable:
        """Return the table of an evaluation run, of its result, or of `Evaluation.to_dict`."""
        if not isinstance(result, Mapping):
            result = result.result()
        threat = result.get("threat_model", {})
        about = {"model": result.get("model"), "data": result.get("dataset"), "images": result["examples"]}
        common = {**about, "norm": threat.get("norm"), "eps": threat.get("eps")}
        rows = [_row("clean", result["clean_acc"], result["clean_interval"], {**common, "norm": None, "eps": None})]
        notes = [str(text) for text in result.get("warnings", ())]
        several = len({attack["eps"] for attack in result["attacks"] if "eps" in attack}) > 1
        for attack in result["attacks"]:
            own = {name: attack[name] for name in ("norm", "eps") if name in attack}
            name = attack["name"]
            if several and "eps" in own and ", eps " not in name:
                name = f"{name}, eps {radius_name(own['eps'], str(own.get('norm', 'Linf')))}"
            rows.append(_row(name, attack["robust_acc"], attack["interval"], {**common, **own}, attack))
            if attack.get("estimate"):
                notes.append(f"{attack['name']}: an estimate of AutoAttack's accuracy, not its result")
            notes += [f"{attack['name']}: {text}" for text in attack.get("warnings", ())]
        for attack in result.get("targeted", ()):
            notes += [f"{attack['name']}: {text}" for text in attack.get("warnings", ())]
        if len(result["attacks"]) > 1:
            worst = result["worst_case"]
            rows.append(_row("worst case", worst["robust_acc"], worst["interval"], common))
        rows += [_targeted(attack, common) for attack in result.get("targeted", ())]
        remarks = [f"{a['name']}: {smallest_line(a['smallest'])}" for a in result["attacks"] if "smallest" in a]
        return cls(_title(result), tuple(rows), tuple(notes), tuple(remarks))

    @property
    def blocks(self) -> list[list[tuple[str, ...]]]:
        """Return the cells that people read: heads and rows of the accuracies, then of the success rates."""
        found = []
        for heads, targeted in ((HEADS, False), (TARGETED_HEADS, True)):
            rows = [_shown(row) for row in self.rows if (row["accuracy"] is None) == targeted]
            found += [[heads, *rows]] if rows else []
        return found

    def text(self) -> str:
        """Return lines for a terminal."""
        lines = [self.title]
        for cells in self.blocks:
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            for row in cells:
                others = (text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
                lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
        return "\n".join([*lines, *self.remarks, *(f"warning: {n}" for n in self.notes)])

    def csv(self) -> str:
        """Return COLUMNS and rows as comma-separated values, accuracies as fractions."""
        file = io.StringIO()
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in self.rows)
        return file.getvalue()

    def latex(self) -> str:
        """Return a tabular environment with the rules of the package booktabs, accuracies in percent."""
        blocks = []
        for heads, *rows in self.blocks:
            head = " & ".join(map(tex, heads)) + r" \\"
            lines = [r"\begin{tabular}{lrrrrr}", r"\toprule", head, r"\midrule"]
            lines += [" & ".join(tex(cell) for cell in row) + r" \\" for row in rows]
            blocks.append(
                "\n".join([f"% {' '.join(self.title.split())}", *lines, r"\bottomrule", r"\end{tabular}", ""])
            )
        return "\n".join(blocks)

    def _repr_html_(self) -> str:
        """Return the table as notebooks show it."""
        tables = []
        for number, (heads, *rows) in enumerate(self.blocks):
            caption = f"<caption>{html.escape(self.title)}</caption>" if number == 0 else ""
            head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
            body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
            tables.append(f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        said = (*self.remarks, *(f"warning: {note}" for note in self.notes))
        notes = "".join(f"<p>{html.escape(text)}</p>" for text in said)
        return "".join(tables) + notes

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame of COLUMNS and rows; pandas must be installed."""
        import pandas

        return pandas.DataFrame([dict(row) for row in self.rows], columns=list(COLUMNS))

    def __str__(self) -> str:
        return self.text()


def _row(
    name: str, acc: float, interval: Sequence[float], common: Mapping[str, Any], cost: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    cost = cost or {}
    spent = {"seconds": cost.get("seconds"), "forward": cost.get("forwards"), "backward": cost.get("backwards")}
    row = {"attack": name, "accuracy": acc, "low": interval[0], "high": interval[1], **common, **spent}
    return {**row, "targeted_success_rate": None}


def _targeted(attack: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a targeted attack: no accuracy, the number of images is that of those attacked."""
    own = {name: attack[name] for name in ("norm", "eps") if name in attack}
    row = _row(attack["name"], 0.0, attack["interval"], {**common, **own, "images": attack["attacked"]}, attack)
    return {**row, "accuracy": None, "targeted_success_rate": attack["targeted_success_rate"]}


def _shown(row: Mapping[str, Any]) -> tuple[str, ...]:
    seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
    passes = ("" if row[name] is None else f"{row[name]:,}" for name in ("forward", "backward"))
    interval = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}%"
    name, rate = row["attack"], row["accuracy"]
    if rate is None:  # targeted
        rate, name = row["targeted_success_rate"], f"{name} ({row['images']:,} images)"
    return name, "–" if rate is None else f"{100 * rate:.2f}%", interval, seconds, *passes


def _title(result: Mapping[str, Any]) -> str:
    """Return "MODEL on DATA, Linf, eps 0.031 (7.91/255), 1,000 images" of what the result tells."""
    threat = result.get("threat_model") or _common_threat([*result["attacks"], *result.get("targeted", ())])
    radius = [radius_text(str(threat["norm"]), float(threat["eps"]))] if threat else []
    about = " on ".join(str(result[name]) for name in ("model", "dataset") if result.get(name))
    images = f"{result['examples']:,} image{'' if result['examples'] == 1 else 's'}"
    return ", ".join([*([about] if about else []), *radius, images])


def _common_threat(attacks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return norm and radius where all attacks tell the same."""
    told = {(attack.get("norm"), attack.get("eps")) for attack in attacks}
    norm, eps = next(iter(told)) if len(told) == 1 else (None, None)
    return None if norm is None or eps is None else {"norm": norm, "eps": eps}
