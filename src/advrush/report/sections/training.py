"""Section "Training": losses and held-out accuracies of all trainings by epoch, and their table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from advrush.report.drawing.architectures import Style, styles_by_label
from advrush.report.drawing.axes import Rows, epoch_axis, mark_drops, rate_drops
from advrush.report.drawing.plot import INK, legend_above, new_figure, signed, to_svg, xy
from advrush.report.identity import digests, network_styles
from advrush.report.labels import data_set, duration, format_count, format_epoch, percent, progress
from advrush.report.names import model_names
from advrush.report.records import Record
from advrush.report.section import Chapter, Picture, Render, Section, Sentence, body
from advrush.report.sections import robustness
from advrush.report.table import Entry, Table


def training_curves(runs: Mapping[str, Rows], styles: Mapping[str, Style] | None = None) -> Figure:
    """Draw the training loss (left) and held-out accuracies in percent (right): robust solid, clean dashed.

    Dotted lines mark where the learning rate drops to half or less from one epoch to the next, in the run's color.

    A ring marks the epoch of the highest robust accuracy, whose weights are kept; a diamond the first measured one from
    the first rate drop on; a square the last: what falls after the ring is robust overfitting. The same marks stand on
    the clean curve. `styles`: see `drawing.architectures`; by the labels unless given.
    """
    figure, (left, right) = new_figure(2)
    styles = styles or styles_by_label(runs)
    for label, rows in runs.items():
        color, points = styles[label].color, styles[label].points(len(rows))
        left.plot(*xy(rows, "loss_train"), color=color, label=label, **points)
        right.plot(*xy(rows, "clean_acc_val", scale=100), color=color, linestyle=(0, (3, 2)), **points)
        right.plot(*xy(rows, "robust_acc_val", scale=100), color=color, **points)
        for marker, row in marked_epochs(rows).items():
            for key in ("robust_acc_val", "clean_acc_val"):
                right.plot(*xy([row], key, scale=100), marker, **RING, markeredgecolor=color)
    drops = [mark_drops((left, right), rows, styles[label].color) for label, rows in runs.items()]
    if any(drops):
        right.plot([], [], color=INK, linewidth=1, linestyle=(0, (1, 2)), label="rate drops")
    right.plot([], [], color=INK, linestyle=(0, (3, 2)), label="clean")
    right.plot([], [], color=INK, label="robust")
    shown = {marker for rows in runs.values() for marker in marked_epochs(rows)}
    for marker, name in MARKS.items():
        if marker in shown:
            right.plot([], [], marker, **RING, markeredgecolor=INK, label=name)
    right.set_xlim(left.get_xlim())  # held-out images may be measured in few epochs
    left.set_ylabel("training loss, nats")
    right.set_ylabel("held-out accuracy, %")
    for axis in (left, right):
        epoch_axis(axis)
    legend_above(figure, (left, right))
    return figure


MARKS = {"o": "best, kept", "D": "after first drop", "s": "last"}
RING: Mapping[str, Any] = {"linestyle": "None", "markersize": 8, "markerfacecolor": "none"}


def marked_epochs(rows: Rows) -> dict[str, Mapping[str, Any]]:
    """Return the epochs that a reader of robust overfitting compares, by their mark: see MARKS."""
    measured = [row for row in rows if isinstance(row.get("robust_acc_val"), int | float)]
    if not measured:
        return {}
    found = {"o": max(measured, key=lambda row: float(row["robust_acc_val"]))}
    drops = rate_drops(rows)
    after = [row for row in measured if drops and row["epoch"] >= rows[drops[0]]["epoch"]]
    return {**found, **({"D": after[0]} if after else {}), "s": measured[-1]}


def training_table(trainings: Sequence[Record], records: Sequence[Record]) -> Table:
    """Return the trainings: objective, parameters, epochs, held-out accuracies of the kept checkpoint, time."""
    names = model_names(trainings, records)
    dropped = any(rate_drops(record.rows) for record in trainings)
    rows = []
    for record in trainings:
        result = record.result or {}
        total = record.epochs or len(record.rows)
        after = [Entry(percent(_after_drop(record)))] if dropped else []
        epochs = f"{total}" if record.result else f"{len(record.rows)} of {total}, unfinished"
        rows.append(
            (
                Entry(names[record.path]), Entry(str(record.config.get("objective", "–"))),
                Entry(format_count(result.get("parameters"))), Entry(epochs),
                Entry(format_epoch(result.get("best_epoch"))), Entry(percent(result.get("clean_acc_val"))),
                Entry(percent(result.get("robust_acc_val"))), *after,
                Entry(percent(result.get("robust_overfitting"))),
                Entry(duration(record.seconds)),
            )
        )  # fmt: skip
    drop = ("robust after first rate drop",) if dropped else ()
    columns = (
        "network", "objective", "parameters", "epochs", "best epoch", "clean", "robust", *drop, "lost since", "time"
    )  # fmt: skip
    return Table(
        "Trainings; accuracies in percent of the best epoch, on images held out of the training set, and the robust "
        "accuracy that the last epoch has lost since (robust overfitting)",
        columns,
        tuple(rows),
    )


def _after_drop(record: Record) -> float | None:
    """Return the robust accuracy on held-out images of the first measured epoch from the first rate drop on."""
    drops = rate_drops(record.rows)
    measured = [row.get("robust_acc_val") for row in record.rows[drops[0] :]] if drops else []
    return next((float(value) for value in measured if isinstance(value, int | float)), None)


def training_body(trainings: Sequence[Record], records: Sequence[Record], render: Render) -> Markup:
    """Return the trainings' curves in one figure and their table."""
    names = model_names(trainings, records)
    styles = network_styles(trainings, names, records)
    figure = training_curves({names[record.path]: record.rows for record in trainings}, styles)
    caption = (
        "Left: the loss on the training inputs. Right: accuracy on images held out of the training set, clean and "
        "under attack; marked are the best epoch, the first after the first drop of the learning rate, and the last. "
        "Dotted: where the learning rate drops."
    )
    svg = to_svg(signed(figure, *digests(trainings)), title="Training loss and held-out accuracies by epoch")
    return body(render, Picture(svg, caption), training_table(trainings, records))


