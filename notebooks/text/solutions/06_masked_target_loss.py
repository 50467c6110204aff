# ---
# jupyter:
#   sdcda:
#     seconds: 20
# ---

# %% [markdown]
# # 06 · Masked target loss: solutions
#
# [← back to the notebook](../06_masked_target_loss.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

import torch
import torch.nn.functional as nnF
from IPython.display import Markdown, display

from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 6.1 The target loss from logits
#
# On the crowd Eq. 8 makes the loss $-\log 1 = 0$, so nothing needs to be computed there. On the
# background $-\log(1 - \hat z) = \log(1 + e^x)$, the softplus of 5.1.

# %%
def target_segmentation_loss(logits, pseudo_mask):
    return ((1 - pseudo_mask) * nnF.softplus(logits)).mean()


check("6.1", target_segmentation_loss)

# %% [markdown]
# Why not the logarithm? Below are three ways to write the loss of a background pixel, each with its
# gradient. The larger the mistake, the larger the push should be.

# %%
ways = {
    "-log(1 - ẑ)": lambda x: -(1 - x.sigmoid()).log(),
    "-log(1 - ẑ + 1e-8)": lambda x: -(1 - x.sigmoid() + 1e-8).log(),
    "softplus(x)": nnF.softplus,
}
rows = []
for logit in (2.0, 8.0, 100.0):
    cells = []
    for way in ways.values():
        x = torch.tensor(logit, requires_grad=True)
        loss = way(x)
        (slope,) = torch.autograd.grad(loss, x)
        cells.append(f"{loss.item():.2f}, {slope.item():.2f}")
    rows.append([f"{logit:g}", *cells])
display(Markdown(markdown_table(["logit", *(f"`{name}`" for name in ways)], rows)))

# %% [markdown]
# At a logit of 100, `1 - ẑ` is exactly 0 in 32-bit numbers. The logarithm gives an infinite loss
# and a gradient that is not a number; one such pixel spoils every weight. With a small constant the
# loss is finite, but the gradient is 0 where S is most wrong. Softplus gives 100 and 1.
#
# That `check` accepts your loss does not prove that this reading of Eq. 9 is the authors'. It shows
# that two programs read it alike.

# %% [markdown]
# ## 6.2 Mean over which pixels?
#
# Every gradient is $\hat z = 0.5$ divided by something. In (a) that is the number of all pixels, in
# (b) the number of background pixels of both images together; A and B share it. Only in (c) each
# image has its own: 80 % of the pixels in A, 20 % in B.

# %%
all_pixels, background_pixels, per_image = 1, 1, 0.8 / 0.2

check("6.2", (all_pixels, background_pixels, per_image))

# %% [markdown]
# In (c) the few background pixels of a crowded image weigh four times as much. (b)
# is even within a batch, but the push still depends on the batch: a pixel of two images like B
# is pushed four times as hard as one of two like A. And an image, or batch, without background divides 0 by 0.
# None of the three is wrong as a loss. But only in (a) does a background pixel always weigh the
# same, as in the paper's sum, so only there do the ratio of Eq. 7 to Eq. 9 and the meaning of
# $\lambda^s = \lambda^t$ stay the paper's.

# %% [markdown]
# ## 6.3 One ẑ for two things
#
# The loss is $-a \log \hat z - w\,b \log(1 - \hat z)$ for $a$ pixels of people and $b$ of leaves.
# Its derivative, $-a / \hat z + w\,b / (1 - \hat z)$, is zero at $\hat z = a / (a + w\,b)$.

# %%
def compromise(people, leaves, weight=1.0):
    return people / (people + weight * leaves)


check("6.3", compromise)

print("300 pixels of people, 100 of leaves")
for weight in (0.0, 0.3, 1.0, 3.0, 10.0):
    z_hat = compromise(300, 100, weight)
    called = "crowd" if z_hat > 0.5 else "background"
    print(f"weight {weight:4.1f}: ẑ = {z_hat:.2f}, so S calls both {called}")

# %% [markdown]
# With the same features, S calls both crowd or both background: at weight 3 the balance tips.
# That may have happened to the heads in the notebook, where E was fixed: with the false
# positives, S lost some people. The only way to make *both* losses small is to make the features
# differ, and that is a task for E. So the losses on the mask work on the counter although S is
# thrown away. This does not prove that E finds such features; that S and E together kept 83 % of
# the heads suggests it.
