# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 01 · Density maps: solutions
#
# [← back to the notebook](../01_density_maps.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

import numpy as np
import torch.nn.functional as nnF
from IPython.display import Markdown, display

from sdcda_tutorial.density import density_map
from sdcda_tutorial.teaching.demos import density_kernel
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## The experiment with the kernel
#
# First the kernel of the authors' later code, σ = 4 cut to 15 × 15 pixels, then the adaptive one.

# %%
sample = notebook.world().target_test[3]
before = {"kernel": "fixed", "sigma": 2.0, "kernel_size": 15}
for after in ({"kernel": "fixed", "sigma": 4.0, "kernel_size": 15}, {"kernel": "adaptive"}):
    display(Markdown(density_kernel.compare_kernels(sample, before, after)))

# %% [markdown]
# The cut at 15 pixels leaves its mark: the peak is 0.0113 instead of 0.0100, because the person
# that was spread over 25 pixels has to fit into 15. The width at half the peak is what it is
# without the cut, 9.4 pixels. With adaptive kernels the head of median σ is wider still, 10.7
# pixels, and lower. Yet the largest density of the map rises to 0.1841: where heads are close
# together their σ is small and their paint concentrated. The sum stays 31.00 all the while. None of
# this says which kernel is better to learn from.

# %% [markdown]
# ## 1.1 How wide must the kernel be?

# %%
def kernel_width(sigma, share):
    reach = sigma * np.sqrt(-2 * np.log(share))  # where the Gaussian is `share` of its peak
    return 2 * int(reach) + 1


check("1.1", kernel_width)

# %% [markdown]
# The Gaussian is $\exp(-d^2 / 2\sigma^2)$ of its peak at the distance $d$. Set that equal to the
# share and solve for $d$. All pixels up to there count, on both sides, and the centre.

# %%
for share in (0.01, 0.05, 0.2, 0.216, 0.22):
    print(f"σ = 4, down to {share:5.1%} of the peak: {kernel_width(4.0, share)} pixels")

# %% [markdown]
# The package's default of 15 pixels for σ = 4 ends where the Gaussian is still at 21.6 % of its
# peak. It is less a Gaussian than a soft square. As it still sums to 1, the count does not notice;
# whether a network learns better from the full kernel, these numbers cannot say.

# %% [markdown]
# ## 1.2 A crop with two bugs

# %%
def crop_heads(points, x0, y0, x1, y1):
    moved = points - (x0, y0)
    inside = (moved >= 0) & (moved < (x1 - x0, y1 - y0))
    return moved[inside.all(axis=1)]


check("1.2", crop_heads)

# %% [markdown]
# First bug: `<=` at the far edges. The head at $x = 20$ was in both halves. Pixels are half-open,
# so windows must be: $x_0 \le x < x_1$. Second bug: the positions were still those of the whole
# image, so the right half's heads lay outside their map and were not drawn.

# %%
heads = np.array([[10.0, 10.0], [20.0, 12.0], [30.0, 8.0]])
for x0 in (0, 20):
    found = crop_heads(heads, x0, 0, x0 + 20, 20)
    people = density_map(found, (20, 20)).sum()
    print(f"columns {x0} to {x0 + 19}, heads: {len(found)}, sum of the map: {people:.2f}")

# %% [markdown]
# Compare this with adding up the two halves of one map, which gave 13.05 and 17.95 people. A crop
# gives each head to one side as a whole. Neither is wrong, but a crop of the *map* would put parts
# of people into a training example that does not show them.

# %% [markdown]
# ## 1.3 Shrink a map without losing anyone

# %%
def resize_map(F, size):
    resized = nnF.interpolate(F[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    return resized * (F.shape[0] * F.shape[1]) / (size[0] * size[1])


check("1.3", resize_map)

# %% [markdown]
# The factor is the ratio of the areas: each new pixel stands for several old ones. It is right on
# average only. Interpolation weighs the pixels at the border unequally:

# %%
corner = np.array([[0.0, 0.0]])
resized = resize_map(density_map(corner, (30, 40)), (15, 20))
print(f"one head in the corner, map resized: {resized.sum():.3f} people")
print(f"position moved, map drawn last:      {density_map(corner / 2, (15, 20)).sum():.3f} people")

# %% [markdown]
# This does not prove that such an error harms training. It shows why we prefer not to have it.
