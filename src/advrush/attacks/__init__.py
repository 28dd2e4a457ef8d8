"""Attacks: values that are called with (model, x, y), for any nn.Module that takes pixels in [0, 1]."""

from advrush.attacks.adaptive import Adaptive
from advrush.attacks.apgd import APGD, APGDT
from advrush.attacks.attack import Attack
from advrush.attacks.autoattack import AutoAttack, Cascade, Duo
from advrush.attacks.carlini_wagner import CarliniWagner
from advrush.attacks.deepfool import DeepFool
from advrush.attacks.ensemble.record import Ledger
from advrush.attacks.ensemble.result import Outcome
from advrush.attacks.ensemble.rounds import Staged
from advrush.attacks.ensemble.runnable import Runnable
from advrush.attacks.fab import FAB
from advrush.attacks.malt import MALT
from advrush.attacks.mifgsm import MIFGSM
from advrush.attacks.minimal_norm import MinimalNorm
from advrush.attacks.passes.fast_model import FastModel
from advrush.attacks.pgd import FGSM, PGD, ascend, loss_gradient
from advrush.attacks.registry import parse_attacks
from advrush.attacks.square import Square
from advrush.attacks.threat import L1, L2, Linf, ThreatModel, threat_model
from advrush.modes import evaluating, frozen

__all__ = [
    "APGD",
    "APGDT",
    "FAB",
    "FGSM",
    "L1",
    "L2",
    "MALT",
    "MIFGSM",
    "PGD",
    "Adaptive",
    "Attack",
    "AutoAttack",
    "CarliniWagner",
    "Cascade",
    "DeepFool",
    "Duo",
    "FastModel",
    "Ledger",
    "Linf",
    "MinimalNorm",
    "Outcome",
    "Runnable",
    "Square",
    "Staged",
    "ThreatModel",
    "ascend",
    "evaluating",
    "frozen",
    "loss_gradient",
    "parse_attacks",
    "threat_model",
]
