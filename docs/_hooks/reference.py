"""Make the pages of the reference when the site is built, so that they are those of the code."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File, Files

from advrush.commands.reference import PAGES


def on_files(files: Files, config: Any) -> Files:
    """Add the made pages to the site."""
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files
