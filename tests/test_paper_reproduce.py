"""A table from nothing: planned, interrupted, finished, rendered, found again."""

import csv
import io
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from advrush.errors import ConfigError, RunError
from advrush.models.build import build
from advrush.paper import Plan, Store, paper, plan_of, read_scale
from advrush.paper.execute import run_all
from advrush.paper.fit import fitted_channels
from advrush.paper.jobs import EvaluateJob, Job, TrainJob
from advrush.paper.render import to_csv, to_html, to_latex, to_markdown
from advrush.paper.reproduce import collected, write
from advrush.paper.tables import build_table

COLUMNS = ("params_m", "adv_clean", "adv_pgd20", "std_clean", "std_fgsm")


@pytest.fixture(scope="module")
def plan() -> Plan:
    scale = replace(read_scale("smoke"), seeds=(0, 1), parameters=2500, checkpoints=("drop", "best"))
    images = scale.images["cifar10"]
    few = replace(images, data=replace(images.data, train_examples=96))
    scale = replace(scale, images={**scale.images, "cifar10": few})
    artifact = paper().artifact("table1")
    rows = tuple(row for row in artifact.rows if row.key in ("resnet18", "advrush"))
    columns = tuple(column for column in artifact.columns if column.key in COLUMNS)
    return Plan(scale, (replace(artifact, rows=rows, columns=columns),))


