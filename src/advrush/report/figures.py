"""The figures of runs: curves of a search and of trainings, and accuracies as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from advrush.report.drawing.palette import kind_label, series_color
from advrush.report.drawing.plot import INK, legend_above, new_figure, xy

Rows = Sequence[Mapping[str, Any]]


def search_curves(rows: Rows) -> Figure:
    """Draw L_val (left, linear) and L_lambda (right, logarithmic) against the epoch (Figure 2)."""
    figure, (left, right) = new_figure(2)
    left.plot(*xy(rows, "loss_train"), color=series_color(1), label="training half (weights)")
    left.plot(*xy(rows, "loss_val"), color=series_color(0), label="validation half (architecture)")
    left.set_ylabel("loss")
    _log_curve(right, rows, color=series_color(3), label="curvature L_λ")
    right.set_ylabel("L_λ (log scale)")
    for axis in (left, right):
        _epochs(axis)
        _mark_switch(axis, rows)
    legend_above(figure, (left, right))
    return figure


def curvature_curves(runs: Mapping[str, Rows]) -> Figure:
    """Draw L_lambda of several searches against the epoch, logarithmic (Figure A1)."""
    figure, (axis,) = new_figure()
    for index, (label, rows) in enumerate(runs.items()):
        _log_curve(axis, rows, color=series_color(index), label=label)
    switches = {switch_epoch(rows) for rows in runs.values()} - {None}
    if len(switches) == 1:
        _mark_switch(axis, next(rows for rows in runs.values() if switch_epoch(rows) is not None))
    axis.set_ylabel("L_λ (log scale)")
    _epochs(axis)
    legend_above(figure, (axis,))
    return figure


def architecture_curves(rows: Rows) -> Figure:
    """Draw the mean entropy of softmax(alpha) and the skip connections of the genotype so far, by cell kind."""
    figure, (left, right) = new_figure(2, height=2.9)
    for index, kind in enumerate(rows[-1]["alpha_entropy"]):
        for axis, key in ((left, "alpha_entropy"), (right, "skips")):
            flat = [{"epoch": row["epoch"], key: row.get(key, {}).get(kind)} for row in rows]
            step: dict[str, Any] = {"drawstyle": "steps-mid"} if key == "skips" else {}
            axis.plot(*xy(flat, key), color=series_color(index), label=kind_label(kind), **_dots(rows), **step)
    left.set_ylabel("entropy of an edge, nats")
    right.set_ylabel("skip connections")
    right.set_ylim(bottom=-0.2)
    right.yaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (left, right):
        _epochs(axis)
    legend_above(figure, (left,))
    return figure


def training_curves(runs: Mapping[str, Rows]) -> Figure:
    """Draw the training loss (left) and held-out accuracies in percent (right): robust solid, clean dashed.

    Dotted lines mark where the learning rate drops to half or less from one epoch to the next, in the run's color.

    A ring marks the epoch of the highest robust accuracy, whose weights are kept; what falls after it is overfitting.
    """
    figure, (left, right) = new_figure(2)
    for index, (label, rows) in enumerate(runs.items()):
        color = series_color(index)
        left.plot(*xy(rows, "loss_train"), color=color, label=label, **_dots(rows))
        right.plot(*xy(rows, "clean_acc_val", scale=100), color=color, linestyle=(0, (3, 2)), **_dots(rows))
        epochs, robust = xy(rows, "robust_acc_val", scale=100)
        right.plot(epochs, robust, color=color, **_dots(rows))
        if robust:
            best = max(range(len(robust)), key=robust.__getitem__)
            right.plot(epochs[best], robust[best], "o", markersize=8, markerfacecolor="none", markeredgecolor=color)
    drops = [_mark_drops((left, right), rows, series_color(index)) for index, rows in enumerate(runs.values())]
    if any(drops):
        right.plot([], [], color=INK, linewidth=1, linestyle=(0, (1, 2)), label="rate drops")
    right.plot([], [], color=INK, linestyle=(0, (3, 2)), label="clean")
    right.plot([], [], color=INK, label="robust")
    right.plot([], [], "o", markersize=8, markerfacecolor="none", markeredgecolor=INK, label="best, kept")
    left.set_ylabel("training loss")
    right.set_ylabel("held-out accuracy, %")
    for axis in (left, right):
        _epochs(axis)
    legend_above(figure, (left, right))
    return figure


def rate_drops(rows: Rows) -> list[int]:
    """Return the epochs (from 0) at whose begin the learning rate is at most half of that of the epoch before.

    Not the end of a cosine, which falls by such factors too: a drop is a step, the rate is the same before and after.
    """
    rates = [float(row["lr"]) for row in rows if isinstance(row.get("lr"), int | float)]
    found = []
    for epoch in range(1, len(rates)):
        level = epoch < 2 or rates[epoch - 2] == rates[epoch - 1]
        if level and 0 < rates[epoch] <= 0.5 * rates[epoch - 1]:
            found.append(epoch)
    return found


def _mark_drops(axes: Sequence[Axes], rows: Rows, color: str) -> bool:
    drops = rate_drops(rows)
    for axis in axes:
        for epoch in drops:
            axis.axvline(epoch + 0.5, color=color, linewidth=1, linestyle=(0, (1, 2)), zorder=0)
    return bool(drops)


def accuracy_bars(models: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> Figure:
    """Draw accuracies as bars, one group an attack, one color a model.

    `models` gives, by model and by attack ("clean" too), the accuracy and its interval, all fractions.
    """
    attacks = list(dict.fromkeys(attack for row in models.values() for attack in row))
    attacks.sort(key=lambda attack: attack == "worst case")
    figure, (axis,) = new_figure(height=3.1)
    width = 0.8 / len(models)
    for index, (model, row) in enumerate(models.items()):
        places = [attacks.index(attack) - 0.4 + (index + 0.5) * width for attack in row]
        values = [100 * value for value, _, _ in row.values()]
        whiskers = [[max(0.0, 100 * (v - low)) for v, low, _ in row.values()],
                    [max(0.0, 100 * (high - v)) for v, _, high in row.values()]]  # fmt: skip
        axis.bar(places, values, width * 0.9, color=series_color(index), label=model)
        axis.errorbar(places, values, whiskers, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2)
    axis.set_xticks(range(len(attacks)), [attack_label(attack) for attack in attacks])
    axis.set_xlim(-0.5, len(attacks) - 0.5)
    axis.set_ylabel("accuracy, %")
    axis.set_ylim(0, 100)
    axis.grid(visible=False, axis="x")
    legend_above(figure, (axis,))
    return figure


def sweep_curves(models: Mapping[str, Sequence[Mapping[str, Any]]], kind: str) -> Figure:
    """Draw robust accuracy in percent, with its interval, against PGD's steps (log scale, Figure A6) or the radius.

    `models` gives each model's rows with `kind` ("steps" or "eps"), robust_acc and interval, fractions.
    """
    figure, (axis,) = new_figure(height=3.1)
    for index, (model, rows) in enumerate(models.items()):
        places = [row[kind] for row in rows]
        low, high = ([100 * row["interval"][side] for row in rows] for side in (0, 1))
        axis.fill_between(places, low, high, color=series_color(index), alpha=0.15, linewidth=0)
        axis.plot(
            places, [100 * row["robust_acc"] for row in rows], color=series_color(index), label=model, **_dots(rows)
        )
    if kind == "steps":
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(FixedLocator(sorted({row[kind] for rows in models.values() for row in rows})))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel("steps of PGD")
    else:
        axis.set_xlabel("radius eps of the ball, [0, 1] pixels")
    axis.set_ylabel("robust accuracy, %")
    axis.set_ylim(bottom=0)
    legend_above(figure, (axis,))
    return figure


def attack_label(name: str) -> str:
    """Return an attack's name for people: `pgd20` is "PGD-20"."""
    known = {
        "clean": "clean", "worst case": "worst case", "autoattack": "AutoAttack", "square": "Square",
        "apgd_duo": "APGD-CE + APGD-T (not AutoAttack)",
    }  # fmt: skip
    if name in known:
        return known[name]
    letters = name.rstrip("0123456789")
    parts = [letters.strip("_-").replace("_", "-").upper(), name[len(letters) :]]
    return "-".join(part for part in parts if part)


