# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 05 · Semantic extractor: solutions
#
# [← back to the notebook](../05_semantic_extractor.ipynb)

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
import torch
import torch.nn.functional as nnF

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.networks import SemanticExtractor

# %% [markdown]
# ## 5.1 Averages over a grid

# %%
def adaptive_pool(array, grid):
    n, m = array.shape
    rows = [slice(i * n // grid, -(-(i + 1) * n // grid)) for i in range(grid)]  # -(-a // b) rounds up
    columns = [slice(j * m // grid, -(-(j + 1) * m // grid)) for j in range(grid)]
    return np.array([[array[r, c].mean() for c in columns] for r in rows])


check("5.1", adaptive_pool)

# %% [markdown]
# The same as PyTorch, also where a grid is finer than the array: then cells repeat what they have.

# %%
array = np.random.default_rng(0).normal(size=(7, 10))
for grid in (1, 2, 3, 6, 9):
    torch_says = nnF.adaptive_avg_pool2d(torch.from_numpy(array)[None], grid)[0].numpy()
    print(f"grid {grid}: same as PyTorch", bool(np.allclose(adaptive_pool(array, grid), torch_says)))

# %% [markdown]
# Shared rows count in two cells, so the mean of the grid is not exactly the mean of the array there. For S that is
# harmless. For a density map it would not be: people would be counted twice.

# %% [markdown]
# ## 5.2 Eq. 7 in NumPy

# %%
def source_loss(logits, z):
    prob = 1 / (1 + np.exp(-logits))
    return -(z * np.log(prob) + (1 - z) * np.log(1 - prob)).mean()


check("5.2", source_loss)

rng = np.random.default_rng(0)
logits, z = rng.normal(size=(6, 8)), (rng.random((6, 8)) < 0.3).astype(float)
package = losses.source_segmentation_loss(torch.from_numpy(logits)[None, None], torch.from_numpy(z)[None, None])
print("as the package:", bool(np.isclose(source_loss(logits, z), float(package))))

# %% [markdown]
# The mean weighs every pixel alike, and most are background. An S that finds nobody at all is not far from the best
# constant. A small loss therefore does not prove that people are found; one has to look at the pixels of people, as the
# notebook did. And for logits beyond about 40 this code takes the logarithm of zero: notebook 06 shows the mend.

# %% [markdown]
# ## 5.3 Where the weights of S are

# %%
def count_weights(channels, bins):
    part, fused = channels // len(bins), channels // 2
    projections = len(bins) * (channels * part + 2 * part)  # 1×1 without bias, batch norm
    fuse = (channels + part * len(bins)) * fused * 3 * 3 + 2 * fused  # 3×3 without bias, batch norm
    head = fused + 1  # 1×1 with bias
    return projections + fuse + head


check("5.3", count_weights)

for channels, name in ((128, "mini"), (512, "paper")):
    part, fused = channels // 4, channels // 2
    all_weights, fuse = count_weights(channels, (1, 2, 3, 6)), 2 * channels * fused * 9
    S = SemanticExtractor(channels, 8)
    same = all_weights == sum(p.numel() for p in S.parameters())
    print(f"{name}: {all_weights} weights, as PyTorch counts: {same}; {100 * fuse / all_weights:.0f} % in the 3×3 convolution")

# %% [markdown]
# Nine tenths of the weights fuse; a projection is cheap, and its number of weights does not depend on the grid. Weights
# are not time, and neither says how much a level *matters*: that takes an experiment, such as the swapped averages of the
# notebook.
