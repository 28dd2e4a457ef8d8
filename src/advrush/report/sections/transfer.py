"""Section "Transfer": accuracies under examples that were made on another network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from advrush.report.labels import attack_label, format_eps, percent
from advrush.report.names import label_name
from advrush.report.records import Record
from advrush.report.section import Chapter, Note, Render, Section, body
from advrush.report.table import Entry, Table

WIDEST_MATRIX = 4
"""Networks whose names stand above the columns of a transfer matrix; more are numbered."""

NOTE = (
    "Row: the network that the examples were made on. Column: the network that is attacked with them. Where both are "
    "the same it is the white-box value."
)


def transfer_table(transfer: Record, records: Sequence[Record]) -> Table:
    """Return a transfer matrix in percent: row = source of the examples, column = attacked network.

    Networks are numbered in the heads of the columns where their names would make the table wider than a page.
    """
    result = transfer.result or {}
    names = heads = [label_name(label, records) for label in result["models"]]
    if len(names) > WIDEST_MATRIX:
        heads = [f"[{number}]" for number in range(1, len(names) + 1)]
        names = [f"{head} {name}" for head, name in zip(heads, names, strict=True)]
    threat = result["threat_model"]
    caption = (
        f"Transfer: accuracy in percent under {attack_label(result['attack'])} examples made on another network, "
        f"{result['dataset']}, {result['examples']:,} test images, {threat['norm']} eps = {format_eps(threat['eps'])}"
    )
    rows = [(Entry("no attack"), *(Entry(percent(value)) for value in result["clean"]))]
    for source, row in enumerate(result["matrix"]):
        cells = (Entry(percent(v), "white box" if target == source else "") for target, v in enumerate(row))
        rows.append((Entry(names[source]), *cells))
    return Table(caption, ("source of the examples", *heads), tuple(rows))


def numbers(record: Record) -> Mapping[str, str]:
    """Return how many networks, and which attack."""
    result = record.result
    return {"networks": str(len(result["models"])), "attack": attack_label(result["attack"])} if result else {}


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section of all finished transfers."""
    if transfers := [record for record in records if record.stage == "transfer" and record.result]:
        tables = [transfer_table(record, records) for record in transfers]
        yield Section("transfer", "Transfer", body(render, *tables, Note(NOTE)))


TRANSFER = Chapter(sections, kind="transfer", numbers=numbers)
