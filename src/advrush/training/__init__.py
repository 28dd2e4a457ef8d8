"""Training: one loop, and the objectives that it takes."""

from advrush.training.config import AttackConfig, OptimizerConfig, TrainConfig
from advrush.training.loop import train

__all__ = ["AttackConfig", "OptimizerConfig", "TrainConfig", "train"]
