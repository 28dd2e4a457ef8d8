"""The auxiliary classifier head used while training deep networks of cells."""

from __future__ import annotations

from torch import Tensor, nn

from advrush.config import check


class AuxiliaryHead(nn.Module):
    """Pool a (N, channels, side, side) map to 2 x 2 by overlapping windows, convolve twice, classify.

    At side 8 (32-pixel images) this is the CIFAR head of DARTS: windows of 5 at stride 3. At another side
    the two windows grow with it and still reach from edge to edge, so that the parameters stay the same.
    """

    def __init__(self, channels: int, num_classes: int, side: int) -> None:
        super().__init__()
        check(side >= 2, "auxiliary", side, "a map of at least 2 x 2 after the second reduction")
        window = side // 2 + 1 if side > 2 else 1
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(window, stride=side - window, count_include_pad=False),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes)."""
        return self.classifier(self.features(x).flatten(1))  # type: ignore[no-any-return]
