"""Run directories of any content, names that are markup, leftovers of kills, targets that misbehave."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from advrush.cli import main
from advrush.data import load_dataset
from advrush.errors import AdvrushError, RunError
from advrush.evaluation.targets import find_target
from advrush.report import list_runs, show, write_report
from advrush.run import Run
from data_files import TINY, cifar_python
from hostile import MORE, PLAIN, refusal
from report_runs import make_evaluation, make_search, make_training

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>\x1b]0;title\x07[red]'


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    training = make_training(folder)
    return {
        "search": make_search(folder, epochs=2, warmup=1),
        "train": training,
        "evaluate": make_evaluation(
            folder, model="train/network-7a110001", correct={"clean": 400, "pgd20": 200}, examples=500
        ),
    }


def paths_in(value: Any) -> list[tuple[Any, ...]]:
    """Return the places of all values in nested objects and lists."""
    found: list[tuple[Any, ...]] = [()]
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += [(key, *rest) for rest in paths_in(item)]
    return found


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = changed(copy[place[0]], place[1:], new)
    return copy


def look(run: Path) -> Iterator[str | None]:
    """Yield what each verb that looks at a run says of it: a refusal or None."""
    with open(os.devnull, "w") as nowhere:
        console = Console(file=nowhere, markup=False)
        yield refusal(show, str(run), console)
        yield refusal(list_runs, run.parent.parent, console)


@pytest.mark.parametrize("stage", ["search", "train", "evaluate"])
@settings(max_examples=25 * MORE, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_a_file_of_a_run(stage: str, runs: dict[str, Path], data: st.DataObject) -> None:
    run = runs[stage]
    files = [name for name in ("result.json", "metrics.jsonl") if (run / name).is_file()]
    path = run / data.draw(st.sampled_from(files))
    whole = path.read_text()
    lines = [json.loads(line) for line in whole.splitlines()] if path.suffix == ".jsonl" else json.loads(whole)
    place = data.draw(st.sampled_from(paths_in(lines)[1:]))
    odd = changed(lines, place, data.draw(PLAIN))
    try:
        path.write_text("".join(json.dumps(row) + "\n" for row in odd) if path.suffix == ".jsonl" else json.dumps(odd))
        for message in look(run):
            assert message is None or str(run.name) in message
    finally:
        path.write_text(whole)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 9000, b'{"a": ' + b"9" * 5000 + b"}", b"[1]", b"{}", b"null"]
)
@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl", "environment.json", "config.toml"])
def test_damaged_files_of_a_run(name: str, content: bytes, runs: dict[str, Path], tmp_path: Path) -> None:
    for stage, run in runs.items():
        copy = tmp_path / stage / run.name
        shutil.copytree(run, copy)
        (copy / name).write_bytes(content)
        page = () if stage == "search" else (refusal(write_report, tmp_path / "r.html", title="t", runs=[copy]),)
        for message in (*look(copy), *page):
            assert message is None or run.name in message


def test_one_odd_run_is_blamed_and_the_rest_is_listed(runs: dict[str, Path], tmp_path: Path) -> None:
    for stage, run in runs.items():
        shutil.copytree(run, tmp_path / stage / run.name)
    odd = tmp_path / "evaluate" / runs["evaluate"].name
    result = json.loads((odd / "result.json").read_text())
    (odd / "result.json").write_text(json.dumps({**result, "attacks": [{"name": 3}]}))
    with pytest.raises(RunError, match=f"{odd.name}: not the files of a run"):
        write_report(tmp_path / "r.html", title="t", runs=[tmp_path / stage / run.name for stage, run in runs.items()])
    with (tmp_path / "list").open("w") as file:
        list_runs(tmp_path, Console(file=file, width=200, markup=False))
    assert (
        runs["search"].name[:5] in (tmp_path / "list").read_text() and "evaluate" not in (tmp_path / "list").read_text()
    )


class Tags(HTMLParser):
    """Collects what a page would run: scripts, handlers, addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.odd: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attrs:
            if name.startswith("on") or (name in ("src", "href") and not str(value).startswith(("data:", "#"))):
                self.odd.append(f"{tag} {name}={value}")
        if tag in ("iframe", "object", "embed", "base", "form"):
            self.odd.append(tag)


