"""The report as a whole: its sections in reading order, the lines of its summary, and each run's main numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from advrush.report.records import Record
from advrush.report.section import Chapter, Render, Section, Sentence
from advrush.report.sections.anatomy import ANATOMY
from advrush.report.sections.benchmark import BENCHMARK
from advrush.report.sections.comparison import COMPARISON
from advrush.report.sections.curvature import CURVATURE
from advrush.report.sections.examples import EXAMPLES
from advrush.report.sections.landscape import LANDSCAPE
from advrush.report.sections.path import PATH
from advrush.report.sections.robustness import ROBUSTNESS
from advrush.report.sections.runs import RUNS
from advrush.report.sections.search import SEARCH
from advrush.report.sections.training import TRAINING
from advrush.report.sections.transfer import TRANSFER

CHAPTERS: tuple[Chapter, ...] = (
    SEARCH, COMPARISON, TRAINING, ROBUSTNESS, TRANSFER, EXAMPLES, ANATOMY, CURVATURE, LANDSCAPE, PATH, BENCHMARK, RUNS,
)  # fmt: skip
"""In reading order. A new section is a file of this folder and its name here."""


def compose(records: Sequence[Record], render: Render) -> list[Section]:
    """Return the sections that the runs give rise to; what a run does not have is left out."""
    return [section for chapter in CHAPTERS for section in chapter.sections(records, render)]


def sentences(records: Sequence[Record]) -> list[Sentence]:
    """Return the summary: what was searched and found, what was trained, how robust it is."""
    return [sentence for chapter in CHAPTERS for sentence in chapter.sentences(records)]


def numbers(record: Record) -> Mapping[str, str]:
    """Return a run's main numbers for people, by name; none for a run of a kind that no section knows."""
    chapter = next((chapter for chapter in CHAPTERS if chapter.kind == record.kind), None)
    return {} if chapter is None else chapter.numbers(record)
