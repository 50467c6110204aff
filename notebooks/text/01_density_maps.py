# ---
# jupyter:
#   sdcda:
#     seconds: 15
#     minutes: 30
# ---

# %% [markdown]
# # 01 · Density maps
#
# [← 00 Start here](00_start_here.ipynb) · [02 Crowd masks →](02_crowd_masks.ipynb)
#
# **After this notebook you can** turn head positions into a density map, explain why its sum is
# the number of people, and avoid losing people at the border and in a resize.
#
# **Time** 30 minutes (optional exercises: +11); runs in 15 s on two cores. **You need** NumPy and
# the basics of PyTorch tensors.

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
KEEP_ON_DRIVE = False  # @param {type: "boolean"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch.nn.functional as nnF
from IPython.display import Markdown, display
from matplotlib.colors import PowerNorm

from sdcda_tutorial.density import adaptive_sigma, density_map
from sdcda_tutorial.evaluation.colours import DENSITY, HEADS
from sdcda_tutorial.evaluation.pictures import show_pixels
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.teaching.demos import density_kernel
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## What is a label?
#
# To label a crowd, people put one dot on each head. A label $y$ is a list of positions (column,
# row) in pixels, measured from the upper left corner. It says where a head is, not how large it is.

# %%
world = notebook.world()
sample = world.target_test[3]
height, width = sample.size
print(f"image: {height} × {width} pixels, {sample.count} heads")
print("the first three heads:", sample.points[:3].tolist())

figure, axis = plt.subplots(figsize=(6, 4.4))
show_pixels(axis, sample.image)
axis.scatter(*sample.points.T, s=14, c=HEADS, edgecolors="black", linewidths=0.4)
notebook.show(figure, "A target image of the mini world. A blue dot marks each labelled head.")

# %% [markdown]
# The list has a different length for every image, but a network's output has a fixed shape. So we
# turn the list into a picture whose pixels add up to the number of heads.
#
# ## F(y): one unit of paint per head
#
# $$F(y) = \sum_{i=1}^{N} \frac{1}{Z_i}\,
# \exp\!\left(-\frac{\lVert p - y_i \rVert^2}{2\sigma^2}\right),
# \qquad Z_i = \sum_{p \in \text{image}}
# \exp\!\left(-\frac{\lVert p - y_i \rVert^2}{2\sigma^2}\right)$$
#
# Each head $y_i$ becomes a Gaussian over the pixels $p$, divided by its own sum $Z_i$. Each head
# therefore adds exactly 1, and the map adds up to $N$: **the sum of the density map is the count**.
# The unit is people per pixel. This map is the ground truth in Eq. 6. In code:

# %%
def paint(points, size, sigma):
    rows, columns = np.mgrid[: size[0], : size[1]]
    F = np.zeros(size)
    for x, y in np.floor(points):  # the pixel that the head lies in
        gaussian = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
        F += gaussian / gaussian.sum()
    return F


by_hand = paint(sample.points, sample.size, sigma=2.0)
F = density_map(sample.points, sample.size, sigma=2.0)
print(f"heads: {sample.count}")
print(f"ours:        sum {by_hand.sum():.3f} people, peak {by_hand.max():.4f} people per pixel")
print(f"the package: sum {F.sum():.3f} people, peak {F.max():.4f} people per pixel")

# %% [markdown]
# The package avoids the loop: a Gaussian is a product of one along the columns and one along the
# rows, so all heads together are a product of two sparse matrices. It also cuts a fixed kernel to
# `kernel_size` pixels, 15 unless you say otherwise, and takes $Z_i$ over these. Everywhere else
# the map is exactly zero, and that is what we call background in the other notebooks.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
show_pixels(axes[0], sample.image, f"{sample.count} heads")
shown = show_pixels(axes[1], F, f"F(y), sum {F.sum():.2f} people")
figure.colorbar(shown, ax=axes[1], label="people per pixel", shrink=0.8)
notebook.show(figure, "An image and its density map, σ = 2 pixels: bright where heads overlap.")

