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


@pytest.mark.timeout(600)
def test_a_node_lost_while_busy_changes_nothing(plan: Plan, cluster: Any, tmp_path: Path) -> None:
    found: list[JobOutcomes] = []
    store = Store(tmp_path / "cluster", display=False)
    driver = Thread(target=lambda: found.append(run_on_cluster(plan.jobs(), store, address=cluster.address)))
    driver.start()
    until = time.monotonic() + 300
    while not list((tmp_path / "cluster").glob("train/*/metrics.jsonl")):
        assert driver.is_alive() and time.monotonic() < until, "no training began"
        time.sleep(0.1)
    cluster.remove_node(cluster.nodes[0], allow_graceful=False)
    driver.join(500)
    assert not driver.is_alive()
    (outcome,) = found
    assert outcome.failed == {}
    alone = Store(tmp_path / "alone", display=False)
    run_all(plan.jobs(), alone)
    tables = [build_table(plan, each, plan.artifacts[0]).to_dict() for each in (Store(tmp_path / "cluster"), alone)]
    for table in tables:
        del table["training_hours"]
    assert json.dumps(tables[0]) == json.dumps(tables[1])


def test_a_cluster_that_does_not_answer_is_named(plan: Plan, tmp_path: Path) -> None:
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:1.*ray start"):
        run_on_cluster(plan.jobs(), Store(tmp_path, display=False), address="127.0.0.1:1")
