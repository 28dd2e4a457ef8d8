"""What the README promises: its Python block runs, its commands name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def block(marker: str) -> str:
    found = re.search(rf"<!-- {re.escape(marker)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"README.md has no block after <!-- {marker} -->"
    return found[1]


def test_python_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(block("code: api"), names)
    assert "robust_acc" in capsys.readouterr().out
    assert names["model"].training is False  # type: ignore[attr-defined]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"search", "train", "evaluate"}


def test_the_factory_is_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from advrush.evaluation import as_target

    (tmp_path / "my_code.py").write_text("from torch import nn\nNet = lambda: nn.Linear(3, 2)\n")
    (tmp_path / "my_models.py").write_text(block("code: factory"))
    monkeypatch.chdir(tmp_path)
    weights = torch.nn.Linear(3, 2).state_dict()
    torch.save(weights, "weights.pt")
    found = as_target("my_models.py:net").model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in weights.items())


def test_commands_install_from_the_constraints() -> None:
    for marker in ("command: demo", "command: tests"):
        command = block(marker)
        assert "-c constraints.txt" in command
        assert len(command.strip().splitlines()) == 1
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pins)


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), f"README.md links to {target}, which is not there"


def test_importing_the_package_loads_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, advrush, advrush.config, advrush.space.genotype; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
