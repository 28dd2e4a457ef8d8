"""The color of each architecture, the same in every figure, and what tells several runs of one apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from zlib import crc32

ARCHITECTURE_COLORS: Mapping[str, tuple[str, str]] = {
    "AdvRush": ("#f53f35", "#d74527"),
    "PDARTS": ("#005ecd", "#016ff9"),
    "DARTS (V2)": ("#24a46e", "#3bec87"),
    "RACL": ("#843f49", "#ffb4d6"),
    "RobNet-free": ("#b07ebe", "#b298ef"),
    "ResNet-18": ("#61507a", "#9c5d86"),
    "DenseNet-121": ("#557718", "#aaea30"),
    "NASNet-A": ("#f2880c", "#ecf97b"),
    "AmoebaNet-A": ("#ff62f6", "#ff1ab2"),
    "DARTS (V1)": ("#252e5b", "#b136be"),
}
"""By display name: the color on light pages and on dark ones. Chosen so that any two stay apart (13 or more in CIELAB,
the first seven 19 or more) in normal vision and without the cones for red, green or blue."""

FURTHER_COLORS = (("#880092", "#aa80c1"), ("#471be7", "#ca72ff"), ("#543900", "#fa8500"), ("#1f7a6e", "#5f8a68"))
"""For architectures without a name of their own."""

PAIRS = (*ARCHITECTURE_COLORS.values(), *FURTHER_COLORS)

MARKERS, HATCHES = ("o", "s", "^", "D", "v", "P", "X"), (None, "///", "...", "xxx", "\\\\\\", "+++", "ooo")

SPELLINGS = (
    (r"adv-?rush", "AdvRush"), (r"p-?darts", "PDARTS"), (r"darts[ _(-]*(v1|first)", "DARTS (V1)"),
    (r"darts", "DARTS (V2)"), (r"racl", "RACL"), (r"robnet", "RobNet-free"), (r"resnet-?18", "ResNet-18"),
    (r"densenet(-?121)?", "DenseNet-121"), (r"nasnet", "NASNet-A"), (r"amoebanet", "AmoebaNet-A"),
)  # fmt: skip


class Style(NamedTuple):
    """How one network is drawn: its architecture's color; mark and hatch tell the runs of an architecture apart."""

    color: str
    marker: str = "o"
    hatch: str | None = None

    def points(self, count: int) -> dict[str, Any]:
        """Return a line's marks: on each point of few, on every tenth part of many where the color is not enough."""
        if count <= 30:
            return {"marker": self.marker, "markersize": 3 if self.marker == "o" else 4.5}
        if self.marker == "o":
            return {}
        return {"marker": self.marker, "markersize": 4.5, "markevery": count // 10}


def architecture_in(label: str) -> str:
    """Return the display name of the architecture that a label names in any spelling, else the label itself."""
    for spelling, name in SPELLINGS:
        if re.search(rf"(?<![a-z0-9-]){spelling}(?![a-z])", label.lower()):
            return name
    return label


def architecture_colors(keys: Iterable[str]) -> dict[str, str]:
    """Return the color of each architecture: by display name, others by their text.

    An unknown one gets a color by a checksum of its text; where two would share it, the next in the order of the texts
    takes another. Give all architectures of a page, so that its figures agree.
    """
    found = {key: ARCHITECTURE_COLORS[key][0] for key in keys if key in ARCHITECTURE_COLORS}
    free: list[str] = []
    for key in sorted(set(keys) - set(found)):
        free = free or [light for light, _ in FURTHER_COLORS]
        wanted = FURTHER_COLORS[crc32(key.encode()) % len(FURTHER_COLORS)][0]
        found[key] = free.pop(free.index(wanted) if wanted in free else 0)
    return found


def styles(
    architectures: Mapping[str, str],
    page: Iterable[str] = (),
    variants: Mapping[str, str] = MappingProxyType({}),
    known: Sequence[str] = (),
) -> dict[str, Style]:
    """Return how each network is drawn; `architectures` gives its own by label, `page` those beside them.

    `variants`: what else tells networks apart, by label, such as the objective of the training; each of those in
    `known` has the same mark and hatch for all architectures.
    """
    colors = architecture_colors([*architectures.values(), *page])
    count: dict[tuple[str, str], int] = {}
    found = {}
    for label, key in architectures.items():
        variant = variants.get(label, "")
        before = count[key, variant] = count.get((key, variant), -1) + 1
        nth = before * max(1, len(known)) + (known.index(variant) if variant in known else 0)
        found[label] = Style(colors[key], MARKERS[nth % len(MARKERS)], HATCHES[nth % len(HATCHES)])
    return found


def styles_by_label(labels: Iterable[str]) -> dict[str, Style]:
    """Return how networks are drawn whose labels alone are known: by the architecture that a label names."""
    return styles({label: architecture_in(label) for label in labels})


def page_color(color: str) -> str:
    """Return an architecture's color as a style variable of a page."""
    return f"var(--arch-{[light for light, _ in PAIRS].index(color)}, {color})"


def page_colors() -> str:
    """Return the style rules that give architectures their colors on dark pages."""
    twins = " ".join(f"--arch-{index}: {dark};" for index, (_, dark) in enumerate(PAIRS))
    return f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {twins} }} }}\n"