def sentence(record: Record) -> str:
    """Return a training's size, length and data."""
    parameters = (record.result or {}).get("parameters")
    size = f"has {format_count(parameters)} parameters and " if parameters else ""
    epochs = f"for {len(record.rows)} epochs " if record.rows else ""
    return f"{size}was trained {epochs}on {data_set(record)} ({progress(record)})."


def sentences(records: Sequence[Record]) -> list[Sentence]:
    """Return a sentence for each training, with its evaluation's behind it where there is one alone."""
    trainings = [record for record in records if record.stage == "train"]
    names, lines = model_names(trainings, records), []
    for training in trainings:
        test = robustness.only_evaluation(training, records)
        more = "" if test is None else f" It {robustness.sentence(test)}"
        lines.append(Sentence(names[training.path], sentence(training) + more))
    return lines


def numbers(record: Record) -> Mapping[str, str]:
    """Return the parameters, and the last or the kept clean and robust accuracies on held-out images."""
    last = {**(record.rows[-1] if record.rows else {}), **(record.result or {})}
    shown = {"clean": last.get("clean_acc_val"), "robust": last.get("robust_acc_val")}
    found = {name: f"{percent(value)}%" for name, value in shown.items() if value is not None}
    return {"parameters": format_count(last.get("parameters")), **found}


def sections(records: Sequence[Record], render: Render) -> Iterator[Section]:
    """Yield the section of all trainings that have begun."""
    if trainings := [record for record in records if record.stage == "train" and record.rows]:
        yield Section("training", "Training", training_body(trainings, records, render))


TRAINING = Chapter(sections, sentences, kind="train", numbers=numbers)
