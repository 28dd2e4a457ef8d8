"""Attacks: values that are called with (model, x, y), for any nn.Module that takes pixels in [0, 1]."""

from advrush.attacks.attack import Attack
from advrush.attacks.mifgsm import MIFGSM
from advrush.attacks.pgd import FGSM, PGD, ascend, input_gradient
from advrush.attacks.registry import parse_attacks
from advrush.attacks.threat import L2, Linf, ThreatModel, threat_model
from advrush.modes import evaluating, frozen

__all__ = [
    "FGSM",
    "L2",
    "MIFGSM",
    "PGD",
    "Attack",
    "Linf",
    "ThreatModel",
    "ascend",
    "evaluating",
    "frozen",
    "input_gradient",
    "parse_attacks",
    "threat_model",
]
