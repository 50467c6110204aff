# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 03 · Feature extractor
#
# [← 02 Crowd masks](02_crowd_masks.ipynb) · [04 Density estimator →](04_density_estimator.ipynb)
#
# **After this notebook you can** follow an image through E (Eq. 1), say how large its features are and how far one of them
# sees, and tell what "the features shift between the domains" means, with numbers.
#
# **Time** 35 minutes to read and try; runs in about 20 seconds on two CPU cores. **You need** notebook 01, and an idea of
# what a convolution and a max pooling are.

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

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from sdcda_tutorial.evaluation import colours
from sdcda_tutorial.teaching import method_drawing
from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.networks import CrowdCounter, FeatureExtractor
from sdcda_tutorial.evaluation.feature_distance import channel_gaps, linear_probe, pooled_features

# %% [markdown]
# ## Look first: two domains
#
# Above are source images, drawn and labelled; below are target images, which play the part of photographs. Look at the
# people first: they are alike. Then look at what is around them.

# %%
world = notebook.world()
figure, axes = plt.subplots(2, 4, figsize=(10, 4.0), layout="constrained")
for row, (name, dataset) in enumerate({"source": world.source_test, "target": world.target_test}.items()):
    for axis, index in zip(axes[row], (0, 22, 47, 71)):
        axis.imshow(dataset[index].image)
        axis.set_title(f"{name} {index}: {dataset[index].count} people")
        axis.set_axis_off()
notebook.show(figure, "Four source images above, four target images below, each with the number of people in it.")

# %% [markdown]
# A counter never sees an image as we do. The first thing it does is to turn it into *features*, with one network, E, that
# is the same for both domains. The other three networks see nothing else of the image.

# %%
method_drawing.show("E")

# %% [markdown]
# ## Eq. 1: one E for both
#
# $$f^s = E(x^s; \theta_e), \qquad f^t = E(x^t; \theta_e)$$
#
# E is the body of VGG16 with batch norm: 3 × 3 convolutions in blocks, each block followed by a 2 × 2 max pooling that
# halves the sides. Its forward pass normalises the image and sends it through these layers, `features`. (`_recomputed` has
# the same result and needs less memory, at the price of time.)

# %%
notebook.code(FeatureExtractor.forward)

# %% [markdown]
# `notebook.counter` loads a trained counter, E and C. "noadapt" was trained on source images alone, and in another mini
# world than the one you look at here: none of these images was ever seen in its training. The cell sends one image
# through E and prints the shape after every pooling: images, channels, height, width.

# %%
def image_tensor(sample):
    """(1, 3, H, W), RGB in [0, 1]."""
    return torch.from_numpy(sample.image).permute(2, 0, 1)[None] / 255


def print_shapes(E, x):
    print(f"{'x':>10} {tuple(x.shape)}")
    block, f = 1, x
    for layer in E.features:
        f = layer(f)
        if isinstance(layer, nn.MaxPool2d):
            print(f"{'pool' + str(block):>10} {tuple(f.shape)}")
            block += 1
    print(f"{'f':>10} {tuple(f.shape)}")


E = notebook.counter("noadapt").E
print(f"mini: stride {E.stride}, width {E.width}, {sum(p.numel() for p in E.parameters()):,} weights")
with torch.no_grad():
    print_shapes(E, image_tensor(world.source_test[0]))

with torch.device("meta"):  # shapes only: nothing is computed
    E16 = FeatureExtractor(stride=16, width=1.0)
    print(f"\npaper: stride {E16.stride}, width {E16.width:g}, {sum(p.numel() for p in E16.parameters()):,} weights")
    print_shapes(E16, torch.empty(1, 3, 480, 640))

# %% [markdown]
# *Width* multiplies every number of channels: a quarter of the channels makes about a sixteenth of the weights in each
# convolution but the first. *Stride* is how many pixels lie between neighbouring cells of f: three poolings make 8, four make
# 16. Stride 8 also leaves out the last block, pool4 and three wide convolutions. The paper names no layer; our reading of its E has stride 16. On small images that is coarse. How many people have to share their cell with somebody?

