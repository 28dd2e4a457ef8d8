"""The tables of analyses: Table 6, curvature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advrush.report.drawing.palette import kind_label
from advrush.report.tables import Entry, Table, format_count, percent

OPERATIONS = {
    "max_pool": "max pool", "avg_pool": "average pool", "skip_connect": "skip", "sep_conv": "separable",
    "dil_conv": "dilated",
}  # fmt: skip


def architecture_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return Table 6; what the paper prints where it differs stands below the number."""
    groups = list(dict.fromkeys(name for row in rows for name in row.get("counts", ())))
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.get("width", ())))
    columns = ["architecture", "parameters", "MACs", *(OPERATIONS.get(name, name.replace("_", " ")) for name in groups)]
    columns += [f"{what}, {kind_label(kind).lower()}" for what in ("width", "depth") for kind in kinds]
    columns += ["HRS, standard", "HRS, adversarial"]
    return Table("Anatomy of the architectures (Table 6)", tuple(columns), tuple(_row(r, groups, kinds) for r in rows))


def _row(row: Mapping[str, Any], groups: Sequence[str], kinds: Sequence[str]) -> tuple[Entry, ...]:
    printed = row.get("printed", {})
    size = f"c = {row['channels']}, {row['layers']} cells" if row.get("channels") and row.get("layers") else ""
    entries = [Entry(row["name"], size), Entry(format_count(row["parameters"])), Entry(format_count(row["macs"]))]
    for key, names, unit in (("counts", groups, ""), ("width", kinds, "c"), ("depth", kinds, "")):
        for name in names:
            entries.append(_entry(row.get(key, {}).get(name), printed.get(key, {}).get(name), unit))
    for trained in ("standard", "adversarial"):
        score = row.get("hrs", {}).get(trained)
        paper = printed.get(f"hrs_{trained}")
        detail = f"paper {percent(paper)}" if paper is not None else ""
        entries.append(Entry(percent(score["hrs"]) if score else "–", detail))
    return tuple(entries)


def _entry(value: float | None, printed: float | None, unit: str) -> Entry:
    if value is None:
        return Entry("–")
    return Entry(f"{value:g}{unit}", f"paper {printed:g}{unit}" if printed is not None and printed != value else "")


def curvature_table(models: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the means of curvature over the images, with their intervals; `models` gives the results by name."""
    names = {
        "lambda_max": "λ_max", "frobenius": "‖H‖_F", "trace": "trace", "l_lambda": "L_λ", "cosine": "c of Theorem 1",
    }  # fmt: skip
    rows = []
    for name, result in models.items():
        entries = [Entry(name, f"{100 * result['clean_acc']:.1f}% of {result['images']} right")]
        entries += [interval_entry(result[key]) for key in names]
        error = f"{result['relative_error']:.1g}"
        rows.append((*entries, Entry(str(result["method"]), f"relative error {error}")))
    caption = "Curvature of the loss in the image: means over the images"
    return Table(caption, ("network", *names.values(), "computed"), tuple(rows))


def interval_entry(value: Mapping[str, float]) -> Entry:
    """Return a mean with its interval."""
    return Entry(f"{value['mean']:.3g}", f"[{value['low']:.3g}, {value['high']:.3g}]")
