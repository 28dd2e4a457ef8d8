"""Success rates of targeted attacks as a table of their own: they are no accuracies."""

from __future__ import annotations

from collections.abc import Sequence

from advrush.report.labels import attack_label, format_whole, percent
from advrush.report.names import model_names
from advrush.report.records import Record
from advrush.report.table import Entry, Table


def targeted_table(evaluations: Sequence[Record], records: Sequence[Record]) -> Table:
    """Return how often each targeted attack reached its class, in percent of the attacked images, with 95% intervals.

    `records` are all runs of the report: they tell a model's name. The table has no rows where nothing was targeted.
    """
    names = model_names(evaluations, records)
    rows = []
    for record in evaluations:
        for attack in (record.result or {}).get("targeted", ()):
            rate, (low, high) = attack["targeted_success_rate"], attack["interval"]
            shown = Entry("–") if rate is None else Entry(percent(rate), f"[{percent(low, 1)}, {percent(high, 1)}]")
            name = f"{names[record.path]}, {attack_label(attack['name'])}"
            rows.append((Entry(name), shown, Entry(format_whole(attack["attacked"]))))
    caption = (
        "Targeted attacks: images taken for the target, in percent of those attacked (right before, of another class)"
    )
    return Table(caption, ("model, attack", "success rate", "attacked"), tuple(rows))