# %%
samples = [world.target_test[i] for i in range(40)]
for stride in (8, 16):
    shared = people = 0
    for sample in samples:
        _, cell, inhabitants = np.unique(
            sample.points // stride, axis=0, return_inverse=True, return_counts=True
        )
        shared += int((inhabitants[cell.ravel()] > 1).sum())
        people += sample.count
    print(f"stride {stride:>2}: {shared} of {people} people share their cell")

# %% [markdown]
# A cell has many channels, so two people in one cell are not lost. But C has to draw both from one list of numbers, and that
# is harder to learn. The mini preset therefore stops at stride 8.
#
# Sides that are no multiples of the stride do not fit. E alone would drop the rest (a pooling rounds down);
# `CrowdCounter` repeats the border until it fits, and crops the density map back. So no strip of people goes missing:

# %%
counter = notebook.counter("noadapt")
x = image_tensor(world.source_test[0])[..., :50, :70]
with torch.no_grad():
    print("x", tuple(x.shape[-2:]), "  E alone", tuple(E(x).shape[-2:]), "  density map", tuple(counter(x).shape[-2:]))

# %% [markdown]
# ## How far does one feature see?
#
# The *receptive field* of a feature is the square of pixels that it depends on. It can be worked out by hand. Call $r$ the
# side of the field and $j$ the distance in pixels between neighbouring cells (1 in the image). A layer with a $k × k$
# kernel and stride $s$ reaches over $k - 1$ steps of $j$ pixels more, and then widens the steps:
#
# $$r \leftarrow r + (k - 1)\, j, \qquad j \leftarrow j\, s$$
#
# | layer | k | s | j before | r after |
# |---|---|---|---|---|
# | image | | | | 1 |
# | conv1_1, conv1_2 | 3 | 1 | 1 | 3, 5 |
# | pool1 | 2 | 2 | 1 | 6 |
# | conv2_1, conv2_2 | 3 | 1 | 2 | 10, 14 |
# | pool2 | 2 | 2 | 2 | 16 |
# | conv3_1, conv3_2, conv3_3 | 3 | 1 | 4 | 24, 32, 40 |
# | pool3 | 2 | 2 | 4 | 44 |
# | conv4_1, conv4_2, conv4_3 | 3 | 1 | 8 | 60, 76, **92** |
#
# A feature of the mini preset sees 92 × 92 pixels of an image of 192 × 256. Autograd can confirm it: the field is where
# the gradient of one feature with respect to the pixels is not zero. In a real E some of these gradients vanish by
# accident (a ReLU that is off, a pooling that chose another pixel), so the cell takes a copy in which nothing can: equal
# positive weights, and average pooling, which reaches as far as max pooling.

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


print("stride 8: ", field_by_gradient(FeatureExtractor(stride=8, width=1 / 16), size=160), "pixels")
print("stride 16:", field_by_gradient(FeatureExtractor(stride=16, width=1 / 16), size=352), "pixels")

# %% [markdown]
# That is how far a feature *can* see. What the trained E looks at is drawn below: the size of the gradient of one cell of f,
# all channels together, on four target images. The square is the receptive field.

# %%
attention = 0
for index in range(4):
    x = image_tensor(world.target_test[index]).requires_grad_()
    (gradient,) = torch.autograd.grad(E(x)[0, :, 12, 16].sum(), x)
    attention = attention + gradient.abs().sum(dim=(0, 1))
top, left = 12 * 8 + 4 - 46, 16 * 8 + 4 - 46  # the cell's middle is the middle of its field
inner = attention[top + 23 : top + 69, left + 23 : left + 69].sum() / attention.sum()
print("the middle 46 × 46 pixels, a quarter of the field, hold more than two thirds of it:", bool(inner > 2 / 3))

figure, axis = plt.subplots(figsize=(5.2, 3.9), layout="constrained")
drawn = axis.imshow(attention / attention.max(), cmap="viridis")
axis.add_patch(plt.Rectangle((left - 0.5, top - 0.5), 92, 92, fill=False, edgecolor=colours.ORANGE, linewidth=1.5))
figure.colorbar(drawn, label="gradient, largest = 1", shrink=0.8)
axis.set(xlabel="column, pixels", ylabel="row, pixels")
notebook.show(figure, "Where the trained E looks for one cell of f: strongest in the middle, nothing outside the square.")

