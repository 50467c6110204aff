# ---
# jupyter:
#   sdcda:
#     seconds: 20
#     minutes: 37
# ---

# %% [markdown]
# # 03 · Feature extractor
#
# [← 02 Crowd masks](02_crowd_masks.ipynb) · [04 Density estimator →](04_density_estimator.ipynb)
#
# **After this notebook you can** follow an image through E (Eq. 1), compute how large its
# features are and how far each of them sees, and measure how far apart the features of two
# domains lie.
#
# **Time** 37 minutes (optional exercises: +18); runs in 20 s on two cores. **You need** notebook
# 01, and to know what a convolution and a max pooling do.

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
KEEP_ON_DRIVE = False  # @param {type: "boolean"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display
from torch import nn

from sdcda_tutorial.evaluation import colours
from sdcda_tutorial.evaluation.feature_distance import (
    channel_gaps, linear_probe, local_features, pooled_features,
)
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.networks import FeatureExtractor
from sdcda_tutorial.teaching import method_drawing
from sdcda_tutorial.teaching.demos.feature_maps import feature_maps, render_feature_maps
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## Look first: two domains
#
# Source images are synthetic and labelled; target images stand for real photographs. Compare the
# people first, then what surrounds them.

# %%
world = notebook.world()
figure, axes = plt.subplots(2, 4, figsize=(10, 4.0), layout="constrained")
domains = {"source": world.source_test, "target": world.target_test}
for row, (name, dataset) in zip(axes, domains.items()):
    for axis, index in zip(row, (0, 22, 47, 71)):
        axis.imshow(dataset[index].image)
        axis.set_title(f"{name} {index}: {dataset[index].count} people")
        axis.set_axis_off()
notebook.show(figure, "Four source images above, four target images below, with their true counts.")

# %% [markdown]
# The people look alike, but the target has trees and rough ground. Do these differences reach the
# counter? It sees only the *features* that E computes from an image.

# %%
method_drawing.show("E")

# %% [markdown]
# ## Eq. 1: one E for both domains
#
# $$f^s = E(x^s; \theta_e), \qquad f^t = E(x^t; \theta_e) \tag{1}$$
#
# Both domains share the weights $\theta_e$. E is the body of VGG16 with batch norm: blocks of 3 ×
# 3 convolutions; a 2 × 2 max pooling after each but the last halves the sides.

# %%
notebook.code(FeatureExtractor.forward)


# %%
def image_tensor(sample):
    """(1, 3, H, W), RGB in [0, 1]."""
    return torch.from_numpy(sample.image).permute(2, 0, 1)[None] / 255


def shapes(E, x):
    """The shape after every pooling, and that of f."""
    found, f = {"x": x.shape}, x
    for layer in E.features:
        f = layer(f)
        if isinstance(layer, nn.MaxPool2d):
            found[f"pool {len(found)}"] = f.shape
    return {**found, "f": f.shape}


E = notebook.counter("noadapt").E
with torch.device("meta"):  # shapes only: nothing is computed
    paper_E = FeatureExtractor(stride=16, width=1.0)
    paper_x = torch.empty(1, 3, 480, 640)
with torch.no_grad():
    examples = {"mini": (E, image_tensor(world.source_test[0])), "paper": (paper_E, paper_x)}
    for name, (network, x) in examples.items():
        weights = sum(p.numel() for p in network.parameters())
        print(f"{name}: stride {network.stride}, width {network.width:g}, {weights:,} weights")
        for place, shape in shapes(network, x).items():
            print(f"  {place:<7}{tuple(shape)}")

# %% [markdown]
# *Stride* is the distance in pixels between neighbouring cells of f: three poolings
# make 8, four make 16. *Width* multiplies the number of channels. We read the paper's E as stride
# 16. The mini preset stops at 8: its images are small, and a fourth pooling would leave only
# 12 × 16 cells.
#
# ### The normalisation is part of E
#
# `forward` subtracts ImageNet's mean colour and divides by its standard deviation. What you pass
# in is always RGB between 0 and 1. The first convolution receives:

# %%
def first_input(E, x):
    """What the first convolution of E receives."""
    received = []
    hook = E.features[0].register_forward_pre_hook(lambda _, inputs: received.append(inputs[0]))
    with torch.no_grad():
        E(x)
    hook.remove()
    return received[0]


