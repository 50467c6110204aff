# ---
# jupyter:
#   sdcda:
#     seconds: 15
# ---

# %% [markdown]
# # 01 · Density maps
#
# [← 00 Start here](00_start_here.ipynb) · [02 Crowd masks →](02_crowd_masks.ipynb)
#
# **After this notebook you can** turn head positions into a density map, say why its sum is the number of people, and
# name the two places where that is easily lost: the border, and a resize.
#
# **Time** 25 minutes to read and try; runs in about 15 seconds on two CPU cores. **You need** NumPy and a first
# acquaintance with PyTorch tensors.

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
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as nnF

from sdcda_tutorial.evaluation import colours
from sdcda_tutorial.density import adaptive_sigma, density_map
from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.evaluation.colours import DENSITY

# %% [markdown]
# ## Look first: what a label is
#
# Whoever labels a crowd puts one dot on each head, nothing more. A label $y$ is a list of positions (column, row)
# in pixels, measured from the upper left corner. Look at the small figures in the background: a dot says where a head is, not how
# large it is.

# %%
world = notebook.world()
sample = world.target_test[3]
print("image:", sample.image.shape, sample.image.dtype, " heads:", sample.points.shape)

figure, axis = plt.subplots(figsize=(6, 4.4))
axis.imshow(sample.image)
axis.scatter(*sample.points.T, s=14, c=colours.SKY, edgecolors="black", linewidths=0.4)
axis.set_axis_off()
notebook.show(figure, "A target image of the mini world; a blue dot marks each labelled head.")

# %% [markdown]
# A network cannot be trained to print a list of dots whose length changes from image to image. It can be trained to paint
# a picture. So the dots are painted, and the paint is measured.
#
# ## F(y): every head is one spoonful of paint
#
# $$F(y) = \sum_{i=1}^{N} \frac{1}{Z_i}\, \exp\!\left(-\frac{\lVert p - y_i \rVert^2}{2\sigma^2}\right),
# \qquad Z_i = \sum_{p \in \text{image}} \exp\!\left(-\frac{\lVert p - y_i \rVert^2}{2\sigma^2}\right)$$
#
# Each head $y_i$ gets a Gaussian over the pixels $p$ of the image, divided by its own sum $Z_i$. So each head weighs exactly
# 1, and the whole map weighs $N$: **the sum of the density map is the count**. Its unit is people per pixel. This is the
# truth that Eq. 6 compares the network's output with.
#
# A Gaussian of two variables is a product of one along the columns and one along the rows. That is why the package can
# draw all heads at once, as one product of two sparse matrices, without a loop:

# %%
notebook.code(density_map)

# %% [markdown]
# One head alone shows what $\sigma$ is: at a distance of one σ the density has fallen to $e^{-1/2}$ of its peak.

# %%
one = density_map(np.array([[20.0, 20.0]]), (41, 41), sigma=2.0)
print("peak", round(float(one[20, 20]), 4), "people per pixel")
print("one σ beside it, as a part of the peak:", round(float(one[20, 22] / one[20, 20]), 4), "  exp(-1/2):", round(np.exp(-0.5), 4))

# %% [markdown]
# The package centres the kernel on the pixel that the head lies in, and cuts it off some pixels away: there the map is
# exactly zero. That is what "background" means in notebooks 00 and 04.
#
# Cut to 15 × 15 pixels with σ = 4, this is the kernel of the authors' later code, and the package's default. On the small
# images of the mini world heads are 3 to 6 pixels wide, and σ = 2 fits better.

# %%
F = density_map(sample.points, sample.size, sigma=2.0)
print("heads:", sample.count, "  sum of the map:", round(float(F.sum()), 3))
print("shape:", tuple(F.shape), "  largest density:", round(float(F.max()), 3), "people per pixel")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
axes[0].imshow(sample.image)
drawn = axes[1].imshow(F, cmap=DENSITY)
figure.colorbar(drawn, ax=axes[1], label="people per pixel", shrink=0.8)
for axis in axes:
    axis.set_axis_off()
notebook.show(figure, "Left the image, right its density map. Bright spots are where heads stand close together.")

# %% [markdown]
# Any part of the map can be added up too. The people in the left and in the right half add up to all of them, and a head on
# the line between counts as a part here and a part there.

# %%
left, right = F[:, :128].sum(), F[:, 128:].sum()
print(f"left {left:.2f} + right {right:.2f} = {left + right:.2f}")

# %% [markdown]
# ## Where it gets lost, 1: the border
#
# A textbook divides the Gaussian by $2\pi\sigma^2$, its sum over an *endless* plane. Near the border a part of the plane is
# missing, and the head weighs less than 1. Below, one head walks from the middle to the corner.

