import pytest

from advrush.errors import ConfigError
from advrush.evaluation.model_info import model_info

ATTACK = {
    "name": "autoattack", "robust_acc": 0.4805, "interval": [0.47, 0.49], "forwards": 45, "backwards": 11,
    "warnings": [],
}  # fmt: skip
RESULT = {
    "dataset": "cifar10", "examples": 10_000, "clean_acc": 0.845, "threat_model": {"norm": "Linf", "eps": 8 / 255},
    "attacks": [{"name": "fgsm", "robust_acc": 0.6}, ATTACK],
}  # fmt: skip


def test_a_record_has_the_leaderboards_fields() -> None:
    found = model_info(RESULT, name="Mine", architecture="ResNet-18", venue="ICCV 2021")
    assert found["autoattack_acc"] == found["reported"] == "48.05"
    assert (found["clean_acc"], found["eps"], found["dataset"]) == ("84.50", "8/255", "cifar10")
    assert found["unreliable"] is False
    assert {"link", "name", "authors", "additional_data", "number_forward_passes", "venue", "architecture"} < set(found)


@pytest.mark.parametrize(
    ("norm", "eps", "said"), [("Linf", 0.031, "0.031"), ("L2", 0.5, "0.5"), ("Linf", 2 / 255, "2/255")]
)
def test_radii_that_are_no_255ths_stay_decimal(norm: str, eps: float, said: str) -> None:
    result = {**RESULT, "threat_model": {"norm": norm, "eps": eps}}
    assert model_info(result, name="a", architecture="b")["eps"] == said


def test_warnings_make_it_unreliable() -> None:
    doubtful = {**RESULT, "attacks": [{**ATTACK, "warnings": ["zero gradients"]}]}
    assert model_info(doubtful, name="a", architecture="b")["unreliable"] is True


def test_without_autoattack_there_is_no_record() -> None:
    with pytest.raises(ConfigError, match=r"ran fgsm; .*autoattack"):
        model_info({**RESULT, "attacks": RESULT["attacks"][:1]}, name="a", architecture="b")  # type: ignore[index]
