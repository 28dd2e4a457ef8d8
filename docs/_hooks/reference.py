"""Make the pages of the reference when the site is built, so that they are those of the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from advrush.commands.reference import PAGES

CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"


def on_files(files: Files, config: Any) -> Files:
    """Add the made pages to the site."""
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    files.append(File.generated(config, "changelog.md", content=CHANGELOG.read_text(encoding="utf-8")))
    return files
