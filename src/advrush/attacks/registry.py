"""Attacks by name, as the command line and configurations spell them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Literal

from advrush.attacks.adaptive import Adaptive
from advrush.attacks.apgd import APGD
from advrush.attacks.attack import Attack
from advrush.attacks.autoattack import AutoAttack, Duo, staged
from advrush.attacks.carlini_wagner import CarliniWagner
from advrush.attacks.deepfool import DeepFool
from advrush.attacks.malt import MALT
from advrush.attacks.mifgsm import MIFGSM
from advrush.attacks.pgd import FGSM, PGD
from advrush.attacks.threat import ThreatModel
from advrush.config import check, did_you_mean
from advrush.errors import ConfigError

STEP_FRACTION = 3.1
"""PGD's step is eps / 3.1: the paper's 0.01 at its eps 0.031."""


def step_size(eps: float) -> float:
    """Return PGD's step for a radius."""
    return round(eps / STEP_FRACTION, 12)


MOST = 1_000_000
"""Steps, and starts, that an attack may have: more are a slip of the finger that would run for ever."""
Maker = Callable[[ThreatModel, int, int, int], Attack]


def _pgd(loss: str) -> Maker:
    def make(threat: ThreatModel, seed: int, steps: int, restarts: int) -> Attack:
        return PGD(
            eps=threat.eps,
            steps=steps or 20,
            step_size=step_size(threat.eps),
            restarts=restarts,
            loss=loss,  # type: ignore[arg-type]
            norm=threat.norm,
            seed=seed,
        )

    return make


def _staged(name: str) -> Maker:
    return lambda threat, seed, steps, restarts: staged(name, threat.eps, threat.norm, seed)


def _autoattack(version: Literal["standard", "plus", "rand"]) -> Maker:
    return lambda threat, seed, steps, restarts: AutoAttack(threat.eps, threat.norm, version, seed=seed)


MAKERS: dict[str, Maker] = {
    "fgsm": lambda threat, seed, steps, restarts: FGSM(threat.eps, threat.norm, seed),
    "mifgsm": lambda threat, seed, steps, restarts: MIFGSM(threat.eps, steps or 10, norm=threat.norm, seed=seed),
    "pgd": _pgd("ce"),
    "cw": _pgd("margin"),
    "pgd_dlr": _pgd("dlr"),
    "pgd_pma": _pgd("pma"),
    **{name: _staged(name) for name in ("apgd_ce", "apgd_dlr", "apgd_t", "fab", "fab_t", "square")},
    "apgd_pma": lambda threat, seed, steps, restarts: APGD(threat.eps, loss="pma", norm=threat.norm, seed=seed),
    "malt": lambda threat, seed, steps, restarts: MALT(threat.eps, norm=threat.norm, seed=seed),
    "adaptive": lambda threat, seed, steps, restarts: Adaptive(threat.eps, norm=threat.norm, seed=seed),
    "deepfool": lambda threat, seed, steps, restarts: DeepFool(threat.eps, norm=threat.norm, seed=seed),
    "cw_l2": lambda threat, seed, steps, restarts: CarliniWagner(threat.eps, norm=threat.norm, seed=seed),
    "autoattack": _autoattack("standard"),
    "autoattack_plus": _autoattack("plus"),
    "autoattack_rand": _autoattack("rand"),
    "apgd_duo": lambda threat, seed, steps, restarts: Duo(threat.eps, threat.norm, seed),
    "quick": lambda threat, seed, steps, restarts: Duo(threat.eps, threat.norm, seed),
}
ABOUT = {
    "fgsm": "one step along the gradient's sign; towards a class: fgsm_to_3, fgsm_to_next",
    "mifgsm": "FGSM with momentum; steps behind the name: mifgsm10",
    "pgd": "projected gradient descent; steps, restarts, target behind the name: pgd20x5, pgd20_to_next",
    "cw": "PGD on the margin of the logits (Carlini and Wagner's loss): cw20",
    "pgd_dlr": "PGD on the difference of logits ratio: pgd_dlr20",
    "pgd_pma": "PGD on the margin of the probabilities: pgd_pma20",
    "apgd_ce": "Auto-PGD on the cross-entropy; towards a class: apgd_ce_to_least_likely",
    "apgd_dlr": "Auto-PGD on the difference of logits ratio",
    "apgd_t": "Auto-PGD, targeted at each of nine other classes",
    "fab": "Fast Adaptive Boundary attack",
    "fab_t": "Fast Adaptive Boundary attack, targeted",
    "square": "Square attack: queries alone, no gradients",
    "apgd_pma": "Auto-PGD on the margin of the probabilities",
    "malt": "targeted Auto-PGD at the classes that MALT chooses; an estimate of AutoAttack's accuracy",
    "adaptive": "an adaptive ensemble; an estimate of AutoAttack's accuracy",
    "deepfool": "DeepFool, the smallest L2 perturbation by linearization; --norm L2",
    "cw_l2": "Carlini and Wagner's smallest L2 perturbation, thousands of gradients an image; --norm L2",
    "autoattack": "AutoAttack, the standard ensemble: APGD-CE, APGD-T, FAB-T, Square",
    "autoattack_plus": "AutoAttack with all attacks and five restarts",
    "autoattack_rand": "AutoAttack for networks that draw random numbers",
    "apgd_duo": "APGD-CE and targeted APGD: close to AutoAttack in a fraction of its time",
    "quick": "the same as apgd_duo",
}
"""What each of them is. The command line lists these texts as they stand here, without importing this module."""
EXAMPLES = ("pgd20", "pgd100", "cw20", "pgd20x5", "mifgsm10")


