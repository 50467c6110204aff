# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 05 · Semantic extractor: solutions
#
# [← back to the notebook](../05_semantic_extractor.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

import numpy as np
import torch
import torch.nn.functional as nnF

from sdcda_tutorial import losses
from sdcda_tutorial.networks import image_batch
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 5.1 Eq. 7 from logits
#
# With $\hat z = 1 / (1 + e^{-x})$, $-\log \hat z = \log(1 + e^{-x})$ and $-\log(1 - \hat z) =
# \log(1 + e^x)$. The function $\log(1 + e^x)$ is called *softplus*; PyTorch computes it without
# overflow.

# %%
def source_segmentation_loss(logits, mask):
    return (mask * nnF.softplus(-logits) + (1 - mask) * nnF.softplus(logits)).mean()


check("5.1", source_segmentation_loss)

generator = torch.Generator().manual_seed(0)
x = 3 * torch.randn(2, 1, 6, 8, generator=generator)
z = (torch.rand(2, 1, 6, 8, generator=generator) < 0.2).float()
mine, package = source_segmentation_loss(x, z), losses.source_segmentation_loss(x, z)
print(f"mine {mine:.6f}; the package, with PyTorch's own cross-entropy, {package:.6f}")

background_everywhere = source_segmentation_loss(torch.full_like(x, -2.0), z)
print(f"{100 * z.mean():.0f} % crowd; ẑ = 0.12 everywhere costs {background_everywhere:.3f}")

# %% [markdown]
# The last line is a warning. The mean weighs every pixel alike and most are background, so an S
# that finds nobody has a smaller loss than random logits (0.564, 1.458). A small Eq. 7 does not
# prove that people are found; look at the pixels of people, as the notebook did.

# %% [markdown]
# ## 5.2 Which images keep the mean?

# %%
def keeps_mean(height, width, grid, stride=8):
    return height // stride % grid == 0 and width // stride % grid == 0


check("5.2", keeps_mean)

for height, width in [(192, 256), (192, 288), (480, 640), (480, 672)]:
    kept = [grid for grid in (1, 2, 3, 6) if keeps_mean(height, width, grid)]
    f = torch.rand(1, 1, height // 8, width // 8, generator=generator)
    errors = [abs(float(nnF.adaptive_avg_pool2d(f, g).mean() / f.mean() - 1)) for g in (1, 2, 3, 6)]
    shown = " ".join(f"{100 * error:.2f} %" for error in errors)
    print(f"{height} × {width}: exact for grids {kept}; errors {shown}")

# %% [markdown]
# Where a grid does not divide a side, the shared rows or columns count in two cells. Images whose
# sides are multiples of 48 keep all four means at stride 8. For S the errors are harmless, since it
# learns with them. For a *density map* they would not be: shared people would be counted twice.

# %% [markdown]
# ## 5.3 Switch a level off

# %%
def without_level(S, f, level):
    levels = [f]
    for number, (grid, project) in enumerate(zip(S.bins, S.pyramid)):
        pooled = project(nnF.adaptive_avg_pool2d(f, grid))
        if number == level:
            pooled = torch.zeros_like(pooled)
        size = f.shape[-2:]
        levels.append(nnF.interpolate(pooled, size=size, mode="bilinear", align_corners=False))
    fused = S.fuse(torch.cat(levels, dim=1))
    return nnF.interpolate(fused, scale_factor=S.stride, mode="bilinear", align_corners=False)


check("5.3", without_level)

# %% [markdown]
# The experiment: how much does $\hat z$ change, on average over eight images, without each level of
# the stored S?

# %% sdcda={"tolerance": {"rel": 0.1, "abs": 0.3}}
world, model = notebook.world(), notebook.segmenter("s-source")
images = {
    "source": [world.source_test[i].image for i in range(8)],
    "target": [world.target_test[i].image for i in range(20, 28)],
}
print("mean change of ẑ without one grid, percentage points")
with torch.no_grad():
    for domain, some in images.items():
        f = model["E"](image_batch(np.stack(some)))
        z_hat = model["S"](f).sigmoid()
        for level, grid in enumerate(model["S"].bins):
            change = without_level(model["S"], f, level).sigmoid() - z_hat
            print(
                f"{domain}, without {grid} × {grid}: {100 * change.abs().mean():5.1f}, "
                f"mean ẑ {100 * change.mean():+5.1f}"
            )

# %% [markdown]
# The finest grid matters most in both domains, and every grid matters more on the target: without
# the 6 × 6 averages the mean of $\hat z$ falls by 3.2 points there, and by 0.7 on the source. So
# part of the crowd that S sees on the target comes in through its context. This does not prove that
# a smaller pyramid would be better: zeros are a value that S never met in training, and an S
# trained without a grid would learn to do without it. And it is one S on eight images.
