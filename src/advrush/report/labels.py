"""Display names and number formats: attacks, primitives, cells, counts, percentages, durations."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from advrush.space import CellGraph

if TYPE_CHECKING:
    from advrush.report.records import Record

WORST = "worst case"

ATTACKS = {
    "clean": "clean", WORST: WORST, "autoattack": "AutoAttack", "square": "Square",
    "autoattack_plus": "AutoAttack (plus)", "autoattack_rand": "AutoAttack (rand)", "adaptive": "adaptive ensemble",
    "apgd_duo": "APGD-CE + APGD-T (not AutoAttack)", "deepfool": "DeepFool", "cw_l2": "C&W (L2)",
}  # fmt: skip

OPERATIONS = {
    "max_pool": "max pool", "avg_pool": "average pool", "skip_connect": "skip", "sep_conv": "separable",
    "dil_conv": "dilated",
}  # fmt: skip


def attack_label(name: str) -> str:
    """Return an attack's name for people: `pgd20x5` is "PGD-20 ×5", `pgd20_to_next` "PGD-20 to next"."""
    if name in ATTACKS:
        return ATTACKS[name]
    plain, _, target = name.partition("_to_")
    if target:
        aim = f"class {target}" if target.isdecimal() else target.replace("_", " ")
        return f"{attack_label(plain)} to {aim}"
    if name.endswith("_estimate"):
        return f"{attack_label(name.removesuffix('_estimate'))} (estimate)"
    steps = re.fullmatch(r"([a-zA-Z_-]+?)[_-]?(\d+)(?:x(\d+))?", name)
    if steps is None:
        return name.strip("_-").replace("_", "-").upper()
    restarts = f" ×{steps[3]}" if steps[3] else ""
    return f"{steps[1].replace('_', '-').upper()}-{steps[2]}{restarts}"


def primitive_label(primitive: str) -> str:
    """Return a primitive's name for people: `sep_conv_3x3` is "sep conv 3×3", `skip_connect` is "skip"."""
    spaced = primitive.removesuffix("_connect").replace("_", " ")
    return re.sub(r"(\d)x(\d)", r"\1×\2", spaced)


def operation_label(family: str) -> str:
    """Return the name of a family of primitives whose filters differ in size: `sep_conv` is "separable"."""
    return OPERATIONS.get(family, family.replace("_", " "))


def in_words(graph: CellGraph) -> str:
    """Return a cell's primitives with their counts, the most frequent first."""
    counts = Counter(edge.primitive for edge in graph.edges)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count} {primitive_label(primitive)}" for primitive, count in ordered)


def state_label(state: int, inputs: int) -> str:
    """Return the name of a cell's state: its inputs are c_k-2 and c_k-1 (or "input"), nodes count from 0."""
    if state >= inputs:
        return str(state - inputs)
    return "input" if inputs == 1 else f"c_k-{inputs - state}"


def kind_label(kind: str) -> str:
    """Return the name of a cell kind for headings."""
    return {"reduce": "Reduction cell", "cell": "Cell"}.get(kind, f"{kind.capitalize()} cell")


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction as percent without the sign; a dash for None."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f}"


def format_count(count: int | None) -> str:
    """Return a number of parameters as 4.16 M or 35.2 k."""
    if count is None:
        return "–"
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.1f} k" if count >= 1e3 else str(count)


def format_whole(count: int | None) -> str:
    """Return a whole number with separators."""
    return "–" if count is None else f"{count:,}"


def format_eps(eps: float) -> str:
    """Return eps in pixel units and in gray levels, 0.031 (7.9/255): papers give it in either."""
    levels = eps * 255
    whole = levels >= 1 and abs(levels - round(levels)) < 1e-3
    return f"{round(levels)}/255 ({eps:.4f})" if whole else f"{eps:g} ({levels:.1f}/255)"


def format_epoch(index: int | None) -> str:
    """Return the number of an epoch, counted from 1, whose index counts from 0."""
    return "–" if index is None else str(index + 1)


def duration(seconds: float) -> str:
    """Return seconds as 8.2 s, 3 min 20 s or 2 h 05 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def data_set(record: Record) -> str:
    """Return the name of a run's data set."""
    data = record.config.get("data")
    return str(data.get("dataset", "its data")) if isinstance(data, dict) else "its data"


def progress(record: Record) -> str:
    """Return "in 3 min 20 s", or how far an unfinished run came."""
    if record.result is not None:
        return f"in {duration(record.seconds)}"
    epochs = f"{len(record.rows)} of {record.epochs} epochs, " if record.epochs else ""
    return f"unfinished: {epochs}{duration(record.seconds)} so far"
