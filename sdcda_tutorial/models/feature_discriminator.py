"""D, the feature discriminator: p = D(f; θd), Eq. 3."""

from __future__ import annotations

from torch import Tensor, nn


class FeatureDiscriminator(nn.Module):
    """Four convolutions 4×4 with stride 2 that tell source features (label 1) from target features (label 0).

    The paper's text says four; the AdaptSegNet discriminator that it cites has a fifth. Four is what fits: stride-16
    features of a 480×640 crop shrink 30×40 → 15×20 → 7×10 → 3×5 → 1×2.

    Args:
        channels: channels of f.
        width: multiplies the channels 64, 128, 256 of the first three convolutions.

    Shapes:
        f: (B, channels, h, w) with h, w >= 16.
        logits: (B, 1, h / 16, w / 16), rounded down; p = sigmoid(logits).
    """

    def __init__(self, channels: int, width: float = 1.0) -> None:
        super().__init__()
        first, second, third = (max(1, round(c * width)) for c in (64, 128, 256))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, first, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(first, second, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(second, third, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(third, 1, 4, stride=2, padding=1),
        )

    def forward(self, f: Tensor) -> Tensor:
        return self.layers(f)
