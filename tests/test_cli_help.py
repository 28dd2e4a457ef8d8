"""Help, lists, completion: complete, true to the configurations, and without importing torch."""

import dataclasses
import json
import subprocess
import sys
import typing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from advrush.attacks.registry import ABOUT, MAKERS
from advrush.cli import main
from advrush.commands import VERBS
from advrush.commands.completion import SCRIPTS, candidates
from advrush.commands.fields import fields_of
from advrush.commands.help import HELP, help_text
from advrush.commands.lists import DATA
from advrush.commands.options import recipes, take_positionals
from advrush.data import KNOWN
from advrush.models.build import ARCHITECTURES

CONFIGS = sorted({config for entry in HELP.values() for config in entry.configs})


def real_fields(cls: Any, prefix: str = "") -> dict[str, Any]:
    """Return the defaults of a dataclass by dotted name, as it is when imported."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        default = field.default_factory() if callable(field.default_factory) else field.default
        if dataclasses.is_dataclass(default):
            found |= real_fields(type(default), f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = None if default is dataclasses.MISSING else default
    return found


@pytest.mark.parametrize("reference", CONFIGS)
def test_fields_read_from_the_source_are_those_of_the_class(reference: str) -> None:
    module, _, name = reference.rpartition(".")
    real = real_fields(getattr(import_module(f"advrush.{module}"), name))
    told = {field.name: field.default for field in fields_of(reference)}
    assert list(told) == list(real)
    for field, default in real.items():
        assert told[field] == (str(default) if isinstance(default, Path) else default), field


@pytest.mark.parametrize("reference", CONFIGS)
def test_every_option_is_described(reference: str) -> None:
    assert [field.name for field in fields_of(reference) if not field.about] == []


@pytest.mark.parametrize("name", HELP)
def test_help_of_every_command_needs_no_torch(name: str) -> None:
    code = (
        "import sys; from advrush.cli import main; code = main(sys.argv[1:]);"
        "assert not {'torch', 'numpy', 'tyro', 'matplotlib'} & set(sys.modules), 'imports too much'; sys.exit(code)"
    )
    words = [sys.executable, "-c", code, *name.split(), "--help"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: advrush {name}")


def test_every_command_has_a_help() -> None:
    assert set(VERBS) <= set(HELP)


def test_help_tells_the_defaults_of_the_named_recipe() -> None:
    assert "Epochs, the warm-up included. (default: 6)" in help_text("search", ["small"], width=100)
    assert "Epochs, the warm-up included. (default: 60)" in help_text("search", ["paper"], width=100)
    assert "(default: digits)" in help_text("train", ["smoke"], width=100)
    assert max(map(len, help_text("train", ["paper-like.toml"], width=80).splitlines())) <= 80


def test_help_behind_a_wrong_recipe_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "smol", "--help"]) == 2
    assert "did you mean 'smoke'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words", "targets", "options"),
    [
        ("evaluate", "RUN --attacks fgsm pgd20 --quiet", "RUN", "--attacks fgsm pgd20 --quiet"),
        ("evaluate", "--attacks fgsm,pgd20 --quiet RUN OTHER", "RUN OTHER", "--attacks fgsm,pgd20 --quiet"),
        ("evaluate", "--eps 8/255 RUN --seed -5", "RUN", "--eps 8/255 --seed -5"),
        ("evaluate", "--sweep-steps 7 20 RUN", "RUN", "--sweep-steps 7 20"),
        ("evaluate", "--data.no-partial RUN", "RUN", "--data.no-partial"),
        ("evaluate", "--data.test_examples=5 RUN", "RUN", "--data.test_examples=5"),
        ("search", "--curvature.gama 0.1 small", "small", "--curvature.gama 0.1"),
        ("train", "--arch ADVRUSH small --no-channels-last", "small", "--arch ADVRUSH --no-channels-last"),
        ("evaluate", "--quiet -- -strange-", "-strange-", "--quiet"),
    ],
)
def test_options_stand_before_or_behind_targets(command: str, words: str, targets: str, options: str) -> None:
    assert take_positionals(words.split(), command) == (targets.split(), options.split())


def test_recipes_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{stage}/{name}" in listed for stage in ("search", "train", "evaluate") for name in recipes(stage))
    assert main(["recipes", "train/small"]) == 0
    assert capsys.readouterr().out == recipes("train")["small"].read_text()
    assert main(["recipes", "smal"]) == 2
    assert "did you mean 'small'" in capsys.readouterr().err


def test_names_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for what, names in {"architectures": ARCHITECTURES, "attacks": MAKERS, "data": ["digits", *KNOWN]}.items():
        assert main(["list", what, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert list(found) == list(names)
        assert all(found.values()), found
    assert set(ABOUT) == set(MAKERS)
    assert set(DATA) == {"digits", *KNOWN}
    assert main(["list", "attack"]) == 2
    assert "did you mean 'attacks'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["sea"], ["search"]),
        (["search", "sm"], ["small", "smoke"]),
        (["analyze", "c"], ["curvature"]),
        (["evaluate", "RUN", "--attacks", "pgd"], ["pgd", "pgd_dlr", "pgd_pma"]),
        (["evaluate", "RUN", "--norm", ""], ["L1", "L2", "Linf"]),
        (["train", "small", "--data.da"], ["--data.dataset"]),
        (["train", "small", "--data.dataset", "cifar"], ["cifar10", "cifar100"]),
        (["completion", ""], sorted(SCRIPTS)),
        (["evaluate", ""], []),
    ],
)
def test_completion_offers_what_may_come_next(words: list[str], found: list[str]) -> None:
    assert candidates(words) == found


@pytest.mark.parametrize("shell", SCRIPTS)
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "advrush completion next" in capsys.readouterr().out


def test_bash_completes_with_its_script(tmp_path: Path) -> None:
    tool = tmp_path / "advrush"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m advrush.cli "$@"\n')
    tool.chmod(0o755)
    script = f"""PATH={tmp_path}:$PATH; eval "$(advrush completion bash)"
    COMP_WORDS=(advrush evaluate RUN --norm L); COMP_CWORD=4; _advrush; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["L1", "L2", "Linf"], done.stderr


def test_types_of_options_are_shown() -> None:
    text = help_text("evaluate", width=100)
    assert "--attacks WORD ..." in text
    assert "--norm {Linf,L2,L1}" in text
    assert "--compile, --no-compile" in text
    assert typing.cast(str, text).count("--data.dataset") == 1
