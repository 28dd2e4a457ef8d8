"""`show`: a genotype, for which no PyTorch is imported, or a run."""

from __future__ import annotations

from rich.console import Console

from advrush.report.genotypes import cells_text, is_published, read_genotype
from advrush.space.files import place_of


def show(target: str, console: Console) -> None:
    """Print a run directory, or a genotype by its published name, its file or its text.

    Raises GenotypeError with a suggestion for an unknown name, RunError for a folder that is no run.
    """
    path = place_of(target, is_published)
    if path is not None and path.is_dir():
        from advrush.report.terminal import run_text  # imports PyTorch and a plotting library

        console.print(run_text(path))
        return
    console.print(cells_text(read_genotype(target, path)))