new_E = FeatureExtractor(stride=8, width=0.25).eval()
colours_in = {"black": 0.0, "grey": 0.5, "white": 1.0}
for name, value in colours_in.items():
    r, g, b = first_input(new_E, torch.full((1, 3, 16, 16), value))[0, :, 0, 0]
    print(f"{name:<6} {value:.1f}  ->  R {r:+.4f}  G {g:+.4f}  B {b:+.4f}")

# %% [markdown]
# Wrong input raises no error, only wrong counts:

# %% sdcda={"tolerance": {"rel": 0.03, "abs": 0.2}}
counter = notebook.counter("noadapt")
mistakes = {
    "RGB in [0, 1]": lambda x: x,
    "BGR instead of RGB": lambda x: x.flip(1),
    "normalised twice": lambda x: (x - E.mean) / E.std,
    "0 to 255": lambda x: x * 255,
}
errors = {name: [] for name in mistakes}
for sample in (world.source_test[i] for i in range(20)):
    for name, change in mistakes.items():
        with torch.no_grad():
            count = float(counter(change(image_tensor(sample))).sum())
        errors[name].append(abs(count - sample.count))
rows = [[name, f"{np.mean(error):.1f}"] for name, error in errors.items()]
display(Markdown(markdown_table(["input", "MAE on 20 source images, people"], rows)))

# %% [markdown]
# The mean absolute error (MAE) of the count is 2.6 people with correct input. It rises to 18.0
# with red and blue swapped, and to 83.9 with values from 0 to 255.
#
# ## How far does one feature see?
#
# The *receptive field* of a feature is the square of pixels on which it depends. Call $r$ the
# side of the field and $j$ the distance in pixels between neighbouring cells; in the image both
# are 1. A layer with a $k × k$ kernel and stride $s$ extends the field by $k - 1$ steps of $j$
# pixels, and then makes the steps longer:
#
# $$r \leftarrow r + (k - 1)\, j, \qquad j \leftarrow j\, s$$
#
# The first two blocks:
#
# | layer | k | s | j before | r after |
# |---|--:|--:|--:|--:|
# | image | | | | 1 |
# | two convolutions | 3 | 1 | 1 | 3, then 5 |
# | pool 1 | 2 | 2 | 1 | 6 |
# | two convolutions | 3 | 1 | 2 | 10, then 14 |
# | pool 2 | 2 | 2 | 2 | 16 |
#
# On paper, continue to f; then let autograd check it: the field is where the gradient of one
# feature with respect to the pixels is not zero. (Equal positive weights and average pooling keep
# gradients from being 0 by chance.)