# %% [markdown]
# The field is a limit, not a description: most of what a feature says comes from its middle. Still it is much wider than a
# head. A head in front of foliage and a head in front of a wall give different features, and so can a piece of foliage
# that happens to look like one. Notebook 04 shows what C makes of that.
#
# ## The normalisation is inside
#
# Networks are trained on images with a certain mean and deviation taken away. Forgetting it, or doing it twice, raises no
# error: the counter just counts wrongly. Here the two numbers are buffers of E, stored in its checkpoint, and
# `forward` above applies them. What comes in is always RGB between 0 and 1. This is what goes wrong otherwise:

# %%
print("buffers of E:", [name for name, _ in E.named_buffers() if name in ("mean", "std")])
x = image_tensor(world.source_test[3])
with torch.no_grad():
    right, twice, bytes_ = (float(counter(image).sum()) for image in (x, (x - E.mean) / E.std, x * 255))
true = world.source_test[3].count
print("as it should be:            within 10% of the true count:", abs(right - true) < 0.1 * true)
print("normalised twice:           more than twice the true count:", twice > 2 * true)
print("0 to 255 instead of 0 to 1: more than 1.5 times the true count:", bytes_ > 1.5 * true)

# %% [markdown]
# One image shows that it can go badly wrong, not by how much it does on others.
#
# ## Feature maps of both domains
#
# f has 128 channels, each a small image. Below is one of them, on a source and on a target image, with one scale of
# colour. On the right is how often which value occurs.

# %%
from sdcda_tutorial.teaching.demos.feature_maps import feature_maps, render_feature_maps

notebook.show(
    render_feature_maps(world.source_test, world.target_test, scene=2, channel=0),
    "Channel 0 of the features of a source image (above, solid) and of a target image (below, dashed), "
    "and the distribution of its values.",
)

# %% [markdown]
# Move the channel. Look for one that follows people, one that follows edges, and one that is almost silent on one image and
# loud on the other. Then choose another E: "se" and "se+fd" were trained with the target images
# beside the source images, as the paper does.

# %% tags=["nbval-ignore-output"]
feature_maps(world.source_test, world.target_test)

# %% [markdown]
# A single pair of images shows *content*: one has a tree, the other has none. A shift between domains is what is left over
# many images.
#
# ## The shift made visible
#
# Take 40 images of each domain, average each channel over the image, and get one row of 128 numbers an image.

# %%
notebook.code(pooled_features)

# %%
source_images = [world.source_test[i] for i in range(0, 80, 2)]
target_images = [world.target_test[i] for i in range(0, 120, 3)]
methods = ["noadapt", "se", "fd", "se+fd"]
pooled = {}
for method in methods:
    E_method = notebook.counter(method).E
    pooled[method] = pooled_features(E_method, source_images), pooled_features(E_method, target_images)
print("source", tuple(pooled["noadapt"][0].shape), " target", tuple(pooled["noadapt"][1].shape))

# %% [markdown]
# 128 numbers cannot be drawn. The two directions in which these rows differ most (their first two principal components)
# can. Each channel is first divided by its deviation, so that loud channels do not decide alone.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
for axis, method in zip(axes, ("noadapt", "se+fd")):
    rows = torch.cat(pooled[method])
    rows = (rows - rows.mean(dim=0)) / rows.std(dim=0).clamp(min=1e-6)
    _, _, directions = torch.linalg.svd(rows, full_matrices=False)
    first, second = (rows @ directions[:2].T).T
    axis.scatter(first[:40], second[:40], s=22, c=colours.BLUE, marker="o", label="source")
    axis.scatter(first[40:], second[40:], s=26, c=colours.VERMILION, marker="^", label="target")
    axis.set(title=f"E of {method}", xlabel="first principal component", ylabel="second")
    axis.legend(frameon=False)