def test_names_never_become_markup(tmp_path: Path) -> None:
    config = {"name": EVIL, "arch": EVIL, "objective": EVIL, "data": {"dataset": EVIL}, "epochs": 4, "space": "darts"}
    paths = [make_search(tmp_path, epochs=2, warmup=1), make_training(tmp_path, epochs=4)]
    paths.append(make_evaluation(tmp_path, model=EVIL, correct={"clean": 30, EVIL: 10}, examples=50))
    for path in paths:
        whole = (path / "config.toml").read_text()
        (path / "config.toml").write_text(tomli_w.dumps({**config, "warmup_epochs": 1}))
        environment = json.loads((path / "environment.json").read_text())
        (path / "environment.json").write_text(json.dumps({**environment, "command": [EVIL], "gpu": EVIL}))
        assert whole != (path / "config.toml").read_text()
    result = json.loads((paths[2] / "result.json").read_text())
    (paths[2] / "config.toml").write_text(tomli_w.dumps({key: value for key, value in config.items() if key != "arch"}))
    result |= {"classes": [EVIL] * 10, "dataset": EVIL, "threat_model": {"norm": EVIL, "eps": 0.031}}
    (paths[2] / "result.json").write_text(json.dumps(result))
    page = write_report(tmp_path / "report.html", title="<b>title</b>", runs=paths).read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.scripts <= 1 and not tags.odd and "alert(1)" in page
    assert not re.search(r"<script>\s*alert", page) and "\x1b" not in page
    with (tmp_path / "list").open("w") as file:
        console = Console(file=file, width=400, markup=False, highlight=False)
        list_runs(tmp_path, console)
        show(str(paths[2]), console)
    text = (tmp_path / "list").read_text()
    assert "\x1b" not in text and "\x07" not in text


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".x", "x" * 300, "a\0b", "", "a\\b"])
def test_run_names_are_no_paths(name: str, tmp_path: Path) -> None:
    with pytest.raises(AdvrushError, match="expected a file name"):
        Run.open(tmp_path / "runs", "train", name, {"a": 1})
    assert not (tmp_path / "runs").exists()


def test_leftovers_of_a_kill_are_swept_at_the_next_start(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "train", "x", {"a": 1})
    run.log({"epoch": 0})
    (run.path / "alphas").mkdir()
    left = [run.path / ".last.pt.99.tmp", run.path / "alphas" / ".epoch-000.safetensors.99.tmp"]
    for path in left:
        path.write_bytes(b"half")
    (run.path / "own.tmp").write_text("kept")
    run.close()
    again = Run.open(tmp_path, "train", "x", {"a": 1})
    assert not any(path.exists() for path in left) and (run.path / "own.tmp").exists()
    again.close()


FACTORIES = """
import sys
from torch import nn
def ends(): sys.exit(3)
def fails(): raise KeyError("weights")
def wants(a, b): return nn.Linear(1, 1)
def number(): return 3
thing = 5
def deep(): return deep()
"""


@pytest.mark.parametrize("factory", ["ends", "fails", "wants", "number", "thing", "deep", "absent"])
def test_factories_that_misbehave(factory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"own_{factory}.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AdvrushError, match=f"own_{factory}"):
        find_target(f"python:own_{factory}:{factory}")


@pytest.mark.parametrize("content", ["import sys; sys.exit(0)", "1 / 0", "def (", "\0", "import nothing_of_this_name"])
def test_modules_that_misbehave(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"odd_{abs(hash(content))}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AdvrushError, match=name):
        find_target(f"python:{name}:make")
    assert main(["evaluate", f"python:{name}:make", "--runs-dir", str(tmp_path)]) == 2


def test_a_cache_that_others_can_write_to_is_not_trusted(tmp_path: Path) -> None:
    folder, cache = cifar_python(tmp_path, TINY["cifar10"]).parent, tmp_path / "cache"
    options: dict[str, Any] = {"data_dir": folder, "cache_dir": cache, "known": TINY["cifar10"]}
    load_dataset("cifar10", **options)
    (kept,) = cache.iterdir()
    before = os.umask(0)
    os.umask(before)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o666 & ~before
    kept.write_bytes(b"another's")
    cache.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="other users can write there"):
        dataset = load_dataset("cifar10", **options)
    assert len(dataset.train) == 20 and kept.read_bytes() == b"another's"
    cache.chmod(0o755)
    load_dataset("cifar10", **options)
    assert kept.read_bytes() != b"another's"
