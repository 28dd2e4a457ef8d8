"""Escape plain text for LaTeX."""

from __future__ import annotations

ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
}


def tex(text: str) -> str:
    """Return plain text with LaTeX's own characters escaped."""
    return "".join(ESCAPES.get(letter, letter) for letter in text)
