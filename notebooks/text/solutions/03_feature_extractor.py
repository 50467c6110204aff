# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 03 · Feature extractor: solutions
#
# [← back to the notebook](../03_feature_extractor.ipynb)

# %% tags=["colab"]
import sys

REPO = ""  # OWNER/NAME on GitHub, stamped by `make colab`
if "google.colab" in sys.modules:
    import os, subprocess
    assert REPO, "this copy names no repository: whoever shares it stamps it with `make colab REPO=OWNER/NAME`"
    folder, address = "/content/" + REPO.split("/")[1], "https://github.com/" + REPO
    if not os.path.isdir(folder):
        subprocess.run(["git", "clone", "-q", "--depth=1", address, folder], check=True)
    os.chdir(folder)
    import torch, torchvision
    with open("/content/keep.txt", "w") as file:  # Colab's own PyTorch fits its GPU and stays as it is
        file.write(f"torch=={torch.__version__}\ntorchvision=={torchvision.__version__}\n")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-c", "/content/keep.txt", "-e", "."], check=True)
    sys.path.insert(0, os.getcwd())  # what was just installed is not seen by a Python that is running
    if not torch.cuda.is_available():
        print("No GPU is on. Runtime > Change runtime type > T4 GPU, then run this cell again. A CPU does, slowly.")

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

import torch
from torch import nn

from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.networks import FeatureExtractor

# %% [markdown]
# ## 3.1 How large is f?

# %%
def feature_size(height, width, stride):
    return -(-height // stride), -(-width // stride)


check("3.1", feature_size)

# %% [markdown]
# Padding makes a side the next multiple of the stride, so f has the side divided by the stride, rounded *up*. Python rounds
# `//` down; with two minus signs it rounds up. A 1080 × 1920 image of GCC at stride 16:

# %%
print(feature_size(1080, 1920, 16), "and 1080 is", 1080 / 16, "cells high: half a row is padding")

# %% [markdown]
# This says nothing about how good the features in the padded strip are. The border is repeated there, which no camera would
# do.
#
# ## 3.2 The receptive field

# %%
def receptive_field(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


check("3.2", receptive_field)

# %% [markdown]
# The order matters: the kernel reaches in steps of what came *before* it, and its own stride counts from the next layer on.
# Now it can be asked about the real network, whose layers know their kernels and strides:

# %%
for stride in (8, 16):
    E = FeatureExtractor(stride=stride, width=1 / 16)
    layers = [
        (layer.kernel_size[0] if isinstance(layer, nn.Conv2d) else 2, 1 if isinstance(layer, nn.Conv2d) else 2)
        for layer in E.features
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d))
    ]
    print(f"stride {stride}: {len(layers)} layers, {receptive_field(layers)} pixels")

# %% [markdown]
# Both agree with the gradient. It is an upper limit: nothing here says that the far corners of the field matter, and the
# picture of the trained E in the notebook shows that they hardly do.
#
# ## 3.3 Batch norm by hand

# %%
def batch_norm(x, eps=1e-5):
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(0, 2, 3), keepdim=True)
    return (x - mean) / (variance + eps).sqrt()


check("3.3", batch_norm)

# %% [markdown]
# The mean is over batch and positions, everything but the channel. PyTorch's layer does the same in training mode:

# %%
x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * 2 + 1
print("as nn.BatchNorm2d:", torch.allclose(batch_norm(x), nn.BatchNorm2d(3).train()(x), atol=1e-5))

# %% [markdown]
# And this is what mixing does: the same four images, with four brighter ones beside them.

# %%
mixed = batch_norm(torch.cat([x, x + 5]))
print("mean of the first four, alone:", round(abs(float(batch_norm(x).mean())), 2))
print("their mean in the mixed batch, below −0.5:", bool(mixed[:4].mean() < -0.5))
print("their variance in the mixed batch, below 0.7:", bool(mixed[:4].var() < 0.7))

# %% [markdown]
# In the mixed batch the offset between the two groups takes up a part of the variance, and less is left for the differences
# *within* each. That does not prove mixing wrong: it is what the network will meet if it is to work on both domains with one
# set of statistics. Which way is better is a matter of measurement.
