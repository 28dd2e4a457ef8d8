"""What a reproduction is expected to cost, before and after runs of the kind have finished."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from advrush.attacks import APGD, APGDT, FAB, Square
from advrush.paper import Store, plan_of, read_scale
from advrush.paper.costs import CALLS, factors, hours, work
from advrush.paper.jobs import EvaluateJob
from advrush.run import Run


def autoattack() -> EvaluateJob:
    jobs = plan_of(["table1"], read_scale("smoke"), rows=["resnet18"]).jobs()
    return next(job for job in jobs if isinstance(job, EvaluateJob) and job.config.attacks == ("autoattack",))


def with_images(job: EvaluateJob, count: int) -> EvaluateJob:
    return replace(job, config=replace(job.config, data=replace(job.config.data, test_examples=count)))


class Unmoved(nn.Module):
    """A network that no attack deceives; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1e-6))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.weight * x.flatten(1)[:, :10] + torch.eye(10)[0]


def test_a_batch_of_autoattack_makes_the_calls_that_are_reckoned_with() -> None:
    x, y = 0.1 + 0.8 * torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long)
    calls, gradients = 0, 0.0
    for attack in (APGD(0.03), APGDT(0.03), FAB(0.03, targets=9), Square(0.03)):
        model = Unmoved().eval()
        outcome = attack.run(model, x, y)
        calls += model.calls
        gradients += outcome.backwards / len(x)
    assert calls + 2 * gradients == pytest.approx(CALLS["autoattack"], rel=0.02)


def test_few_images_cost_the_calls_of_a_batch_and_many_the_passes() -> None:
    job = autoattack()
    one, ten = work(with_images(job, 1)), work(with_images(job, 10))
    assert ten.operations == one.operations
    assert ten.macs == pytest.approx(10 * one.macs)


def test_autoattack_is_foretold_from_its_own_kin(tmp_path: Path) -> None:
    job = autoattack()
    other = replace(job, config=replace(job.config, attacks=("pgd20",)))
    store = Store(tmp_path)

    def finish(job: EvaluateJob, name: str, seconds: float) -> None:
        run = Run(tmp_path / "evaluate" / name)
        run.path.mkdir(parents=True)
        (run.path / "config.toml").write_text('name = "x"\n')
        (run.path / "result.json").write_text(json.dumps({"seconds": seconds}))
        store.record(job, {"run": store.place(run), "data": ""})

    finish(other, "x-00000000", 0.1 * work(other).seconds)
    few = factors([job, other], store)
    assert hours(job, few) == pytest.approx(0.1 * work(job).seconds / 3600)
    finish(job, "x-00000001", 7 * work(job).seconds)
    both = factors([job, other], store)
    assert hours(job, both) == pytest.approx(7 * work(job).seconds / 3600)
    assert hours(other, both) == pytest.approx(0.1 * work(other).seconds / 3600)
