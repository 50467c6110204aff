"""ImageNet weights for E at the paper's scale: torchvision's VGG16-BN."""

from __future__ import annotations

from pathlib import Path

import torch

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import file_digest, regular_file
from sdcda_tutorial.networks import FeatureExtractor


def imagenet_origin(pretrained: bool, weights_file: str | Path | None = None) -> dict[str, str]:
    """For a configuration: the first digits of the SHA-256 of the weights' file, which torchvision's name has too."""
    if not pretrained:
        return {}
    from torchvision.models import vgg  # slow to import

    url = vgg.VGG16_BN_Weights.IMAGENET1K_V1.url
    return {"imagenet_weights": file_digest(weights_file)[:8] if weights_file else url[-12:-4]}


def load_imagenet_weights(E: FeatureExtractor, weights_file: str | Path | None = None) -> None:
    """Fill E, of width 1, with ImageNet weights.

    Args:
        weights_file: a state dict of `torchvision.models.vgg16_bn`, for machines without a network; else it is
            downloaded.
    Raises:
        InputError: the width is not 1, or the weights can be neither downloaded nor read.
    """
    from torchvision.models import vgg  # slow to import

    if E.width != 1:
        raise InputError(f"ImageNet weights fit width 1 only, not {E.width}; start from random weights")
    weights = vgg.VGG16_BN_Weights.IMAGENET1K_V1
    where = weights_file or weights.url
    fix = (
        f"download {weights.url} on a machine with a network and give the file as `vgg_weights`, or start from random "
        "weights (`random_weights`)"
    )
    try:
        if weights_file is None:
            state = weights.get_state_dict(progress=True, check_hash=True)
        else:
            state = torch.load(regular_file(weights_file), map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        if weights_file is not None and not isinstance(error, OSError):  # torch's advice is to load it unsafely
            reason = "it holds something else than weights, or a part of them"
        raise InputError(f"cannot read the VGG16-BN weights from {where} ({reason}); {fix}") from None
    # Files older than PyTorch 0.4.1 lack batch norm's counter of batches, which plays no part here.
    ours = {key: value for key, value in E.features.state_dict().items() if "num_batches_tracked" not in key}
    state = state if isinstance(state, dict) else {}
    for key, value in ours.items():
        if getattr(state.get(f"features.{key}"), "shape", None) != value.shape:
            wrong = f"features.{key} is missing or has another shape"
            raise InputError(f"{where} is not a state dict of torchvision's vgg16_bn: {wrong}; {fix}")
    E.features.load_state_dict({key: state[f"features.{key}"] for key in ours})
