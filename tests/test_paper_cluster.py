"""A reproduction on a Ray cluster of three nodes, one of which is removed while it works."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from advrush.errors import ConfigError
from advrush.paper import Plan, Store, paper, read_scale
from advrush.paper.cluster import run_on_cluster
from advrush.paper.execute import JobOutcomes, run_all
from advrush.paper.tables import build_table

ray = pytest.importorskip("ray", reason="Ray is not installed (extra `cluster`)")


@pytest.fixture(scope="module")
def plan() -> Plan:
    scale = read_scale("smoke")
    longer = {**scale.adversarial, "epochs": 12, "optimizer": {"lr": 0.05, "decay_epochs": [6]}}
    scale = replace(scale, seeds=(0, 1, 2), parameters=2500, adversarial=longer, checkpoints=("drop",))
    artifact = paper().artifact("table1")
    rows = tuple(row for row in artifact.rows if row.key == "resnet18")
    columns = tuple(column for column in artifact.columns if column.key in ("params_m", "adv_clean", "adv_pgd20"))
    return Plan(scale, (replace(artifact, rows=rows, columns=columns),))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "240")  # nodes come up slowly on a busy machine
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    found.nodes = [found.add_node(num_cpus=1) for _ in range(3)]
    ray.init(address=found.address, log_to_driver=False)
    found.wait_for_nodes()
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture(scope="module")
def alone(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the table that one process alone makes."""
    store = Store(tmp_path_factory.mktemp("alone"), display=False)
    run_all(plan.jobs(), store)
    return table(plan, store)


def table(plan: Plan, store: Store) -> str:
    found = build_table(plan, store, plan.artifacts[0]).to_dict()
    del found["training_hours"]
    return json.dumps(found)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("exchanged", [False, True], ids=["common folder", "exchange"])
def test_a_node_lost_while_busy_changes_nothing(
    plan: Plan, alone: str, cluster: Any, tmp_path: Path, exchanged: bool
) -> None:
    found: list[JobOutcomes] = []
    store = Store(tmp_path / "cluster", display=False)
    more = {"exchange": f"file://{tmp_path}/exchange", "every": 0.2} if exchanged else {}
    driver = Thread(
        target=lambda: found.append(run_on_cluster(plan.jobs(), store, address=cluster.address, shares=2, **more))
    )
    driver.start()
    until = time.monotonic() + 300
    begun = tmp_path.glob("exchange/unfinished/*.json" if exchanged else "cluster/train/*/metrics.jsonl")
    while not next(begun, None):
        assert driver.is_alive() and time.monotonic() < until, "no training began"
        time.sleep(0.1)
        begun = tmp_path.glob("exchange/unfinished/*.json" if exchanged else "cluster/train/*/metrics.jsonl")
    cluster.remove_node(cluster.nodes[0], allow_graceful=False)
    driver.join(800)
    assert not driver.is_alive()
    (outcome,) = found
    assert outcome.failed == {}
    assert table(plan, Store(tmp_path / "cluster")) == alone
    left = [*tmp_path.glob("cluster/shares/*"), *tmp_path.glob("exchange/unfinished/*")]
    assert not left


def test_a_cluster_that_does_not_answer_is_named(plan: Plan, tmp_path: Path) -> None:
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:1.*ray start"):
        run_on_cluster(plan.jobs(), Store(tmp_path, display=False), address="127.0.0.1:1")
