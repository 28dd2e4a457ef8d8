"""Configurations: TOML round trip, errors that name the field, digest."""

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from advrush import config as configs
from advrush.config import check
from advrush.errors import ConfigError
from advrush.searching import SearchConfig


@dataclass(frozen=True)
class Inner:
    gamma: float = 0.01

    def __post_init__(self) -> None:
        check(self.gamma >= 0, "inner.gamma", self.gamma, "a number >= 0")


@dataclass(frozen=True)
class Outer:
    name: str = "x"
    size: int | None = None
    steps: tuple[int, ...] = (1, 2)
    inner: Inner = field(default_factory=Inner)


def test_toml_gives_the_configuration_back() -> None:
    for config in (Outer(), Outer("a 'b' \"c\"", 3, (), Inner(1e-9)), SearchConfig(seed=7)):
        assert configs.from_dict(type(config), tomllib.loads(configs.to_toml(config))) == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"nam": "x"}, r"unknown key 'nam' \(did you mean 'name'\?\)"),
        ({"inner": {"gama": 1.0}}, r"unknown key 'inner.gama' \(did you mean 'gamma'\?\)"),
        ({"inner": {"gamma": "much"}}, r"inner.gamma: expected float, got str"),
        ({"inner": {"gamma": -1.0}}, r"inner.gamma: got -1.0; expected a number >= 0"),
        ({"steps": [1, "two"]}, r"steps\[1\]: expected int, got str"),
        ({"size": 1.5}, r"size: expected int"),
    ],
)
def test_mistakes_are_named(data: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configs.from_dict(Outer, data)


def test_file_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    with pytest.raises(ConfigError, match=r"a\.toml: cannot be read"):
        configs.load(Outer, path)
    path.write_text("name = ")
    with pytest.raises(ConfigError, match=r"a\.toml: not valid TOML"):
        configs.load(Outer, path)
    path.write_text("nme = 'x'")
    with pytest.raises(ConfigError, match=r"a\.toml: unknown key 'nme'"):
        configs.load(Outer, path)


def test_digest_depends_on_every_value_and_the_class() -> None:
    base = Outer()
    variants = [replace(base, name="y"), replace(base, size=1), replace(base, inner=Inner(0.02)), Inner()]
    digests = {configs.digest(base), *(configs.digest(variant) for variant in variants)}
    assert len(digests) == 5
    assert configs.digest(Outer()) == configs.digest(base)
    assert all(len(digest) == 8 for digest in digests)


def test_suggestions_ignore_case_and_give_up_on_strangers() -> None:
    assert configs.did_you_mean("advrsh", ["ADVRUSH", "PDARTS"]) == " (did you mean 'ADVRUSH'?)"
    assert configs.did_you_mean("zzz", ["ADVRUSH"]) == ""
