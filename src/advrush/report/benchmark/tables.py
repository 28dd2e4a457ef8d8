"""The tables of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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


STATES = {
    "init": "as initialized",
    "trained": "after a short training",
    "inherited": "with weights inherited from a supernet",
}


def predictors_table(result: Mapping[str, Any]) -> Table:
    """Return each score's rank correlations with the truth, plain and given the number of parameters."""
    statistics = ("kendall", "kendall_partial", "spearman", "spearman_partial")
    best = max((each["kendall"]["value"] for each in result["predictors"] if each["kendall"]), default=0.0)
    rows = []
    for each in sorted(result["predictors"], key=lambda one: -(one["kendall"] or {"value": -2})["value"]):
        entries = [_interval(each[name]) for name in statistics]
        if each["kendall"] and each["kendall"]["value"] == best:
            entries[0] = replace(entries[0], best=True)
        sign = "lower is better" if each["sign"] < 0 else ""
        rows.append((Entry(each["about"], sign), *entries, Entry(each["verdict"])))
    of = f"{result['rows']} of {result['of']}" if result["rows"] < result["of"] else f"{result['rows']:,}"
    caption = (
        f"Scores of networks {STATES[result['state']]}, and {result['measure']} in the table {result['table']} "
        f"({of} rows): rank correlations"
    )
    given = f"given {label(result['given'])}"
    columns = ("score", "Kendall", f"Kendall {given}", "Spearman", f"Spearman {given}", "verdict")
    return Table(caption, columns, tuple(rows))


def predictors_sentence(result: Mapping[str, Any]) -> str:
    """Return which scores beat counting, in words."""
    named = {each["name"]: each for each in result["predictors"]}
    best = named[result["reference"]]
    tau = f"{best['kendall']['value']:.2f}" if best["kendall"] else "0"
    beating = [each["about"] for each in result["predictors"] if each["verdict"] == "beats counting"]
    told = f"Only {', '.join(beating)} beat{'s' if len(beating) == 1 else ''} it." if beating else (
        "No other score beats it: what they foretell is no more than counting does."
    )  # fmt: skip
    return f"Of what only counts, {best['about']} rank best with {result['measure']} (Kendall {tau}). {told}"


LABELS = {
    "validation_loss": "− validation loss", "l_lambda": "− L_λ", "clean_acc": "clean accuracy",
    "pgd_acc": "PGD accuracy", "parameters": "parameters",
}  # fmt: skip


def label(name: str) -> str:
    """Return a score's name for people; a minus says that its sign is changed, so that higher is better."""
    return LABELS.get(name, name.replace("_", " "))


def _with_std(value: Mapping[str, float | None], digits: int) -> Entry:
    if value["mean"] is None:
        return Entry("–")
    return Entry(f"{value['mean']:.{digits}g}", "" if value["std"] is None else f"± {value['std']:.2g}")


def _interval(value: Mapping[str, float] | None) -> Entry:
    if value is None:
        return Entry("–")
    return Entry(f"{value['value']:.2f}", f"[{value['low']:.2f}, {value['high']:.2f}]")
