import pytest

from advrush.errors import ConfigError
from advrush.paper import Row, others, paper, plan_of, printed, published, read_scale, scales
from advrush.paper.jobs import SearchJob, TrainJob, TransferJob, key


def test_all_tables_and_figures_are_there() -> None:
    tables = {"table1", "table2", "table3", "table4", "table5", "table6", "tableA2", "tableA3"}
    assert set(paper().artifacts) == tables | {"fig1", "fig2", "fig3", "figA1", "figA2_A3", "figA4_A5", "figA6"}


def test_each_published_number_has_its_place_in_an_artifact() -> None:
    for artifact, row, column in published():
        found = paper().artifact(artifact)
        assert row in {each.key for each in found.rows}
        names = {each.key for each in (found.rows if found.kind == "transfer" else found.columns)}
        assert column in names


def test_each_cell_of_a_table_is_printed_but_the_controls() -> None:
    ours = {"resnet18_wd5e-4", "gamma_0.01"}
    for artifact in paper().artifacts.values():
        if artifact.kind != "table":
            continue
        for row in artifact.rows:
            for column in artifact.columns:
                if printed(artifact.key, row.key, column.key) is None:
                    assert row.key in ours and artifact.key in ("table1", "table6", "tableA2")


def test_contradictions_are_kept_and_marked() -> None:
    table1, table_a3 = printed("table1", "advrush", "adv_apgd_ce"), printed("tableA3", "gamma_0.01", "apgd_ce")
    assert table1 is not None and table_a3 is not None
    assert (table1.value, table_a3.value) == (51.83, 50.05)
    assert "Table A3" in table1.note and "Table 1" in table_a3.note


def test_what_others_measured_has_its_source() -> None:
    found = {one.source: one.value for one in others("table1", "advrush", "adv_pgd20")}
    assert found["a user of the published code"] == 45.45
    assert found["Wsr-NAS (AAAI 2023)"] == 48.7
    assert all(one.source for numbers in published().values() for one in numbers)


def test_an_unknown_artifact_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="table1"):
        paper().artifact("tabel1")


@pytest.mark.parametrize("name", list(scales()))
def test_every_scale_plans_every_artifact(name: str) -> None:
    jobs = plan_of(["all"], read_scale(name)).jobs()
    assert len({key(job) for job in jobs}) == len(jobs) > 100
    seen: set[object] = set()
    for job in jobs:
        assert all(each in seen for each in job.needs)
        seen.add(job)


def test_the_paper_scale_is_the_paper() -> None:
    jobs = plan_of(["table1", "table4", "table5"], read_scale("paper")).jobs()
    searches = {job.config.name: job.config for job in jobs if isinstance(job, SearchJob)}
    assert (searches["paper-gamma_0.02"].epochs, searches["paper-gamma_0.02"].warmup_epochs) == (60, 50)
    assert searches["paper-gamma_0.02"].curvature.gamma == 0.02
    assert (searches["paper-fgsm_0_50"].epochs, searches["paper-fgsm_0_50"].warmup_epochs) == (50, 0)
    trainings = {job.config.name: job.config for job in jobs if isinstance(job, TrainJob)}
    adversarial, control = trainings["paper-advrush-adversarial"], trainings["paper-resnet18_wd5e-4-adversarial"]
    assert (adversarial.epochs, adversarial.optimizer.decay_epochs, adversarial.attack.eps) == (200, (100, 150), 0.031)
    assert (adversarial.attack.steps, adversarial.attack.step_size, adversarial.optimizer.weight_decay) == (
        7,
        0.01,
        1e-4,
    )
    assert control.optimizer.weight_decay == 5e-4
    assert (trainings["paper-advrush-standard"].epochs, trainings["paper-advrush-standard"].auxiliary) == (600, 0.4)
    assert (trainings["paper-resnet18-standard"].auxiliary, trainings["paper-resnet18-standard"].drop_path) == (0, 0)


