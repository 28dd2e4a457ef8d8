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
    if kinds:
        cells = ", ".join(kind_label(kind).lower().removesuffix(" cell") for kind in kinds)
        columns += [f"width ({cells})", f"depth ({cells})"]
    columns += ["HRS, standard", "HRS, adversarial"]
    return Table("Anatomy of the architectures (Table 6)", tuple(columns), tuple(_row(r, groups, kinds) for r in rows))


def _row(row: Mapping[str, Any], groups: Sequence[str], kinds: Sequence[str]) -> tuple[Entry, ...]:
    printed = row.get("printed", {})
    size = f"c = {row['channels']}, {row['layers']} cells" if row.get("channels") and row.get("layers") else ""
    entries = [Entry(row["name"]), Entry(format_count(row["parameters"]), size), Entry(format_count(row["macs"]))]
    for name in groups:
        value, paper = row.get("counts", {}).get(name), printed.get("counts", {}).get(name)
        detail = f"paper {paper}" if paper is not None and paper != value else ""
        entries.append(Entry("–" if value is None else str(value), detail))
    for key, unit in (("width", "c"), ("depth", "")) if kinds else ():
        entries.append(_by_kind(row.get(key, {}), printed.get(key, {}), kinds, unit))
    for trained in ("standard", "adversarial"):
        score = row.get("hrs", {}).get(trained)
        paper = printed.get(f"hrs_{trained}")
        detail = f"paper {percent(paper)}" if paper is not None else ""
        entries.append(Entry(percent(score["hrs"]) if score else "–", detail))
    return tuple(entries)


def _by_kind(found: Mapping[str, float], printed: Mapping[str, float], kinds: Sequence[str], unit: str) -> Entry:
    """Return the values of all kinds of cells in one entry, what the paper prints below where one differs."""
    if not found:
        return Entry("–")

    def written(values: Mapping[str, float]) -> str:
        return ", ".join(f"{values[kind]:g}{unit}" if kind in values else "–" for kind in kinds)

    return Entry(written(found), f"paper {written(printed)}" if printed and printed != found else "")


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
