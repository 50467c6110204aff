# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 03 · Feature extractor: solutions
#
# [← back to the notebook](../03_feature_extractor.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

import torch
from torch import nn

from sdcda_tutorial.networks import FeatureExtractor
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 3.1 Three bugs

# %%
def prepare(image):
    return torch.from_numpy(image).permute(2, 0, 1)[None] / 255


check("3.1", prepare)

# %% [markdown]
# 1. `reshape` keeps the order of the numbers in memory and only cuts it in new places. The image
#    is stored as RGBRGB…, so a "channel" would hold a third of the rows, with all three colours
#    in it. `permute` moves the axis.
# 2. Divided by 256, white becomes 0.996. Nobody would notice this one: the image is 0.4 % darker.
# 3. E normalises its input. Doing it here as well does it twice.
#
# Two of them have a large effect and one a tiny one. A test on *values*, as in `check`, finds all
# three. A test on shapes finds none. Neither shows that the colours were in the right order in
# the file.
#
# ## 3.2 Seeing further without pooling

# %%
def receptive_field(layers):
    field, step = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel - 1) * dilation * step
        step *= stride
    return field


check("3.2", receptive_field)

# %%
conv, pool = (3, 1, 1), (2, 2, 1)
to_pool_3 = [conv] * 2 + [pool] + [conv] * 2 + [pool] + [conv] * 3 + [pool]
for dilation in (1, 2, 4):
    field = receptive_field(to_pool_3 + [(3, 1, dilation)] * 3)
    print(f"three convolutions after pool 3, d = {dilation}: {field} pixels")
field = receptive_field(to_pool_3 + [conv] * 3 + [pool] + [conv] * 3)
print(f"four poolings, stride 16 as in the paper: {field} pixels")

# %% [markdown]
# With d = 2 the field grows from 92 to 140 pixels, and f keeps its fine grid. That is why several
# crowd counters use dilated convolutions in place of the last pooling. The result does not show
# that seeing further helps: it is an upper limit, and in the notebook the trained E used mostly
# the middle of its field.
#
# Does the rule fit the real network? Its layers know their own kernels:

# %%
for stride in (8, 16):
    layers = []
    for layer in FeatureExtractor(stride=stride, width=1 / 16).features:
        if isinstance(layer, nn.Conv2d):
            layers.append((layer.kernel_size[0], layer.stride[0], layer.dilation[0]))
        elif isinstance(layer, nn.MaxPool2d):
            layers.append(pool)
    print(f"stride {stride}: {len(layers)} layers, {receptive_field(layers)} pixels")

# %% [markdown]
# Both values agree with the gradient in the notebook.
#
# ## 3.3 Batch norm by hand

# %%
def batch_norm(x, eps=1e-5):
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(0, 2, 3), keepdim=True)
    return (x - mean) / (variance + eps).sqrt()


check("3.3", batch_norm)

# %% [markdown]
# The mean runs over batch, height and width: everything but the channel. PyTorch's layer agrees
# in training mode:

# %%
x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * 2 + 1
layer = nn.BatchNorm2d(3, affine=False).train()
difference = (batch_norm(x) - layer(x)).abs().max()
print(f"largest difference from nn.BatchNorm2d: {float(difference):.4f}")

# %% [markdown]
# The prediction: the same four images again, brighter by 5, in the same batch.

# %%
alone, mixed = batch_norm(x), batch_norm(torch.cat([x, x + 5]))[:4]
for name, first_four in {"alone": alone, "mixed": mixed}.items():
    print(f"first four images, {name}: variance {float(first_four.var()):.2f}")

# %% [markdown]
# The variance of the first four falls from 1.00 to 0.37. (A variance of exactly 4 would give
# 4 / (4 + 2.5²) = 0.39, since each group lies 2.5 from the mean.) The distance between the two
# groups takes up most of the variance of the batch, and less is left *within* a group.
# This does not prove that mixing is wrong. It is what the network meets if it has to serve both
# domains with one set of statistics. Which choice counts better is a question for a measurement.