def test_the_short_scale_ends_adversarial_trainings_after_the_first_drop() -> None:
    jobs = plan_of(["table1"], read_scale("paper-105")).jobs()
    found = next(job for job in jobs if isinstance(job, TrainJob) and job.config.name == "paper-105-pdarts-adversarial")
    assert (found.config.epochs, found.config.optimizer.drop_checkpoint(105)) == (105, 105)


def test_artifacts_share_their_runs() -> None:
    scale = read_scale("smoke")
    alone = [set(plan_of([name], scale).jobs()) for name in ("table4", "tableA3")]
    assert alone[0] < alone[1]
    assert set(plan_of(["table4", "tableA3"], scale).jobs()) == alone[1]


def test_one_word_adds_an_architecture_to_every_table() -> None:
    scale, row = read_scale("smoke"), Row("nasnet", "NASNet-A", arch="nasnet")
    plan = plan_of(["all"], scale, [row])
    for artifact in plan.artifacts:
        datasets = {each.dataset for each in artifact.rows}
        keys = {each.key for each in artifact.rows}
        wanted = {f"{name}/nasnet" for name in datasets} if len(datasets) > 1 else {"nasnet"}
        assert not artifact.rows or wanted <= keys


def test_rows_on_other_images_stand_beside_the_papers() -> None:
    (table3,) = plan_of(["table3"], read_scale("small")).artifacts
    assert [row.key for row in table3.rows if row.dataset == "fashion_mnist"] == [
        f"fashion_mnist/{name}" for name in ("resnet18", "densenet121", "pdarts", "advrush")
    ]


def test_rows_restrict_what_is_run_and_nothing_else() -> None:
    scale = read_scale("smoke")
    whole, part = plan_of(["table1"], scale), plan_of(["table1"], scale, rows=["ADVRUSH", "ResNet-18"])
    assert part.artifacts == whole.artifacts
    assert {job.config.arch for job in part.jobs() if isinstance(job, TrainJob)} == {"advrush", "resnet18"}
    assert set(part.jobs()) < set(whole.jobs())


def test_rows_are_searches_too_and_stand_on_one_data_set_or_all() -> None:
    scale = read_scale("paper")
    (search,) = {job.config.curvature.gamma for job in plan_of(["fig2"], scale, rows=["gamma_0.01"]).jobs()}  # type: ignore[union-attr]
    assert search == 0.01
    assert plan_of(["table3"], scale, rows=["pdarts"]).only == {
        f"{d}/pdarts" for d in ("cifar100", "svhn", "tiny_imagenet")
    }
    assert plan_of(["table3"], scale, rows=["svhn/pdarts"]).only == {"svhn/pdarts"}


def test_a_matrix_of_some_rows_is_a_run_of_its_own() -> None:
    scale = read_scale("smoke")
    jobs = plan_of(["table2"], scale, rows=["advrush", "pdarts"]).jobs()
    (transfer,) = (job for job in jobs if isinstance(job, TransferJob))
    assert [each.config.arch for each in transfer.trainings] == ["pdarts", "advrush"]
    assert plan_of(["table2"], scale, rows=["advrush"]).jobs() == []


def test_added_rows_are_run_beside_the_chosen() -> None:
    plan = plan_of(["table1"], read_scale("smoke"), [Row("nasnet", "NASNet-A", arch="nasnet")], rows=["advrush"])
    assert {job.config.arch for job in plan.jobs() if isinstance(job, TrainJob)} == {"advrush", "nasnet"}


def test_an_unknown_row_gets_a_suggestion_and_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"rows: got 'advrsh' \(did you mean 'advrush'\?\); rows of table1: resnet18, "
    ):
        plan_of(["table1"], read_scale("smoke"), rows=["advrsh"])


@pytest.mark.parametrize(
    ("said", "key"),
    [
        (["Table 1"], "table1"),
        (["Table", "A3"], "tableA3"),
        (["figure1"], "fig1"),
        (["Fig. A1"], "figA1"),
        (["Figure A1"], "figA1"),
        (["figa3"], "figA2_A3"),
        (["Figure A2_A3"], "figA2_A3"),
    ],
)
def test_tables_and_figures_are_named_as_the_paper_does(said: list[str], key: str) -> None:
    (found,) = paper().select([*said, key])
    assert found.key == key
