"""A folder or file that is called like an architecture does not hide it."""

from pathlib import Path

import pytest
from rich.console import Console

from advrush.analysis.config import ArchitectureConfig
from advrush.analysis.subjects import find_subject
from advrush.commands.train import architecture
from advrush.errors import RunError
from advrush.report import architectures_of, facts, show
from advrush.space import PUBLISHED


@pytest.fixture(params=["advrush", "ADVRUSH"])
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / request.param).mkdir()
    (tmp_path / "pdarts").write_text("no genotype")
    return str(request.param)


def test_every_door_takes_the_name(name: str) -> None:
    assert architecture(name) == name
    assert find_subject(name, ArchitectureConfig()).architecture == PUBLISHED["ADVRUSH"]
    assert find_subject("pdarts", ArchitectureConfig()).architecture == PUBLISHED["PDARTS"]
    assert list(architectures_of([name, "pdarts"]).values()) == [PUBLISHED["ADVRUSH"], PUBLISHED["PDARTS"]]
    console = Console(record=True, width=100)
    show(name, console)
    assert "sep conv" in console.export_text()
    assert "normal" in str(facts(name)["genotype"])


def test_a_folder_by_another_name_is_asked_for_its_run(name: str) -> None:
    Path("other").mkdir()
    with pytest.raises(RunError, match="other: not a run directory"):
        find_subject("other", ArchitectureConfig())
    Path(name, "config.toml").write_text("")
    with pytest.raises(RunError):
        find_subject(name, ArchitectureConfig())
