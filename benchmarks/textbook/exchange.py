"""Put the numbers of a textbook supernet into the program's own."""

from __future__ import annotations

import re

import torch
from torch import nn

from .supernet import Supernet


def rename(key: str) -> str:
    """Return the name that the program has for a tensor of the textbook's state dict."""
    key = re.sub(r"\.preprocess([01])\.", r".preprocess.\1.", key)
    # the program never builds `none`, which is primitive 0
    return re.sub(r"\._ops\.(\d+)\._ops\.(\d+)\.", lambda m: f".edges.{m[1]}.operations.{int(m[2]) - 1}.", key)


@torch.no_grad()
def load_textbook(supernet: nn.Module, textbook: Supernet) -> None:
    """Copy weights, running statistics and alphas; every tensor of either side must have its twin."""
    state = {rename(key): value for key, value in textbook.state_dict().items()}
    state["alpha.normal"], state["alpha.reduce"] = textbook.alphas_normal, textbook.alphas_reduce
    supernet.load_state_dict(state)
