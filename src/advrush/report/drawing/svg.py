"""Small SVG documents as text, with colors that follow the page they are put in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from markupsafe import Markup


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """Return one SVG element; `_` in an attribute's name becomes `-`, `cls` is `class`, floats are rounded.

    Children of type Markup are taken as they are, other text is escaped.
    """
    named = (("class" if key == "cls" else key.replace("_", "-"), value) for key, value in attributes.items())
    written = "".join(f' {key}="{escape(number(value))}"' for key, value in named if value is not None)
    inside = "".join(str(Markup.escape(child)) for child in children)
    return Markup(f"<{tag}{written}>{inside}</{tag}>" if children else f"<{tag}{written}/>")


def number(value: object) -> str:
    """Return a short text of a number (two decimals at most); other values as they are."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".").replace("-0", "0", value > -0.005)
    return str(value)


def document(width: float, height: float, title: str, *children: str, corner: str = "") -> Markup:
    """Return a whole SVG: its own size, scalable, drawn in the text color of where it stands, titled for readers.

    `corner`: a small text in the lower right corner, such as the digest of the run that is shown.
    """
    told = [text(width - 3, height - 7, corner, size=8, anchor="end", opacity=0.7)] if corner else []
    return element(
        "svg", element("title", title), *children, *told,
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {number(width)} {number(height)}",
        width=width, height=height, role="img", aria_label=title, font_family="system-ui, sans-serif", fill="none",
    )  # fmt: skip


def stacked(drawings: Sequence[tuple[str, str]]) -> Markup:
    """Return titled documents below each other as one, with dark lines and texts of its own."""
    parts, down, width = [], 8.0, 0.0
    for title, drawing in drawings:
        found = re.fullmatch(r'<svg[^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>(<title>.*?</title>)?(.*)</svg>', drawing)
        assert found is not None, "not of `document`"
        parts.append(text(12.0, down + 12, title, size=14, anchor="start", font_weight=600))
        parts.append(element("g", Markup(found[4]), transform=f"translate(0 {number(down + 26)})"))
        down, width = down + 26 + float(found[2]) + 16, max(width, float(found[1]))
    return document(width, down, ", ".join(title for title, _ in drawings), element("g", *parts, color="#1f2329"))


SYMBOL = re.compile(r"(?<!\w)([A-Za-z\u0370-\u03ff])_([\w-]+)")
"""One letter, Latin or Greek, with its subscript: `L_val`, `c_k-2`. A name like `darts_v2` is none."""


def text(x: float, y: float, content: str, *, size: float = 12, anchor: str = "middle", **attributes: object) -> Markup:
    """Return text centered vertically on `y`; a letter's `_b` in it shows b as a subscript."""
    attributes.setdefault("fill", "currentColor")
    return element(
        "text", subscripts(content), x=x, y=y + 0.35 * size, font_size=size, text_anchor=anchor, **attributes
    )


def subscripts(content: str) -> Markup:
    """Escape a text, with the subscript of each one-letter symbol lowered and what follows raised back."""
    parts, end = [], 0
    for match in SYMBOL.finditer(content):
        parts += [_raised(content[end : match.start()] + match[1], end > 0)]
        parts += [element("tspan", match[2], dy="0.28em", font_size="78%")]
        end = match.end()
    return Markup("").join([*parts, _raised(content[end:], end > 0)])


def _raised(content: str, after_subscript: bool) -> Markup:
    return element("tspan", content, dy="-0.22em") if content and after_subscript else Markup.escape(content)
