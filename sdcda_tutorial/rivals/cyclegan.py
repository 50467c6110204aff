"""CycleGAN's networks: generators that translate an image into the other domain, and their discriminators.

Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from sdcda_tutorial.networks import pad_to_multiple

REDUCTION = 4  # sides of the image over sides of the residual blocks


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(channels, channels, 3), nn.ReLU(inplace=True), *_convolution(channels, channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _convolution(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    """Reflected borders: zeros there would show as a frame around the picture. No bias: the norm would undo it."""
    padded = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect", bias=False)
    return [padded, _instance_norm(outputs)]


def _instance_norm(channels: int) -> nn.Module:
    """Group norm with a group per channel.

    `nn.InstanceNorm2d` is the same, but its gradient is wrong (PyTorch 2.14.1, CPU, a single image) where the gradient
    of the next layer is channels_last in memory.
    """
    return nn.GroupNorm(channels, channels, affine=False)


class Generator(nn.Module):
    """Two convolutions of stride 2, residual blocks, two transposed convolutions back to the size of the image.

    Args:
        blocks: residual blocks; 9 for images of 256 pixels and more, 6 for smaller ones.
        width: multiplies the channels 64, 128, 256.

    Shapes:
        x: (B, 3, H, W) RGB in [0, 1], sides of 5 pixels or more, padded to multiples of 4 by repeating the border.
        translated: (B, 3, H, W) in (0, 1).
    """

    def __init__(self, blocks: int = 9, width: float = 1.0) -> None:
        super().__init__()
        first, second, third = (max(1, round(c * width)) for c in (64, 128, 256))
        layers = [*_convolution(3, first, 7), nn.ReLU(inplace=True)]
        for inputs, outputs in pairwise((first, second, third)):
            halve = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            layers += [halve, _instance_norm(outputs), nn.ReLU(inplace=True)]
        layers += [_Residual(third) for _ in range(blocks)]
        for inputs, outputs in pairwise((third, second, first)):
            double = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=False)
            layers += [double, _instance_norm(outputs), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(first, 3, 7, padding=3, padding_mode="reflect"), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        made = self.layers(2 * pad_to_multiple(x, REDUCTION) - 1)  # tanh's range is [-1, 1]
        return (made[..., :height, :width].float() + 1) / 2  # (B, 3, H, W)


class PatchDiscriminator(nn.Module):
    """Distinguishes images of a domain (1) from ones translated into it (0), in patches of 70×70 pixels.

    Five convolutions 4×4, three of stride 2 and two of stride 1. It judges texture and colour but not the scene as a
    whole, so a generator is free to leave everything in its place.

    Args:
        width: multiplies the channels 64, 128, 256, 512.

    Shapes:
        x: (B, 3, H, W) RGB in [0, 1], sides of 24 pixels or more.
        logits: (B, 1, h, w), h = H // 8 - 2, compared with 1 and 0 directly (least squares).
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels = [max(1, round(c * width)) for c in (64, 128, 256, 512)]
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for (inputs, outputs), stride in zip(pairwise(channels), (2, 2, 1), strict=True):
            convolution = nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=False)
            layers += [convolution, _instance_norm(outputs), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 4, padding=1))
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(2 * x - 1).float()


def _initialise(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Generators(nn.Module):
    """Both generators (see `Generator`): `to_target` from source to target, `to_source` back."""

    def __init__(self, blocks: int = 9, width: float = 1.0) -> None:
        super().__init__()
        self.architecture = dict(blocks=blocks, width=width)
        self.to_target, self.to_source = Generator(blocks, width), Generator(blocks, width)

    def forward(self, xs: Tensor, xt: Tensor) -> dict[str, Tensor]:
        """All six images of a step by name, each (B, 3, H, W) like the `xs` or `xt` that it came from, all of one size.

        s_to_t, t_to_s: translated; s_cycle, t_cycle: and back again; s_same, t_same: passed through the generator
        *into* their own domain.
        """
        s_to_t, t_same = self.to_target(torch.cat([xs, xt])).split([len(xs), len(xt)])
        t_to_s, s_same = self.to_source(torch.cat([xt, xs])).split([len(xt), len(xs)])
        cycles = {"s_cycle": self.to_source(s_to_t), "t_cycle": self.to_target(t_to_s)}
        return {"s_to_t": s_to_t, "t_to_s": t_to_s, **cycles, "s_same": s_same, "t_same": t_same}


class Discriminators(nn.Module):
    """Both discriminators, see `PatchDiscriminator`."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.of_source, self.of_target = PatchDiscriminator(width), PatchDiscriminator(width)


class ImagePool(nn.Module):
    """Images of a generator: half of them are held back and come to the discriminator later.

    Its content is a buffer, so a checkpoint holds it, and torch's generator, which a training seeds by the step, gives
    the random numbers. So a resumed training continues with the same pool.

    Args:
        capacity: 50 in CycleGAN; 0 hands every image through.
        size: (height, width) of the images.
    """

    images: Tensor
    held: Tensor

    def __init__(self, capacity: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(capacity, 3, *size))
        self.register_buffer("held", torch.tensor(0))

    @torch.no_grad()
    def exchange(self, made: Tensor) -> Tensor:
        """(B, 3, H, W) new images -> as many; once the pool is full, half of them, at random, become old ones."""
        capacity, shown = len(self.images), made.detach().clone()
        for index, image in enumerate(made if capacity else ()):
            if int(self.held) < capacity:
                self.images[int(self.held)] = image
                self.held += 1
            elif float(torch.rand(())) < 0.5:
                place = int(torch.randint(capacity, ()))
                shown[index] = self.images[place]
                self.images[place] = image
        return shown
