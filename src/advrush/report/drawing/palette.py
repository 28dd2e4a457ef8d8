"""Colors of primitives and series, the same in every drawing."""

from __future__ import annotations

from zlib import crc32

from advrush.report.labels import kind_label, primitive_label, state_label

__all__ = [  # the names stand in labels.py; here they go with the colors
    "OTHER_COLORS",
    "PRIMITIVE_COLORS",
    "SERIES",
    "kind_label",
    "primitive_color",
    "primitive_label",
    "primitive_style",
    "series_color",
    "state_label",
]

PRIMITIVE_COLORS = {
    "none": "#6b7280",
    "max_pool_3x3": "#b4530a",
    "avg_pool_3x3": "#8a6508",
    "skip_connect": "#2a7a4b",
    "sep_conv_3x3": "#2b6cb0",
    "sep_conv_5x5": "#1d4e89",
    "sep_conv_7x7": "#12355f",
    "dil_conv_3x3": "#8250c4",
    "dil_conv_5x5": "#5f3596",
    "conv_7x1_1x7": "#0f6f7d",
    "nor_conv_1x1": "#0f7f8c",
    "nor_conv_3x3": "#2b6cb0",
}
"""Each is dark enough for white text (contrast 4.5 or more) and light enough to stand on a dark page."""

OTHER_COLORS = ("#a3336f", "#b03a3a", "#51701c", "#4054b2", "#0b7a66", "#7a5230")

SERIES = ("#2b6cb0", "#c2530f", "#2a7a4b", "#8250c4", "#b0247a", "#0f7f8c", "#8a6508", "#b03a3a")
"""Colors of curves and bars, in order; the report's style sheet has a lighter twin of each for dark pages."""

RICH_STYLES = {"sep": "blue", "dil": "magenta", "nor": "blue", "conv": "cyan", "skip": "green", "none": "dim"}


def primitive_color(primitive: str) -> str:
    """Return the color of a primitive; an unknown one gets a fixed color by its name."""
    return PRIMITIVE_COLORS.get(primitive) or OTHER_COLORS[crc32(primitive.encode()) % len(OTHER_COLORS)]


def primitive_style(primitive: str) -> str:
    """Return a primitive's color on a terminal."""
    return RICH_STYLES.get(primitive.split("_")[0], "yellow")


def series_color(index: int) -> str:
    """Return the color of the index-th curve."""
    return SERIES[index % len(SERIES)]
