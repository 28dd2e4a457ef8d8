"""Sections of the report, their parts, and the interface of what adds sections to it (Chapter)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from advrush.report.downloads import Download
from advrush.report.drawing.drawn import Drawing
from advrush.report.records import Record
from advrush.report.table import Table

Render = Callable[..., Markup]
"""Renders a template of this package by name with keyword arguments."""


@dataclass(frozen=True)
class Section:
    """A part of a report: an anchor, a heading and a body of HTML."""

    id: str
    title: str
    body: Markup


class Sentence(NamedTuple):
    """A subject, which a page may set in bold, and what is said of it: a line of the summary."""

    subject: str
    rest: str


class Picture(NamedTuple):
    """A figure (see `drawing.plot.to_svg`) and its caption."""

    svg: Drawing
    caption: str


class Note(NamedTuple):
    """A small paragraph."""

    text: str


def body(render: Render, *parts: Table | Picture | Note | Download | str) -> Markup:
    """Return parts below each other as the body of a section; a str is a paragraph, a Download a link that saves it."""
    kinds = {Table: "table", Picture: "picture", Note: "note", Download: "file"}
    rendered = [render("part.html.j2", kind=kinds.get(type(part), "text"), part=part) for part in parts]
    return Markup("\n").join(rendered)


def _no_sentences(records: Sequence[Record]) -> Sequence[Sentence]:
    return ()


def _no_numbers(record: Record) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Chapter:
    """What a report tells of one subject: `sections.compose.CHAPTERS` lists all, in reading order.

    `sections` and `sentences` get all runs of the report and pick theirs. `numbers` gets one run of the kind `kind`
    (see `Record.kind`) and returns its main numbers for people, by name.
    """

    sections: Callable[[Sequence[Record], Render], Iterable[Section]]
    sentences: Callable[[Sequence[Record]], Sequence[Sentence]] = _no_sentences
    kind: str = ""
    numbers: Callable[[Record], Mapping[str, str]] = _no_numbers
