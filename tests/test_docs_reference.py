"""The documentation's made pages are those of the code; its navigation is complete; its links lead somewhere."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

import advrush
from advrush.commands import VERBS
from advrush.commands.help import HELP
from advrush.commands.reference import PAGES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def test_every_command_and_every_public_name_is_described() -> None:
    commands, names = (PAGES[page]() for page in ("cli.md", "api.md"))
    assert set(re.findall(r"^## (.+)$", commands, re.MULTILINE)) == set(HELP) >= set(VERBS)
    assert "--curvature.gamma NUMBER" in commands
    assert max(map(len, commands.splitlines()[4:])) <= 76, "what is longer is cut off on the page"
    found = re.findall(r"^### (\w+)\n\n::: (\S+)$", names, re.MULTILINE)
    assert {name for name, _ in found} == set(advrush.__all__)
    for name, place in found:
        assert getattr(advrush, name).__doc__
        module, _, member = place.rpartition(".")
        assert getattr(import_module(module), member) is getattr(advrush, name)


def places(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [place for part in (entry.values() if isinstance(entry, dict) else entry) for place in places(part)]


def test_every_page_is_in_the_navigation() -> None:
    text = re.sub(r"!!python\S+", "", (ROOT / "mkdocs.yml").read_text())
    pages = [p.relative_to(DOCS).as_posix() for folder in (DOCS, DOCS / "results") for p in folder.glob("*.md")]
    assert sorted(places(yaml.safe_load(text)["nav"])) == sorted([*PAGES, "changelog.md", *pages])


def test_links_lead_to_pages() -> None:
    for page in (*DOCS.glob("*.md"), *DOCS.glob("results/*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert target in PAGES or (page.parent / target).exists(), f"{page.name} links to {target}"
