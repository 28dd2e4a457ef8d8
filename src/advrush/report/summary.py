"""What the runs found, in sentences: the lines of every section's sentence, in reading order."""

from advrush.report.labels import data_set, in_words, progress
from advrush.report.section import Sentence
from advrush.report.sections.compose import sentences

__all__ = ["Sentence", "data_set", "in_words", "progress", "sentences"]
