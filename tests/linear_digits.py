"""A network that needs no training: the least-squares classifier of the handwritten digits."""

import torch
from torch import nn

from advrush.data import DataConfig


def make() -> nn.Module:
    """Return it, with about 90% accuracy."""
    train = DataConfig(dataset="digits").load(None).train
    x = (train.images.double() / 255).flatten(1)
    solution = torch.linalg.lstsq(
        torch.cat([x, torch.ones(len(x), 1)], dim=1), nn.functional.one_hot(train.labels, 10).double(), driver="gelsd"
    ).solution
    layer = nn.Linear(64, 10)
    with torch.no_grad():
        layer.weight.copy_(solution[:-1].T * 20)
        layer.bias.copy_(solution[-1] * 20)
    return nn.Sequential(nn.Flatten(), layer)
