# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 01 · Density maps: solutions
#
# [← back to the notebook](../01_density_maps.ipynb)

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

import numpy as np
import torch.nn.functional as nnF

from sdcda_tutorial.density import density_map
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 1.1 People in a window

# %%
def count_in_window(F, x0, y0, x1, y1):
    return float(F[y0:y1, x0:x1].sum())


check("1.1", count_in_window)

# %% [markdown]
# Rows (y) come first in an array, columns (x) second: the most common slip of all with head positions. The result need not
# be a whole number, since a head near the edge of the window lies partly outside.

# %% [markdown]
# ## 1.2 One head near the border

# %%
def head_kernel(x, y, size, sigma):
    rows, columns = np.mgrid[: size[0], : size[1]]
    kernel = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return kernel / kernel.sum()


check("1.2", head_kernel)

# %% [markdown]
# Dividing by the kernel's own sum makes the constant $2\pi\sigma^2$ superfluous, in the middle as in the corner. Many such
# kernels added up must give the package's map, when both reach equally far:

# %%
points = np.array([[3.0, 4.0], [20.0, 11.0], [21.0, 12.0]])
by_hand = sum(head_kernel(x, y, (30, 40), 1.0) for x, y in points)
package = density_map(points, (30, 40), sigma=1.0, kernel_size=15).numpy()
print("largest difference below 1e-6:", bool(np.abs(by_hand - package).max() < 1e-6))

# %% [markdown]
# This agreement is for heads on whole pixels. The package centres a kernel on the *pixel* that a head lies in; yours on
# the exact position. Both sum to 1.

# %% [markdown]
# ## 1.3 Shrink a map without losing anyone

# %%
def resize_map(F, size):
    resized = nnF.interpolate(F[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    return resized * (F.shape[0] * F.shape[1]) / (size[0] * size[1])


check("1.3", resize_map)

# %% [markdown]
# The factor is the ratio of the areas: each new pixel stands for several old ones. It is right on average only. Near the
# border, and without `antialias`, interpolation weighs pixels unequally, and the sum is off by a little:

# %%
corner = density_map(np.array([[0.0, 0.0]]), (30, 40))
print("one head in the corner, after the resize:", round(float(resize_map(corner, (15, 20)).sum()), 3))
print("the same, position moved and map drawn last:", round(float(density_map(np.array([[0.0, 0.0]]), (15, 20)).sum()), 3))

# %% [markdown]
# What this does not prove: that the error is harmless for training. It shows only why we prefer not to have it.