# %%
size, sigma = (41, 41), 4.0
rows, columns = np.mgrid[: size[0], : size[1]]
print("distance to both borders   textbook   ours")
for distance in (20, 8, 4, 0):
    textbook = np.exp(-((columns - distance) ** 2 + (rows - distance) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    ours = density_map(np.array([[distance, distance]]), size, sigma=sigma)
    print(f"{distance:>12} pixels {textbook.sum():16.3f} {float(ours.sum()):9.3f}")

# %% [markdown]
# In the corner three quarters of the head are gone (a little less, since the pixel itself stays whole). Crowds reach the
# border of a photograph all the time, so a map drawn the textbook way counts too few in a way that no network can mend.
#
# ## One σ for all, or one for each?
#
# People far away are smaller. *Geometry-adaptive* kernels take a head's σ from the distance to its three nearest
# neighbours, σ = 0.3 × the mean distance (kept between 1 and 15 pixels): in a dense crowd that grows with the size of the
# heads.

# %%
sigmas = adaptive_sigma(sample.points)
print(f"σ from {sigmas.min():.1f} to {sigmas.max():.1f} pixels")

maps = {
    "fixed, σ = 2": F,
    "fixed, σ = 6": density_map(sample.points, sample.size, sigma=6.0, kernel_size=37),
    "adaptive": density_map(sample.points, sample.size, kernel="adaptive"),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), layout="constrained")
for axis, (title, drawn) in zip(axes, maps.items()):
    axis.imshow(drawn, cmap=DENSITY, vmax=float(np.quantile(drawn[drawn > 0], 0.95)))
    axis.set_title(f"{title}: sum {float(drawn.sum()):.2f}")
    axis.set_axis_off()
notebook.show(figure, "The same heads with three kernels. The pictures differ, the sums do not. Each has its own colour scale, cut at its brightest twentieth.")

# %% [markdown]
# Which is best for learning is *not* shown here: all three have the same sum, so the count cannot tell them apart. Where
# people stand alone, the distance to the neighbours says nothing about the size of a head, and the adaptive σ is merely
# large.
#
# ## Where it gets lost, 2: the resize
#
# Networks want smaller images, so image and map are shrunk. Interpolation keeps the *density at a point*, but there are
# fewer points to add.

# %%
half = nnF.interpolate(F[None, None], scale_factor=0.5, mode="bilinear")[0, 0]
drawn_last = density_map(sample.points / 2, (F.shape[0] // 2, F.shape[1] // 2), sigma=1.0)
print("full size          ", round(float(F.sum()), 2))
print("map shrunk to half ", round(float(half.sum()), 2))
print("heads moved, then drawn", round(float(drawn_last.sum()), 2))

# %% [markdown]
# Shrinking the finished map lost three people of four. One can multiply by 4 (exercise 1.3), but crops and odd sizes make
# that a trap for ever. This package stores no map at all: crops, flips and resizes act on the head *positions*, and the map
# is drawn last, in about a millisecond, at the size at which it is needed.
#
# ## Move it
#
# The picture below is what `render_density_kernel` draws for one choice. Under it are the controls: try a large σ, then
# the adaptive kernel, and keep an eye on the sum.

# %%
from sdcda_tutorial.teaching.demos.density_kernel import density_kernel, render_density_kernel

notebook.show(
    render_density_kernel(world.target_test, scene=1, kernel="fixed", sigma=4.0),
    "Heads, density map and one row of it. The line in the map is the row that the curve on the right shows.",
)

# %% tags=["nbval-ignore-output"]
density_kernel(world.target_test)

# %% [markdown]
# ## Exercises
#
# Replace the last line of a stub, run the cell, and read what `check` says.
#
# **1.1 People in a window** (★, 3 minutes). How many people does the map hold in a window?

# %%
def count_in_window(F, x0, y0, x1, y1):
    """People in columns x0 ... x1 - 1 and rows y0 ... y1 - 1 of the density map F (H, W)."""
    raise NotImplementedError


check("1.1", count_in_window)

# %% [markdown]
# **1.2 One head near the border** (★★, 8 minutes). Paint one head. `np.mgrid` above shows how to get the rows and columns
# of all pixels.

# %%
def head_kernel(x, y, size, sigma):
    """Gaussian of one head in the middle of the pixel in column x, row y (whole numbers), as an array that sums to 1.

    size: (height, width) of the image.
    """
    raise NotImplementedError


check("1.2", head_kernel)

# %% [markdown]
# **1.3 Shrink a map without losing anyone** (★★, 5 minutes). For once you are given a map and not the heads.

# %%
def resize_map(F, size):
    """The map F (H, W) as a map of size (height, width) with the same number of people, by nnF.interpolate."""
    raise NotImplementedError


check("1.3", resize_map)

# %% [markdown]
# [Solutions](solutions/01_density_maps.ipynb)
#
# ## Take away
#
# - A label is a list of head positions. F(y) paints a Gaussian of weight 1 on each, so its **sum is the count**, over the
#   image and over every part of it.
# - A kernel that the border cuts must be normalised by what is left of it.
# - Resizing a map changes its sum. Resize the positions and draw the map last.
# - That the sum is right says nothing about whether a network learns well from such a map. Notebook 04 trains on such maps;
#   it does not compare kernels.
#
# [← 00 Start here](00_start_here.ipynb) · [02 Crowd masks →](02_crowd_masks.ipynb)