def parse_attacks(names: str | Sequence[str], threat: ThreatModel, *, seed: int = 0) -> tuple[Attack, ...]:
    """Return the attacks that `names` ("fgsm,pgd20,pgd100x5", or a sequence of such words) lists.

    A word is a name of `MAKERS`, for the iterative ones followed by the number of steps and, after an x, of
    restarts, and for targeted ones by `_to_next`, `_to_least_likely` or `_to_3`; `-` and `_` are the same, so are
    capitals. Raises ConfigError with a suggestion for an unknown one.
    """
    words = names.split(",") if isinstance(names, str) else [part for name in names for part in name.split(",")]
    attacks = tuple(_parse(word.strip(), threat, seed) for word in words if word.strip())
    if not attacks:
        raise ConfigError(f"attacks: got {names!r}; expected names such as {', '.join(EXAMPLES)}")
    return attacks


def _parse(word: str, threat: ThreatModel, seed: int) -> Attack:
    name = word.lower().replace("-", "_")
    if aimed := re.fullmatch(r"(.+)_to_(least_likely|next|\d+)", name):
        return _aimed(word, _parse(aimed[1], threat, seed), aimed[2])
    if name in MAKERS:
        return MAKERS[name](threat, seed, 0, 1)
    match = re.fullmatch(r"(pgd_dlr|pgd_pma|pgd|cw|mifgsm)_?(\d+)(?:x(\d+))?(_pma)?", name)
    if match is None:
        hint = _nearest(name) or f"; known: {', '.join(MAKERS)}, with steps such as pgd20"
        raise ConfigError(f"attacks: unknown attack '{word}'{hint}")
    kind, steps, restarts, loss = match.groups()
    check(loss is None or kind == "pgd", "attacks", word, "such as pgd20_pma or pgd_pma20")
    kind += loss or ""
    sound = all(len(count) <= len(str(MOST)) and 1 <= int(count) <= MOST for count in (steps, restarts or "1"))
    check(sound, "attacks", word, f"1 to {MOST:,} steps and starts")
    return MAKERS[kind](threat, seed, int(steps), int(restarts or 1))


def _nearest(name: str) -> str:
    """Return " (did you mean 'pgd20_to_next'?)": the nearest attack with the steps and the target that were written."""
    steps = re.search(r"\d+(x\d+)?", name)
    iterative = [f"{kind}{steps[0] if steps else 20}" for kind in ("pgd", "cw", "mifgsm", "pgd_dlr", "pgd_pma")]
    plain = [*MAKERS, *iterative, *EXAMPLES]
    aimed = [f"{attack}_to_{target}" for attack in plain for target in ("next", "least_likely")]
    return did_you_mean(name, [*plain, *(aimed if "_t" in name else ())])


def _aimed(word: str, attack: Attack, target: str) -> Attack:
    """Return the attack towards a target; ConfigError for one that takes none."""
    takes = "target" in {field.name for field in fields(attack)}  # type: ignore[arg-type]  # attacks are dataclasses
    check(takes, "attacks", word, "a target behind fgsm, pgd, cw, pgd_dlr, apgd_ce or apgd_dlr, such as pgd20_to_next")
    value = int(target) if target.isdecimal() else target.replace("_", "-")
    return replace(attack, target=value)  # type: ignore[type-var]
