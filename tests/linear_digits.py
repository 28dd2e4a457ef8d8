"""Networks that need no training: least-squares classifiers of the handwritten digits."""

import torch
from torch import nn

from advrush.data import DataConfig


def make(every: int = 1) -> nn.Module:
    """Return one fitted to every so-manieth training image, with about 90% accuracy."""
    train = DataConfig(dataset="digits").load(None).train
    x, y = (train.images.double() / 255).flatten(1)[::every], train.labels[::every]
    solution = torch.linalg.lstsq(
        torch.cat([x, torch.ones(len(x), 1)], dim=1), nn.functional.one_hot(y, 10).double(), driver="gelsd"
    ).solution
    layer = nn.Linear(64, 10)
    with torch.no_grad():
        layer.weight.copy_(solution[:-1].T * 20)
        layer.bias.copy_(solution[-1] * 20)
    return nn.Sequential(nn.Flatten(), layer)


def make_coarse() -> nn.Module:
    """Return one fitted to every third training image."""
    return make(every=3)
