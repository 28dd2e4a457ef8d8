"""The handwritten digits that come with scikit-learn: real images without a download."""

from __future__ import annotations

import numpy as np
import torch

from advrush.data.dataset import Split
from advrush.data.raw import Raw, hold_out


def read() -> Raw:
    """Return 1,797 gray images of 8x8 pixels in 17 levels, spread over 0 to 255; a fifth of each class for testing."""
    from sklearn.datasets import load_digits

    content = load_digits()
    images = torch.from_numpy(np.rint(content.images * (255 / 16)).astype(np.uint8))[:, None]
    everything = Split(images, torch.from_numpy(content.target.astype(np.int64)))
    train, test = hold_out(everything)
    return Raw(train, test, tuple(str(digit) for digit in range(10)))