left, right = F[:, : width // 2].sum(), F[:, width // 2 :].sum()
print(f"left half {left:.2f} + right half {right:.2f} = {left + right:.2f} people")

# %% [markdown]
# The halves hold 13.05 and 17.95 people: a head near the line between them counts partly in
# each.
#
# Here is a single head, from its centre to the right:

# %%
one = density_map(np.array([[20.0, 20.0]]), (41, 41), sigma=2.0)
print("pixels from the centre  ", *(f"{distance:7}" for distance in range(9)))
print("people per pixel        ", *(f"{value:7.5f}" for value in one[20, 20:29].tolist()))
print(f"one σ from the centre: {one[20, 22] / one[20, 20]:.4f} of the peak")
print(f"the formula says exp(-1/2) = {np.exp(-0.5):.4f}")

# %% [markdown]
# The peak is only 0.0398 people per pixel, because σ = 2 spreads one person over many pixels.
#
# ## Experiment: what does the kernel change?
#
# Predict first. σ grows from 2 to 4 pixels. By what factor do the sum of the map, the peak of one
# head and its width change? Write your factors into `predicted`, then run the cell.

# %%
predicted = {"sum": None, "peak": None, "width": None}  # factors; 1 means "stays the same"
before = {"kernel": "fixed", "sigma": 2.0, "kernel_size": 15}
after = {"kernel": "fixed", "sigma": 4.0, "kernel_size": 25}  # change this, then run again

display(Markdown(density_kernel.compare_kernels(sample, before, after, predicted)))

# %% [markdown]
# The sum stays at 31.00. A head gets twice as wide in both directions, 9.4 instead of 4.7 pixels,
# so its peak falls to a quarter. The largest density of the *map* only halves (factor 0.48):
# neighbours overlap more, and their tails add up.
#
# Now change `after`: to the kernel of the authors' later code ([appendix B](B_ledger.ipynb)),
# `sigma` 4 and `kernel_size` 15, and then to `"adaptive"`. *Geometry-adaptive* kernels take
# each head's σ from its three nearest neighbours, σ = 0.3 × their mean distance, kept between 1
# and 15 pixels. In a dense crowd that follows the perspective: people far away are smaller and
# closer together. The [solutions](solutions/01_density_maps.ipynb) have both tables.

# %%
sigmas = adaptive_sigma(sample.points)
print(f"adaptive σ: {sigmas.min():.3f} to {sigmas.max():.3f} pixels,", end=" ")
print(f"median {np.median(sigmas):.3f}")

maps = {
    "fixed, σ = 2": F,
    "fixed, σ = 4": density_map(sample.points, sample.size, sigma=4.0, kernel_size=25),
    "adaptive": density_map(sample.points, sample.size, kernel="adaptive"),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 2.7), layout="constrained")
for axis, (title, drawn) in zip(axes, maps.items()):
    axis.set_title(f"{title}: sum {drawn.sum():.2f}, peak {drawn.max():.4f}")
    axis.set_axis_off()
    shown = axis.imshow(drawn, cmap=DENSITY, norm=PowerNorm(0.5, vmin=0, vmax=0.18))
figure.colorbar(shown, ax=axes, label="people per pixel", extend="max", shrink=0.8)
notebook.show(
    figure,
    "The same heads with three kernels, on one colour scale (by square roots, so that tails show).",
)

# %% [markdown]
# A head that stands alone gets the largest σ, 15 pixels here: σ says how crowded it is around a
# head, not how large the head is.
#
# ## Try it
#
# `render_density_kernel` draws one choice of kernel; the controls below it change the choice.

# %%
notebook.show(
    density_kernel.render_density_kernel(world.target_test, 1, "fixed", 4.0, 25),
    "Heads, density map, and the row of the map with the largest density, marked in the middle.",
)

# %% tags=["nbval-ignore-output"]
density_kernel.density_kernel(world.target_test)

# %% [markdown]
# ## People lost at the border
#
# The textbook formula divides the Gaussian by $2\pi\sigma^2$, its sum over an *endless* plane.
# Near a border part of the plane is missing. We move one head from the middle into a corner:

# %%
size, sigma = (41, 41), 4.0
rows, columns = np.mgrid[: size[0], : size[1]]
table = []
for d in (20, 8, 4, 0):
    gaussian = np.exp(-((columns - d) ** 2 + (rows - d) ** 2) / (2 * sigma**2))
    endless = gaussian / (2 * np.pi * sigma**2)
    ours = density_map(np.array([[d, d]]), size, sigma=sigma)
    table.append((f"{d} pixels", f"{endless.sum():.3f} people", f"{ours.sum():.3f} people"))
header = ("distance to both borders", "divided by 2πσ²", "divided by its own sum")
display(Markdown(markdown_table(header, table, aligned=False)))

# %% [markdown]
# In the corner only 0.302 of a person is left. In many photographs the crowd reaches the
# border, so maps made with the textbook formula hold too few people even before training.
#
# ## People lost in a resize
#
# To save time we train on smaller images. We can shrink the finished map along with the image, or
# move the heads and draw the map afterwards:

# %%
half = nnF.interpolate(F[None, None], scale_factor=0.5, mode="bilinear")[0, 0]
drawn_last = density_map(sample.points / 2, (height // 2, width // 2), sigma=1.0)
print(f"full size:                   {F.sum():.2f} people")
print(f"the map, shrunk to half:     {half.sum():.2f} people")
print(f"heads moved, map drawn last: {drawn_last.sum():.2f} people")

# %% [markdown]
# Interpolation keeps the **density**, but only a quarter of the pixels are left, so only 7.75
# of the 31 people are. Therefore this package never stores a true map. Crops, flips and resizes
# act on the head positions, and the map is drawn last, at the size at which it is needed.
#
# ## Exercises
#
# Replace the last line of a stub, run the cell, and read what `check` says.
#
# **1.1 How wide must the kernel be?** (★★, 6 minutes, optional). Too narrow a kernel truncates
# the Gaussian where it is large.

# %%
def kernel_width(sigma, share):
    """Smallest odd kernel_size, in pixels, of a kernel that holds every pixel of the row through
    its centre at which the Gaussian is at least `share` (0 < share < 1) of its peak."""
    raise NotImplementedError


check("1.1", kernel_width)

# %% [markdown]
# **1.2 A crop with two bugs** (★★, 7 minutes). This crop should return the heads of a window. We
# cut an image of three heads into two halves, 20 pixels wide each, and draw both maps:

# %%
def wrong_crop(points, x0, y0, x1, y1):
    x, y = points.T
    return points[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)]


heads = np.array([[10.0, 10.0], [20.0, 12.0], [30.0, 8.0]])
for x0 in (0, 20):
    found = wrong_crop(heads, x0, 0, x0 + 20, 20)
    people = density_map(found, (20, 20)).sum()
    print(f"columns {x0} to {x0 + 19}, heads: {len(found)}, sum of the map: {people:.2f}")

# %% [markdown]
# Three heads go in. The two crops return four, and their maps hold 1.00 person. Write the crop
# that gets both right.

# %%
def crop_heads(points, x0, y0, x1, y1):
    """Of the (N, 2) heads (x, y), those in columns x0 ... x1 - 1 and rows y0 ... y1 - 1, as
    positions in the window, whose corner is (0, 0). Pixel column 3 covers 3 <= x < 4."""
    raise NotImplementedError


check("1.2", crop_heads)

# %% [markdown]
# **1.3 Shrink a map without losing anyone** (★★, 5 minutes, optional). Here you have a map but no
# heads.

# %%
def resize_map(F, size):
    """The map F (H, W) resized to (height, width) by nnF.interpolate, with as many people as F."""
    raise NotImplementedError


check("1.3", resize_map)

# %% [markdown]
# [Solutions](solutions/01_density_maps.ipynb)
#
# > **What this does not show.** Which kernel trains the best counter: the count is the same with
# > all of them, and we compare no trainings. Nor whether an adaptive σ fits the heads: it is a
# > guess from distances.
#
# ## Take away
#
# - F(y) paints a Gaussian of weight 1 on each head, so its **sum is the count**, over the image
#   and, nearly, over every part. The kernel changes peak and width, never the sum.
# - Divide each kernel by its sum inside the image, or people vanish.
# - Resize the head positions, not the map, and draw the map last.
#
# [← 00 Start here](00_start_here.ipynb) · [02 Crowd masks →](02_crowd_masks.ipynb)
