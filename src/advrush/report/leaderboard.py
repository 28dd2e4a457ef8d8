"""Evaluations as a leaderboard: JSON in RobustBench's form with costs beside it, and a page."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advrush.atomic_write import write_atomically
from advrush.config import check, radius_text
from advrush.reading.gate import reading
from advrush.report.names import model_names
from advrush.report.records import Record, find_records

AUTOATTACK = ("autoattack", "autoattack_plus")
HEADS = ("rank", "model", "clean", "robust", "attack", "parameters", "seconds", "forward", "backward")


@dataclass(frozen=True)
class Group:
    """Networks that may be ranked against each other: same data, images, norm, radius and attacks."""

    dataset: str
    norm: str
    eps: float
    examples: int
    attacks: tuple[str, ...]

    @property
    def title(self) -> str:
        """Return the threat model and the attacks in words."""
        radius = radius_text(self.norm, self.eps)
        return f"{self.dataset}, {radius}, {self.examples:,} images, worst case of {', '.join(self.attacks)}"


def leaderboard(runs: Iterable[Path | str], out: Path | str | None = None) -> dict[str, Any]:
    """Return a leaderboard of finished evaluations, networks ordered by robust accuracy within each group.

    Args:
        runs: evaluation runs, or folders of runs.
        out: also write it: a file ending in .json or .html.

    The keys of an entry are those of RobustBench's model_info files (accuracies in percent as text), with `cost`
    beside them. Networks that were attacked differently stand in different groups. Raises ConfigError where there is
    no finished evaluation, or for another ending.
    """
    records = _evaluations(runs)
    check(bool(records), "runs", "none", "at least one finished evaluation")
    names = model_names(records, records)
    groups: dict[Group, list[dict[str, Any]]] = {}
    for record in records:
        with reading(record.path, "the files of an evaluation"):
            group, entry = _group(record), _entry(record, names[record.path])
        groups.setdefault(group, []).append(entry)
    for entries in groups.values():
        entries.sort(key=lambda entry: -float(entry["reported"]))
    board = {"groups": [{**_described(group), "models": entries} for group, entries in groups.items()]}
    if out is not None:
        path = Path(out)
        check(path.suffix in (".json", ".html"), "out", str(path), "a name that ends in .json or .html")
        text = json.dumps(board, indent=2) + "\n" if path.suffix == ".json" else _page(board)
        write_atomically(path, text)
    return board


def board_lines(board: Mapping[str, Any]) -> list[str]:
    """Return a leaderboard in lines for a terminal: a block for each group, ranks within it."""
    lines = []
    for group in board["groups"]:
        width = max(len("model"), *(len(entry["name"]) for entry in group["models"]))
        lines += [group["title"], f"{'rank':>4}  {'model':<{width}}  {'clean':>7}  {'robust':>7}  95% interval"]
        for rank, entry in enumerate(group["models"], start=1):
            low, high = entry["interval"]
            numbers = f"{entry['clean_acc']:>6}%  {entry['reported']:>6}%  {low:.1f} to {high:.1f}%"
            lines.append(f"{rank:>4}  {entry['name']:<{width}}  {numbers}")
        lines.append("")
    return lines


def _evaluations(runs: Iterable[Path | str]) -> list[Record]:
    found: dict[Path, Record] = {}
    for run in map(Path, runs):
        single = (run / "config.toml").is_file()
        for record in [Record.read(run)] if single else find_records(run):
            if record.stage == "evaluate" and record.result and "worst_case" in record.result:
                found[record.path.resolve()] = record
    return list(found.values())


def _group(record: Record) -> Group:
    result = record.result or {}
    threat = result["threat_model"]
    attacks = tuple(sorted(row["name"] for row in result["attacks"]))
    return Group(str(result["dataset"]), threat["norm"], float(threat["eps"]), int(result["examples"]), attacks)


def _described(group: Group) -> dict[str, Any]:
    return {
        "title": group.title, "dataset": group.dataset, "threat_model": group.norm, "eps": group.eps,
        "examples": group.examples, "attacks": list(group.attacks),
    }  # fmt: skip


def _entry(record: Record, name: str) -> dict[str, Any]:
    """Return a network's entry; `autoattack_acc` is None where AutoAttack was not among the attacks."""
    result = record.result or {}
    attacks = {row["name"]: row for row in result["attacks"]}
    full = next((attacks[attack] for attack in AUTOATTACK if attack in attacks), None)
    robust = result["worst_case"]["robust_acc"]
    cost = {"seconds": 0.0, "forwards": 0, "backwards": 0}
    for row in attacks.values():
        for key in cost:
            cost[key] += row.get(key) or 0
    return {
        "name": name,
        "dataset": result["dataset"],
        "threat_model": result["threat_model"]["norm"],
        "eps": _eps(result["threat_model"]),
        "clean_acc": f"{100 * result['clean_acc']:.2f}",
        "reported": f"{100 * robust:.2f}",
        "autoattack_acc": f"{100 * full['robust_acc']:.2f}" if full else None,
        "additional_data": False,
        "parameters": result.get("parameters"),
        "interval": [round(100 * value, 2) for value in result["worst_case"]["interval"]],
        "cost": {**cost, "seconds": round(cost["seconds"], 3)},
    }


def _eps(threat: Mapping[str, Any]) -> str:
    """Return the radius as RobustBench writes it: in 255ths, of L1 as it is."""
    return f"{threat['eps']:g}" if threat["norm"] == "L1" else f"{255 * threat['eps']:.4g}/255"


def _page(board: dict[str, Any]) -> str:
    parts = [_table(group) for group in board["groups"]]
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
        ":root{color-scheme:light dark}"
        "div{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.25rem .75rem;text-align:right}"
        "td:nth-child(2),th:nth-child(2){text-align:left}tr{border-bottom:1px solid #8884}"
    )
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Leaderboard</title><style>{style}</style></head>"
    )
    about = "<p>Networks are ranked within a table only: others were attacked in another way, or on other images.</p>"
    return f"{head}<body><h1>Leaderboard</h1>{about}{''.join(parts)}</body></html>\n"


def _table(group: dict[str, Any]) -> str:
    rows = []
    for rank, entry in enumerate(group["models"], start=1):
        low, high = entry["interval"]
        cost = entry["cost"]
        robust = f"{entry['reported']}% ({low:.1f} to {high:.1f})"
        attack = "AutoAttack" if entry["autoattack_acc"] else "no AutoAttack"
        count = "" if entry["parameters"] is None else f"{entry['parameters']:,}"
        cells = (
            str(rank), entry["name"], f"{entry['clean_acc']}%", robust, attack, count, f"{cost['seconds']:.1f}",
            f"{cost['forwards']:,}", f"{cost['backwards']:,}",
        )  # fmt: skip
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in HEADS)
    title = html.escape(group["title"])
    return f"<h2>{title}</h2><div><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