notebook.show(figure, "One point an image, circles source and triangles target, for two methods. The axes have no unit.")

# %% [markdown]
# A picture of two directions out of 128 can hide a gap that lies in the others. Two measures look at all of them:
#
# - the *gap* of a channel is the distance between its mean on the source and its mean on the target, in standard deviations
#   within a domain. At 1 they are as far apart as an image of a domain typically
#   is from its domain's mean;
# - a *linear probe* is a weighted sum of the channels that should tell the domain, fitted by least squares on every other image and asked about
#   the rest. Where there is nothing to tell, it is right half of the time.

# %%
notebook.code(channel_gaps, linear_probe)

# %% [markdown]
# First the test of the tests: the source against itself, and the plain mean colour of the image in place of features.

# %%
def mean_colour(images):
    return torch.stack([torch.from_numpy(sample.image).float().mean(dim=(0, 1)) for sample in images])


colour_of = mean_colour(source_images), mean_colour(target_images)
halves = pooled["noadapt"][0][::2], pooled["noadapt"][0][1::2]
print("source against source: right in less than 70%:", linear_probe(*halves) < 0.7)
print("source against target, mean colour only: right in less than 80%:", linear_probe(*colour_of) < 0.8)
wide = {}
for method, (source, target) in pooled.items():
    wide[method] = float((channel_gaps(source, target) > 1).float().mean())
    print(f"source against target, features of {method}: right in more than 85%:", linear_probe(source, target) > 0.85)

figure, axis = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
for method, line, colour in zip(methods, ("-", "--", "-.", ":"), (colours.BLUE, colours.GREEN, colours.PURPLE, colours.VERMILION)):
    gaps = channel_gaps(*pooled[method]).sort(descending=True).values
    axis.plot(gaps, line, color=colour, label=f"E of {method}", linewidth=1.8)
axis.plot(channel_gaps(*halves).sort(descending=True).values, color=colours.GREY, linewidth=1, label="source against source")
axis.axhline(1, color="black", linewidth=0.6)
axis.set(xlabel="channels, widest gap first", ylabel="gap, standard deviations", ylim=(0, None))
axis.legend(frameon=False)
notebook.show(figure, "The gap of every channel, sorted, for four methods, and for two halves of the source as a control.")

# %% [markdown]
# The grey control is what chance gives with 20 images on either side; what lies well above it is the shift of the channel
# means. (The other lines have 40 on either side, for which chance gives about 0.7 of the grey, so a line may lie below it.)
# Is it the discriminator ("fd", "se+fd"), whose purpose that is, that narrows it? And does the counter profit? The cell
# decides from two figures a method: the number of *wide* gaps, above the line at 1, and the measured error on the target, a
# mean over the seeds of the long runs.

# %%
measured = notebook.result("mini_world")["summary"]


def error(method):
    return measured[f"{method} / target"]["mae_percent_of_mean_count"]["mean"]


print("method    error on the target, % of the mean count (mean over seeds)")
for method in methods:
    print(f"{method:<9} {error(method):5.1f}")
by_error = sorted(methods, key=error)
print("most wide gaps: the method with the largest error:", max(methods, key=wide.get) == by_error[-1])
print("fewest wide gaps: the method with the smallest error:", min(methods, key=wide.get) == by_error[0])
for method in methods[1:]:
    gaps = "less than half as many" if wide[method] < 0.5 * wide["noadapt"] else "not less than half as many"
    errors = "less than half" if error(method) < 0.5 * error("noadapt") else "not less than half"
    print(f"{method}: {gaps} wide gaps as noadapt; {errors} its error on the target")

# %% [markdown]
# At the two ends the order is the same: most wide gaps with the largest error, fewest with the smallest. The sizes do not
# match, as the last three lines show, each with its two halves: SE more than halves the error without halving the wide gaps.
# So the gap of the means is at best a part of the matter. Nor does any method hide the domain: the probe above finds it in
# all four.
#
# What this does not prove. The gaps are those of *one* trained model a method, in one world; the errors are means over
# several. A gap of the channel means may be content (more sky, more leaves) that a counter has every right to know about,
# and no gap of the means would not make the distributions equal. That the features shift is a fact; that the shift *is* what
# makes the counter fail is a hypothesis, which notebooks 05 to 08 test.
#
# ## Batch norm: who else is in the batch
#
# Batch norm subtracts each channel's mean over the whole batch and divides by the deviation over the whole batch. So in
# training what becomes of an image depends on its neighbours. Two source pixels with values 0 and 2, and two target pixels
# with 10 and 12, one channel:

