"""Create the objective that a configuration names."""

from __future__ import annotations

from advrush.attacks import FGSM
from advrush.data import Dataset
from advrush.searching.adversarial import AdversarialValidation
from advrush.searching.authors import AuthorsAdvRush
from advrush.searching.config import SearchConfig
from advrush.searching.objectives import AdvRush, Darts, ExactCurvature, Objective
from advrush.searching.unrolled import PUBLISHED_RADIUS, UnrolledDarts


def objective_of(config: SearchConfig, dataset: Dataset) -> Objective:
    """Return the objective of the epochs after the warm-up."""
    curvature = config.curvature
    match config.objective:
        case "darts":
            return Darts()
        case "darts_second_order":
            return UnrolledDarts(PUBLISHED_RADIUS if config.mixed_derivative == "difference" else None)
        case "exact":
            return ExactCurvature(curvature.gamma, curvature.h, curvature.scale, config.fast, config.micro_batch)
        case "adversarial":
            options = config.adversarial
            attack = FGSM(eps=options.eps) if options.attack == "fgsm" else options.pgd()
            return AdversarialValidation(attack, dataset.mean, dataset.std, attack_weights=options.weights)
        case "advrush":
            scale = curvature.scale * (4 if config.departs("curvature_times_4") else 1)
            polluted, frozen_bn = config.departs("polluted_gradient"), config.departs("frozen_bn")
            if polluted or frozen_bn:
                return AuthorsAdvRush(curvature.gamma, curvature.h, scale, polluted, frozen_bn)
            return AdvRush(curvature.gamma, curvature.h, scale, config.fast, config.micro_batch)