@pytest.fixture(scope="module")
def store(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which everything has run, after an interruption in the middle."""
    store = Store(tmp_path_factory.mktemp("runs"), display=False)
    jobs = plan.jobs()

    def interrupt(number: int, total: int, job: Job) -> None:
        if number == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(jobs, store, before=interrupt)
    again = Store(store.runs_dir, display=False)
    assert sum(again.finished(job) is not None for job in jobs) == 3
    begun: list[Job] = []
    outcome = run_all(jobs, again, before=lambda number, total, job: begun.append(job))
    assert (len(outcome.done), outcome.failed, len(begun)) == (len(jobs), {}, len(jobs) - 3)
    return again


def test_cells_are_the_runs_numbers_over_seeds(plan: Plan, store: Store) -> None:
    table = build_table(plan, store, plan.artifacts[0])
    assert table.there == table.wanted == 2 * (1 + 2 * (2 + 2) + 2 * 2)
    cell = next(each for each in table.cells if (each.row.key, each.column.key) == ("advrush", "adv_pgd20"))
    values = []
    for seed in plan.scale.seeds:
        job = plan.evaluation(cell.row, cell.column, seed, "drop")
        assert job is not None
        run = store.finished(job)
        assert run is not None
        values.append(100 * next(row["robust_acc"] for row in run.result()["attacks"] if row["name"] == "pgd20"))
    ours = cell.ours["drop"]
    assert list(cell.ours) == ["drop", "best"]
    assert ours.values == tuple(values)
    assert ours.mean == pytest.approx(sum(values) / 2)
    assert cell.printed is not None
    assert cell.difference == pytest.approx(ours.mean - 53.07)


def test_each_form_holds_the_same_numbers(plan: Plan, store: Store) -> None:
    table = build_table(plan, store, plan.artifacts[0])
    cell = next(each for each in table.cells if (each.row.key, each.column.key) == ("resnet18", "adv_clean"))
    mean = f"{cell.ours['drop'].mean:.2f}"
    markdown, latex, html = to_markdown(table), to_latex(table), to_html(table)
    for text in (markdown, latex, html):
        assert mean in text and "84.09" in text and "ours, best" in text
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    mine = [line for line in lines if line["row"] == "resnet18" and line["column"] == "adv_clean"]
    assert [line["who"] for line in mine] == ["AdvRush (ICCV 2021)", "ours", "ours"]
    assert float(mine[1]["value"]) == cell.ours["drop"].mean
    assert float(mine[1]["difference"]) == pytest.approx(cell.ours["drop"].mean - 84.09)
    assert "McNemar" in markdown


def test_best_and_second_best_are_marked_in_the_papers_lines(plan: Plan, store: Store) -> None:
    text = to_markdown(build_table(plan, store, plan.artifacts[0]))
    assert "**87.30**" in text and "<u>84.09</u>" in text
    assert not any("**" in line for line in text.splitlines() if "| difference |" in line)


def test_files_are_written_and_nothing_is_run_again(plan: Plan, store: Store, tmp_path: Path) -> None:
    page = write(collected(plan, store), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"table1.md", "table1.tex", "table1.csv", "board.md", "results.json", "index.html"}
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["board"] == [{"artifact": "table1", "there": 26, "wanted": 26}]
    assert "Table 1" in page.read_text()
    begun: list[Job] = []
    run_all(plan.jobs(), Store(store.runs_dir, display=False), before=lambda *job: begun.append(job[2]))
    assert begun == []


def test_rows_that_were_not_run_stay_empty_and_are_named(plan: Plan, tmp_path: Path) -> None:
    only = replace(plan, only=frozenset({"advrush"}))
    table = build_table(only, Store(tmp_path, display=False), plan.artifacts[0])
    assert (table.there, table.wanted) == (0, 26)
    assert table.notes[0] == "Not run, since `--rows` left it out: ResNet-18."
    assert to_markdown(table).count("Not run") == 1


def test_rows_that_were_run_before_are_shown(plan: Plan, store: Store) -> None:
    only = replace(plan, only=frozenset({"advrush"}))
    table = build_table(only, store, plan.artifacts[0])
    assert table.there == table.wanted
    assert not any("--rows" in note for note in table.notes)


def test_a_missing_run_leaves_its_cells_empty(plan: Plan, tmp_path: Path) -> None:
    table = build_table(plan, Store(tmp_path, display=False), plan.artifacts[0])
    assert (table.there, table.wanted) == (0, 26)
    text = to_markdown(table)
    assert "ours" not in text and "84.09" in text


def test_a_failed_run_is_told_and_stops_only_what_needs_it(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage(self: Store, job: Job) -> None:
        if isinstance(job, TrainJob) and job.config.arch == "resnet18":
            raise RunError("the loss is not finite")
        raise RunError(f"reached {job.kind}")

    monkeypatch.setattr(Store, "_stage", stage)
    outcome = run_all(plan.jobs(), Store(tmp_path, display=False))
    told = {type(job): set() for job in outcome.failed}
    for job, why in outcome.failed.items():
        told[type(job)].add(why)
    assert told[TrainJob] == {"the loss is not finite", "reached train"}
    assert told[EvaluateJob] == {"a run that it needs failed"}


def test_runs_of_other_images_are_refused(plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Store(store.runs_dir, display=False)
    monkeypatch.setattr(other, "checksum", lambda config: "another")
    with pytest.raises(RunError, match="other images"):
        run_all(plan.jobs(), other)


def test_a_damaged_index_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "reproduce.json").write_text('{"a": 1}')
    with pytest.raises(RunError, match=r"reproduce\.json.*remove it"):
        Store(tmp_path)


def test_channels_bring_a_network_to_the_wanted_size() -> None:
    def size(channels: int) -> int:
        return sum(p.numel() for p in build("pdarts", channels=channels, layers=5).parameters())

    found = fitted_channels("pdarts", 5, 60_000)
    assert abs(size(found) - 60_000) == min(abs(size(each) - 60_000) for each in range(2, 30))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 'x'\n", "seeds"),
        ("name = 'x'\nseeds = [0]\ncheckpoints = ['middle']\nimages = {cifar10 = {}}\n", "middle"),
        ("name = 'x'\nseeds = [0]\ncheckpoints = ['last']\nimages = {cifar10 = {epps = 1}}\n", "epps"),
        ("base = 'smoke'\nexamples = {autoattack = -1}\n", "examples.autoattack"),
        ("nmae = 'x'\n", "nmae"),
        ("name = \n", "not a readable scale"),
    ],
)
def test_a_wrong_scale_is_refused_by_its_field(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_scale(str(path))


def test_a_scale_leaves_out_a_group_of_attacks(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('base = "smoke"\nname = "mine"\nexamples = {autoattack = 0}\n')
    jobs = [job for job in plan_of(["table1"], read_scale(str(path))).jobs() if isinstance(job, EvaluateJob)]
    attacks = {attack for job in jobs for attack in job.config.attacks}
    assert attacks == {"fgsm", "pgd20", "pgd100"}


def test_a_scale_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('base = "smoke"\nname = "mine"\nseeds = [7]\n')
    found = read_scale(str(path))
    assert (found.name, found.seeds, found.checkpoints) == ("mine", (7,), read_scale("smoke").checkpoints)
    assert tomllib.loads(path.read_text())["base"] == "smoke"