def switch_epoch(rows: Rows) -> int | None:
    """Return the first epoch (from 1) that the whole objective governs, None if there was no warm-up before it."""
    phases = [row.get("phase") for row in rows]
    if "warmup" not in phases or "objective" not in phases:
        return None
    return int(rows[phases.index("objective")]["epoch"]) + 1


def _mark_switch(axis: Axes, rows: Rows) -> None:
    """Mark where the warm-up ends with a line and a word above the panel."""
    if (epoch := switch_epoch(rows)) is not None:
        axis.axvline(epoch - 0.5, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        axis.annotate(
            "objective on", (epoch - 0.5, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
            va="bottom", ha="center", fontsize=8, color=INK,
        )  # fmt: skip


def _log_curve(axis: Axes, rows: Rows, *, color: str, label: str) -> None:
    epochs, values = xy(rows, "curvature")
    pairs = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if value > 0]
    if pairs:
        axis.plot(*zip(*pairs, strict=True), color=color, label=label, **_dots(pairs))
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_locator(NullLocator())


def _dots(rows: Sequence[Any]) -> dict[str, Any]:
    """Return dots for few points: a single epoch would draw no line."""
    return {"marker": "o", "markersize": 3} if len(rows) <= 30 else {}


def _epochs(axis: Axes) -> None:
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
