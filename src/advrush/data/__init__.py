"""Data sets of every format as uint8 tensors, and batches from them."""

from advrush.data.augment import Augment
from advrush.data.batches import batches, epoch_batches, split_half
from advrush.data.config import DataConfig
from advrush.data.dataset import Dataset, Split
from advrush.data.known import KNOWN, Known
from advrush.data.load import load_dataset

__all__ = [
    "KNOWN",
    "Augment",
    "DataConfig",
    "Dataset",
    "Known",
    "Split",
    "batches",
    "epoch_batches",
    "load_dataset",
    "split_half",
]
