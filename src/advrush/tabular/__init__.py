"""Tables in which the robustness of architectures is written: searches and predictors judged by them."""

from advrush.tabular.reader import read_table
from advrush.tabular.table import Row, Standing, Table, standing

__all__ = ["Row", "Standing", "Table", "read_table", "standing"]
