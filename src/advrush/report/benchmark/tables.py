"""The tables of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advrush.report.labels import duration
from advrush.report.table import Entry, Table


def searches_table(result: Mapping[str, Any]) -> Table:
    """Return what each method finds: mean over the seeds, with the standard deviation behind it."""
    rows = []
    for method in result["methods"]:
        finds = method["finds"]
        count = f"{len(finds)} seeds" if len(finds) > 1 else ""
        missing = f"{method['missing']} not in the table" if method["missing"] else ""
        seconds = sum(find["seconds"] for find in finds) / len(finds)
        trained = finds[0]["trainings"]
        cost = f"{trained} trainings" if trained else duration(seconds) if seconds else "nothing"
        entries = [_with_std(method[key], digits) for key, digits in (("value", 4), ("percentile", 3), ("rank", 4))]
        rows.append(
            (
                Entry(method["label"], ", ".join(part for part in (count, missing) if part)), *entries,
                _with_std(method["regret"], 3), Entry(cost),
            )
        )  # fmt: skip
    caption = (
        f"What each method finds: {result['measure']} in the table {result['table']} "
        f"({result['rows']:,} rows, best {result['best']:.4g}, mean {result['mean']:.4g})"
    )
    columns = ("method", "value", "percentile from the top", "rank", "regret to the best", "cost of one")
    return Table(caption, columns, tuple(rows))


def scores_table(result: Mapping[str, Any]) -> Table:
    """Return how each supernet's scores of the rows, with inherited weights, rank with the truth."""
    names = list(result["scores"][0]["scores"])
    rows = [
        (
            Entry(f"{each['label']}, seed {each['seed']}", f"{each['rows']} rows"),
            *(_interval(each["scores"][name]["kendall"]) for name in names),
        )
        for each in result["scores"]
    ]
    caption = f"Kendall's tau of each supernet's scores of the rows with {result['measure']}; higher is better"
    return Table(caption, ("supernet", *(label(name) for name in names)), tuple(rows))


LABELS = {
    "validation_loss": "− validation loss", "l_lambda": "− L_λ", "clean_acc": "clean accuracy",
    "pgd_acc": "PGD accuracy", "parameters": "parameters",
}  # fmt: skip


def label(name: str) -> str:
    """Return a score's name for people; a minus says that its sign is turned, so that higher is better."""
    return LABELS.get(name, name.replace("_", " "))


def _with_std(value: Mapping[str, float | None], digits: int) -> Entry:
    if value["mean"] is None:
        return Entry("–")
    return Entry(f"{value['mean']:.{digits}g}", "" if value["std"] is None else f"± {value['std']:.2g}")


def _interval(value: Mapping[str, float] | None) -> Entry:
    if value is None:
        return Entry("–")
    return Entry(f"{value['value']:.2f}", f"[{value['low']:.2f}, {value['high']:.2f}]")
