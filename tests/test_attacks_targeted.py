"""Targeted attacks: success is the target's class alone, told as a rate of its own and never as an accuracy."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from advrush import evaluate, leaderboard
from advrush.attacks import APGD, FGSM, PGD, Attack, Linf, Square, parse_attacks
from advrush.cli import main
from advrush.data import DataConfig
from advrush.errors import AdvrushError, ConfigError, DataError, ModelContractError
from advrush.evaluation import TransferConfig, transfer
from attack_models import checkpoint, checkpoint_images, images, small
from linear_digits import make

NAMES = ("fgsm_to_next", "pgd20_to_least-likely", "cw20_to_3", "pgd_dlr20_to_next", "apgd_ce_to_next", "apgd_dlr_to_3")


@pytest.mark.parametrize("name", NAMES)
def test_success_is_the_targets_class_alone(name: str) -> None:
    model = small()
    x, y = images(model, 30)
    (attack,) = parse_attacks(name, Linf(0.1))
    assert attack.name == name.replace("-", "_")
    with torch.no_grad():
        logits, told = model(x), model(attack(model, x, y)).argmax(1)
    kinds = {"next": (y + 1) % 10, "least-likely": logits.argmin(1), "3": torch.full_like(y, 3)}
    target = next(value for kind, value in kinds.items() if name.endswith(kind))
    counted = target != y
    outcome = attack.run(model, x, y)  # type: ignore[attr-defined]
    assert int(outcome.clean.sum()) == int(counted.sum())
    assert outcome.success_rate == pytest.approx(float((told == target)[counted].double().mean()), abs=0.1)
    with pytest.raises(ConfigError, match="success_rate: the attack is targeted"):
        _ = outcome.robust_acc


@pytest.mark.parametrize("attack", [FGSM(0.3), PGD(0.3, step_size=0.06), APGD(0.3, steps=30)], ids=lambda a: a.name)
def test_given_targets(attack: Attack) -> None:
    model = small()
    x, y = images(model, 20)
    targets = (y + 2) % 10
    x_adv = attack(model, x, y, targets=targets)  # type: ignore[call-arg]
    assert float((x_adv - x).abs().max()) <= 0.3 + 1e-6
    with torch.no_grad():
        rate = float((model(x_adv).argmax(1) == targets).double().mean())
        untargeted = float((model(attack(model, x, y)).argmax(1) == targets).double().mean())
    assert rate > (0.2 if attack.name == "fgsm" else 0.9)
    assert rate > untargeted
    outcome = attack.run(model, x, y, targets=targets)  # type: ignore[attr-defined]
    assert (outcome.name, outcome.target) == (f"{attack.name}_to_given", "given")
    assert outcome.success_rate == pytest.approx(rate, abs=0.11)  # batches have starts of their own


def test_restarts_keep_what_reached_its_target() -> None:
    model = small()
    x, y = images(model, 40)
    rates = [PGD(0.06, restarts=n, target="next").run(model, x, y).success_rate for n in (1, 5)]
    assert rates[0] <= rates[1]


def test_a_robust_network_is_led_to_the_next_class_less_often_than_to_any() -> None:
    model = checkpoint("cnn_a_adv")
    x, y = (part[:40] for part in checkpoint_images())
    eps = 8 / 255
    untargeted = PGD(eps, step_size=eps / 4).run(model, x, y)
    rates = {}
    for target in ("next", "least-likely"):
        outcome = APGD(eps, steps=20, target=target).run(model, x, y)  # type: ignore[arg-type]
        assert torch.equal(outcome.clean, untargeted.clean)
        rates[target] = outcome.success_rate
    assert 0 < rates["next"] < untargeted.success_rate
    assert rates["least-likely"] <= rates["next"]


def test_images_of_the_targets_class_are_left_alone() -> None:
    model = small()
    x, y = images(model, 30)
    own = y == int(y[0])
    for attack in (FGSM(0.1, target=int(y[0])), PGD(0.1, target=int(y[0])), APGD(0.1, steps=5, target=int(y[0]))):
        x_adv = attack(model, x, y)
        assert torch.equal(x_adv[own], x[own])
        assert not torch.equal(x_adv[~own], x[~own])
    everything = PGD(target=int(y[0])).run(model, x[own], y[own])
    assert math.isnan(everything.success_rate)


def test_wrong_targets_are_refused_by_name() -> None:
    model = small()
    x, y = images(model, 4)
    for wrong, message in (
        (y, "4 of 4 are the image's own label"),
        (y.float(), "float32; expected whole numbers"),
        (y[:2], r"expected \(4,\)"),
        (y - 20, "indices from 0"),
    ):
        with pytest.raises(DataError, match=f"targets: .*{message}"):
            PGD()(model, x, y, targets=wrong)
    with pytest.raises(ModelContractError, match="target: got 10; the model tells 10 classes"):
        PGD(target=10)(model, x, y)
    for value in ("nearest", -1, True):
        with pytest.raises(ConfigError, match="target: got"):
            PGD(target=value)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"square_to_3.*expected a target behind fgsm"):
        parse_attacks("square_to_3", Linf(0.1))
    with pytest.raises(ConfigError, match="targets: got 'Square'"):
        Square().run(model, x, y, targets=(y + 1) % 10)


def test_the_worst_case_knows_no_targeted_attack() -> None:
    data = DataConfig("digits", test_examples=60).load()
    both = evaluate(make(), data, attacks="fgsm,pgd20_to_next,pgd20_to_3", eps=0.2, display=False)
    alone = evaluate(make(), data, attacks="fgsm", eps=0.2, display=False)
    assert [row.name for row in both.attacks] == ["fgsm"]
    assert both.robust_acc == alone.robust_acc
    told = both.to_dict()
    assert told["worst_case"] == alone.to_dict()["worst_case"]
    assert [row["target"] for row in told["targeted"]] == ["next", "3"]
    assert all("robust_acc" not in row for row in told["targeted"])
    assert told["targeted"][1]["attacked"] < told["targeted"][0]["attacked"]
    rows = [row for row in both.table.rows if row["accuracy"] is None]
    assert [row["attack"] for row in rows] == ["pgd20_to_next", "pgd20_to_3"]
    text = str(both)
    assert "targeted attack" in text
    assert "success rate" in text
    assert both._repr_html_().count("<table>") == 2
    only = evaluate(make(), data, attacks="pgd20_to_next", eps=0.2, display=False)
    assert "worst_case" not in only.to_dict()
    with pytest.raises(ConfigError, match="an untargeted attack"):
        _ = only.robust_acc


def factory() -> nn.Module:
    return make()


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = "python:test_attacks_targeted:factory"
    data = ["--data.dataset", "digits", "--data.test-examples", "30", "--runs-dir", str(tmp_path), "--device", "cpu"]
    attack = ["evaluate", target, "--attacks", "fgsm,pgd20_to_next", "--eps", "0.2", "--save-examples", *data]
    assert main(attack) == 0
    printed = capsys.readouterr().out
    assert "pgd20_to_next: targeted success rate" in printed
    assert "targeted attack" in printed
    assert main([*attack, "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["result"]["targeted"][0]["name"] == "pgd20_to_next"
    assert (Path(run["run"]) / "targeted.safetensors").is_file()
    only = ["evaluate", target, "--attacks", "pgd20_to_next", "--eps", "0.2", *data, "--json"]
    assert main(only) == 0
    assert "worst_case" not in json.loads(capsys.readouterr().out)["runs"][0]["result"]
    assert len(leaderboard([tmp_path])["groups"]) == 1
    with pytest.raises(AdvrushError, match="an untargeted attack"):
        transfer([make(), make(2)], TransferConfig(attack="pgd5_to_next", data=DataConfig("digits")), runs_dir=tmp_path)


def test_an_interrupted_targeted_evaluation_goes_on(tmp_path: Path) -> None:
    model, states = small(), []
    x, y = images(model, 30)
    attack = PGD(0.1, target="next")
    whole = attack.run(model, x, y, batch_size=7, on_batch=lambda state: states.append(state))
    again = attack.run(model, x, y, batch_size=7, state=states[1])
    assert torch.equal(whole.flags, again.flags)