# %%
norm = nn.BatchNorm2d(1, affine=False).train()
source, target = torch.tensor([0.0, 2.0]).view(2, 1, 1, 1), torch.tensor([10.0, 12.0]).view(2, 1, 1, 1)
print("source alone:   ", norm(source).flatten().numpy().round(2))
print("with the target:", norm(torch.cat([source, target])).flatten().numpy().round(2))

# %% [markdown]
# Alone, the source is centred at 0. In a mixed batch the mean is 6 and the variance 26, and the source ends at −1.18 and
# −0.78, all of it below zero, all of the target above: the difference of the domains *survives*, and the values that C is
# trained on change. Normalising each domain on its own would have made both alike.
#
# After training, batch norm no longer looks at the batch: it uses running means that it kept from it. A network that saw
# source batches only keeps source statistics. This package sends source and target through E in one batch (the ledger in
# notebook 00 lists that choice). Then a part of any gain might be due to statistics alone, and a control was run for it:
# "bn-target", which passes the target through E and learns nothing from it.

# %%
for method in ("noadapt", "bn-target"):
    figures = measured[f"{method} / target"]["mae_percent_of_mean_count"]
    print(f"{method:<9} {figures['mean']:5.1f} ± {figures['sd']:.1f} % of the mean count")
gain = error("noadapt") - error("bn-target")
spread = measured["noadapt / target"]["mae_percent_of_mean_count"]["sd"]
print("statistics alone lower the error by more than the spread over seeds:", gain > spread)
print("the mean error of the control is the higher one:", gain < 0)

# %% [markdown]
# The control is, if anything, worse than no adaptation, with a large spread in both. So statistics alone do not explain what
# SE and SE+FD gain. Why they should do harm is not shown here.

# %% [markdown]
# ## Exercises
#
# Replace the last line of a stub, run the cell, and read what `check` says.
#
# **3.1 How large is f?** (★, 4 minutes). Inside `CrowdCounter`, which pads sides that do not fit.

# %%
def feature_size(height, width, stride):
    """(height, width) of f for an image of any size, padded at the bottom and right as far as needed."""
    raise NotImplementedError


check("3.1", feature_size)

# %% [markdown]
# **3.2 The receptive field** (★★, 8 minutes). The rule is above, and so is an example to try it on.

# %%
def receptive_field(layers):
    """Side in pixels of the field after these layers, from the image on: a list of (kernel, stride)."""
    raise NotImplementedError


check("3.2", receptive_field)

# %% [markdown]
# **3.3 Batch norm by hand** (★★, 8 minutes). As in training, without learned scale and shift. $\varepsilon$ belongs under the
# root, beside the variance, which is the plain mean of the squared distances.

# %%
def batch_norm(x, eps=1e-5):
    """x (B, C, H, W), each channel with mean 0 and variance 1 over the batch and all positions."""
    raise NotImplementedError


check("3.3", batch_norm)

# %% [markdown]
# [Solutions](solutions/03_feature_extractor.ipynb)
#
# ## Take away
#
# - E turns an image of either domain into features, by the same weights: f has H / stride × W / stride cells.
# - A feature sees 92 pixels at stride 8 and 196 at stride 16, though mostly the middle of them: much more than a head.
# - The normalisation is part of E. Wrong input raises no error, it counts wrongly.
# - The channel means of a source-only E differ between the domains. A linear probe tells the domain from f, with and without
#   a discriminator in training. Wide gaps and the error did not fall in proportion.
# - With batch norm, what else is in the batch is part of the method.
#
# [← 02 Crowd masks](02_crowd_masks.ipynb) · [04 Density estimator →](04_density_estimator.ipynb)