# %%
def field_by_gradient(E, size):
    """Side of the square of pixels on which the feature in the middle of f depends."""
    layers = []
    for layer in copy.deepcopy(E).features:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            layers.append(layer)
        elif isinstance(layer, nn.MaxPool2d):
            layers.append(nn.AvgPool2d(2))
    x = torch.ones(1, 3, size, size, requires_grad=True)
    f = nn.Sequential(*layers)(x)
    (gradient,) = torch.autograd.grad(f[0, 0, f.shape[2] // 2, f.shape[3] // 2], x)
    return int((gradient[0, 0] > 0).any(dim=0).sum())


for stride, size in ((8, 160), (16, 352)):
    side = field_by_gradient(FeatureExtractor(stride=stride, width=1 / 16), size)
    print(f"stride {stride:>2}: {side} × {side} pixels")

# %% [markdown]
# That is how far a feature *can* see. Where does the trained E look? The right panel sums the
# gradient's size over 20 target images.

# %% sdcda={"tolerance": {"abs": 2}}
row, column, side = 12, 16, 92  # the cell, and its field
seen = 0
for sample in (world.target_test[i] for i in range(20)):
    x = image_tensor(sample).requires_grad_()
    (gradient,) = torch.autograd.grad(E(x)[0, :, row, column].sum(), x)
    seen = seen + gradient.abs().sum(dim=(0, 1))
top, left = (8 * place + 4 - side // 2 for place in (row, column))
field = seen[top : top + side, left : left + side] / seen.max()
inner = float(field[23:69, 23:69].sum() / field.sum())
print(f"the inner 46 × 46 pixels, 25 % of the area, hold {100 * inner:.0f} % of the gradient")

figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained", width_ratios=[1.5, 1])
axes[0].imshow(world.target_test[15].image)
for size in (side, 8):
    corner = (8 * column + 4 - size / 2 - 0.5, 8 * row + 4 - size / 2 - 0.5)
    box = plt.Rectangle(corner, size, size, fill=False, edgecolor=colours.ORANGE, linewidth=1.8)
    axes[0].add_patch(box)
axes[0].set_title("a cell of f and its receptive field")
edges = (left - 0.5, left + side - 0.5, top + side - 0.5, top - 0.5)
drawn = axes[1].imshow(field, cmap=colours.FEATURES, vmin=0, vmax=1, extent=edges)
axes[1].set_title("where the trained E looks")
for axis in axes:
    axis.set(xlabel="column, pixels", ylabel="row, pixels")
figure.colorbar(drawn, label="gradient, largest = 1", shrink=0.9)
notebook.show(
    figure,
    "Left: one cell of f (8 × 8 pixels) and its field (92 × 92) on a target image. "
    "Right: the gradient within the field, over 20 target images.",
)

# %% [markdown]
# The inner quarter holds 85 % of the gradient. Still, the field on the left contains people, a
# hedge and parts of trees. A feature mixes a person with the surroundings.
#
# ## How far apart are the domains?
#
# Below is one channel of f on a source and on a target image, and how often each value occurs.

# %% sdcda={"tolerance": {"rel": 0.03, "abs": 0.01}}
notebook.show(
    render_feature_maps(world.source_test, world.target_test, scene=2, channel=3),
    "Channel 3 of f on a source image (above, solid line) and on a target image (below, dashed).",
)

# %% [markdown]
# On the source the channel responds to people, on the target also to the tree right of the middle
# and the ground. Its mean is 0.26 and 0.54.
#
# **Try it.** Choose channel 0: does the tree light up? Does it still light up with the E of SE+FD, which
# was also trained on target images?

# %% tags=["nbval-ignore-output"]
feature_maps(world.source_test, world.target_test)

# %% [markdown]
# Two images always differ in *content*. The domain gap is what remains over many images. So take
# 40 images per domain, average each channel over image centres, and compare four versions of E:
# NoAdapt (source only), SE (with S), FD (with D) and SE+FD (the paper's method).
#
# **The gap** of channel $c$ is the distance between its two means, in standard deviations within
# a domain:
#
# $$g_c = \frac{\lvert \mu^s_c - \mu^t_c \rvert}
# {\sqrt{\tfrac12 \left( (\sigma^s_c)^2 + (\sigma^t_c)^2 \right)}}$$

# %%
notebook.code(channel_gaps)

# %% sdcda={"tolerance": {"rel": 0.05, "abs": 0.02}}
source_images = [world.source_test[i] for i in range(0, 80, 2)]
target_images = [world.target_test[i] for i in range(0, 120, 3)]
more_source = [world.source_test[i] for i in range(1, 80, 2)]  # for the control
names = {"noadapt": "NoAdapt", "se": "SE", "fd": "FD", "se+fd": "SE+FD"}
networks = {method: notebook.counter(method).E for method in names}
pooled = {
    method: (pooled_features(E, source_images), pooled_features(E, target_images))
    for method, E in networks.items()
}
control = pooled["noadapt"][0], pooled_features(networks["noadapt"], more_source)

print(f"channel 3 of NoAdapt: gap {channel_gaps(*pooled['noadapt'])[3]:.2f}")
figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
rows = []
for (method, name), line in zip(names.items(), ("-", "--", "-.", "-")):
    gaps = channel_gaps(*pooled[method]).sort(descending=True).values
    axis.plot(range(1, 129), gaps, line, color=colours.METHODS[method], label=name, linewidth=2)
    rows.append([name, f"{gaps.median():.2f}", f"{gaps.max():.2f}"])
gaps = channel_gaps(*control).sort(descending=True).values
axis.plot(range(1, 129), gaps, ":", color="black", label="source and source")
rows.append(["source and source", f"{gaps.median():.2f}", f"{gaps.max():.2f}"])
axis.set(xlabel="channels of f, widest gap first", ylabel="gap, standard deviations")
axis.set_ylim(0, None)
axis.legend(frameon=False)
notebook.show(figure, "The gap of each channel between source and target: four methods and chance.")
display(Markdown(markdown_table(["features of", "median gap", "widest gap"], rows)))

# %% [markdown]
# Over 40 images per domain, channel 3 has gap 1.43. "Source and source" compares 40 source images
# with 40 others: chance alone. The median gap falls from 0.80 to 0.27 with SE+FD, close to chance
# (0.26), but the widest is still 1.74 (chance: 0.58). SE and FD have medians of 0.64 and 0.68.
#
# **The probe.** Small gaps can add up. So we train a linear classifier, a *probe*, to recognise the
# domain from f, and test it on other images. It sees one average per image, or single cells.
# Guessing gives 50 %.

# %% sdcda={"tolerance": {"abs": 3}}
def probe(method, source, target):
    """Percentage of test images, and of single cells of f in them, whose domain is recognised."""
    E, crop = networks[method], (128, 160)
    images = linear_probe(*(pooled_features(E, samples, crop) for samples in (source, target)))
    cells = linear_probe(*(local_features(E, samples, crop) for samples in (source, target)))
    return [f"{100 * images:.0f} %", f"{100 * cells:.0f} %"]


rows = [[name, *probe(method, source_images, target_images)] for method, name in names.items()]
rows.append(["source and source", *probe("noadapt", source_images, more_source)])
header = ["features of", "images recognised", "cells recognised"]
display(Markdown(markdown_table(header, rows)))

# %% [markdown]
# Given an image's average, the probe is always right, for all four methods. So no
# method hides the domain, and this test cannot rank them. Given a single cell, it is right in
# 78 % of cases for NoAdapt and 72 % for SE+FD. So SE+FD moves the means together, and single cells
# become only slightly harder to recognise. (FD's 83 % is one model's; over five seeds FD's cells are
# no easier to recognise than NoAdapt's: [appendix A](A_controls.ipynb).)
#
# Do narrower gaps mean better counts? Not in proportion. Over five seeds
# ([notebook 09](09_evaluation.ipynb)) the MAE on the target is 30.1 people for NoAdapt, 19.4 for
# FD, 10.5 for SE and 8.9 for SE+FD. SE removes most of the error although its gaps here are about
# as wide as FD's.
#
# ## Exercises
#
# **3.1 Three bugs** (★, 6 minutes). This function should prepare an image for E. It runs, with
# three bugs. Write it without them.
#
# ```python
# def prepare(image):
#     x = torch.from_numpy(image).reshape(1, 3, *image.shape[:2])
#     x = x / 256
#     return (x - E.mean) / E.std
# ```

# %%
def prepare(image):
    """(H, W, 3) uint8 RGB -> x as E expects it: (1, 3, H, W), float."""
    raise NotImplementedError


check("3.1", prepare)

# %% [markdown]
# **3.2 Seeing further without pooling** (★★, 10 minutes, optional). A kernel with *dilation* d
# uses every d-th cell: a 3 × 3 kernel with d = 2 spans 5 cells. Extend the rule. How large is the
# field if the three convolutions after pool 3 have d = 2?

# %%
def receptive_field(layers):
    """Side of the field in pixels after these layers, given as (kernel, stride, dilation)."""
    raise NotImplementedError


check("3.2", receptive_field)

# %% [markdown]
# **3.3 Batch norm by hand** (★★, 8 minutes, optional). In training, batch norm subtracts each
# channel's mean over the batch and all positions, and divides by the standard deviation. Write it
# without learned scale and shift; the variance divides by n, and $\varepsilon$ is added to it under
# the root. E gets both domains in one batch ([notebook 08](08_adversarial_training.ipynb)). So
# predict: four images, of variance 4, share a batch with copies that are brighter by 5. What is the
# variance *of the first four* after normalisation?

# %%
def batch_norm(x, eps=1e-5):
    """x (B, C, H, W), each channel with mean 0 and variance 1 over the batch and all positions."""
    raise NotImplementedError


check("3.3", batch_norm)

# %% [markdown]
# [Solutions](solutions/03_feature_extractor.ipynb)
#
# > **What this does not show.**
# > - Gaps and probes come from one trained model per method, in one mini world.
# > - A gap need not do harm: it may be content, such as more leaves.
# > - That the domain gap *causes* the errors is a hypothesis. [Appendix A](A_controls.ipynb) plots
# >   error against another distance.
#
# ## Take away
#
# - One E serves both domains. At stride 8 a feature sees at most 92 × 92 pixels, mostly their
#   middle.
# - The normalisation is part of E: pass in RGB between 0 and 1. Wrong input raises no error.
# - SE+FD narrows the median gap from 0.80 to 0.27, and a probe still recognises the domain of
#   every test image.
#
# [← 02 Crowd masks](02_crowd_masks.ipynb) · [04 Density estimator →](04_density_estimator.ipynb)
