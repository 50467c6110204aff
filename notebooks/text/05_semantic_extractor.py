# ---
# jupyter:
#   sdcda:
#     seconds: 25
#     minutes: 45
# ---

# %% [markdown]
# # 05 · Semantic extractor
#
# [← 04 Density estimator](04_density_estimator.ipynb) · [06 Masked target loss →](06_masked_target_loss.ipynb)
#
# **After this notebook you can** take pyramid pooling apart, follow every shape through S, compute
# Eq. 7 by hand, and say how well S works on the target.
#
# **Time** 45 minutes (optional exercises: +18); runs in 25 s on two cores. **You need** notebook
# 03, and to have met convolutions and batch norm.

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
import torch
import torch.nn.functional as nnF

from sdcda_tutorial import losses
from sdcda_tutorial.density import density_map
from sdcda_tutorial.evaluation import colours
from sdcda_tutorial.networks import SemanticExtractor, image_batch
from sdcda_tutorial.teaching import method_drawing
from sdcda_tutorial.teaching.demos.pyramid import pyramid, render_pyramid
from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.teaching.silhouettes import found_and_false, silhouettes

# %% [markdown]
# ## Two labels for one crowd
#
# The density map says *how many* people are where. The crowd mask says only *whether* a pixel shows
# a person. How much of an image is crowd?

# %% sdcda={"tolerance": {"abs": 0.1}}
world = notebook.world()
sample = world.source_test[4]
F_y, z_s = density_map(sample.points, sample.size, sigma=2.0), torch.tensor(sample.mask).float()

figure, axes = plt.subplots(1, 3, figsize=(10, 2.7), layout="constrained")
axes[0].imshow(sample.image)
axes[0].set_title("source image")
drawn = axes[1].imshow(F_y, cmap=colours.DENSITY)
axes[1].set_title("density map F(y), for C")
figure.colorbar(drawn, ax=axes[1], shrink=0.7, label="people per pixel")
axes[2].imshow(z_s, cmap="Greys_r")
axes[2].set_title("crowd mask z, for S: white is 1")
for axis in axes:
    axis.set_axis_off()
notebook.show(
    figure,
    "A source image with its two labels. The mask covers whole bodies, the density map only heads.",
)

crowd_share = np.mean([world.source_test[i].mask.mean() for i in range(20)])
print(f"crowd in twenty source images: {100 * crowd_share:.1f} % of the pixels")

# %% [markdown]
# Only one pixel in nine is crowd.
#
# Why add this coarser task? Because S reads the same features $f = E(x)$ as C: what S needs to tell
# crowd from background has to be in them.

# %%
method_drawing.show("E", "S", "seg_source")

# %% [markdown]
# $$\hat z^s = S(f^s; \theta_s), \qquad \hat z^t = S(f^t; \theta_s) \tag{2}$$
#
# One S serves both domains. It gives *logits*; their sigmoid is $\hat z$, the probability of crowd
# at each pixel.
#
# ## Pyramid pooling taken apart
#
# Is a dark blob a head or a leaf? Its surroundings may decide. So S averages the features over four
# grids (1 × 1, 2 × 2, 3 × 3 and 6 × 6) and concatenates them with the features (the paper:
# "slightly modifying the pyramid module of PSPNet"):

# %%
notebook.code(SemanticExtractor)

# %% [markdown]
# ### Step 1: average over a grid, stretch back
#
# Of the 128 channels of f, take the one whose mean on crowd exceeds its mean on background the
# most. How much of the crowd's position survives in each grid?

# %% sdcda={"tolerance": {"rel": 0.02}}
E = notebook.counter("noadapt").E  # of the counter without adaptation


def features(E, samples):
    """f = E(x) of some images, (B, 128, 24, 32): one position stands for 8 × 8 pixels."""
    with torch.no_grad():
        return E(image_batch(np.stack([sample.image for sample in samples])))


def stretch(pooled, size=(24, 32)):
    """A grid, or a map, enlarged to `size` by bilinear interpolation."""
    return nnF.interpolate(pooled, size=size, mode="bilinear", align_corners=False)


f = features(E, [sample])
share = nnF.adaptive_avg_pool2d(z_s[None, None], f.shape[-2:])  # of crowd, at each position of f
inside, outside = ((f * weight).sum((2, 3)) / weight.sum() for weight in (share, 1 - share))
best = int((inside - outside).argmax())
channel = f[:, best : best + 1]

figure, axes = plt.subplots(2, 5, figsize=(10, 3.5), layout="constrained")
axes[0, 0].imshow(sample.image)
axes[0, 0].set_title("image")
top = float(channel.quantile(0.98))
scale = dict(cmap=colours.FEATURES, vmin=0, vmax=top, extent=(0, 32, 24, 0))
axes[1, 0].imshow(channel[0, 0], **scale)
axes[1, 0].set_title("one channel of f")
for column, grid in enumerate((1, 2, 3, 6), start=1):
    pooled = nnF.adaptive_avg_pool2d(channel, grid)
    axes[0, column].imshow(pooled[0, 0], **scale)
    axes[0, column].set_title(f"{grid} × {grid} averages")
    drawn = axes[1, column].imshow(stretch(pooled)[0, 0], **scale)
    axes[1, column].set_title("stretched back")
figure.colorbar(drawn, ax=axes, label="value of f", shrink=0.7, extend="max")
for axis in axes.flat:
    axis.set_axis_off()
notebook.show(
    figure,
    "One channel of the features, its averages over four grids, and the averages stretched back to "
    "the size of f. The finer the grid, the more of the position survives. All maps share one "
    "scale.",
)

print(f"mean of the channel: {channel.mean():.3f}")
for grid in (1, 2, 3, 6):
    pooled = nnF.adaptive_avg_pool2d(channel, grid)
    print(f"mean of its {grid} × {grid} averages: {pooled.mean():.3f}")

# %% [markdown]
# *Adaptive* pooling fixes the number of cells, not their size. Of $n$ rows, cell $i$ of $g$ takes
# those from $\lfloor i\,n/g \rfloor$ up to, not including, $\lceil (i+1)\,n/g \rceil$. Columns
# likewise. If $g$ does not divide $n$, some cells overlap: here some of 32 columns
# count twice, and the mean shifts: 0.395 and 0.392, not 0.401.
#
# So S accepts images of any size. But a 6 × 6 cell is 48 pixels wide here, and hundreds in a
# large photograph.
#
# ### Steps 2 to 5, with every shape
#
# (2) A 1 × 1 *projection* reduces each level to a quarter of the channels, so that all four together
# are as wide as f. They are (3) *concatenated* with f, (4) *fused* by convolutions, and (5) stretched
# to the size of the image. We take a stored S; only the shapes matter here.

# %%
S = notebook.segmenter("s-source")["S"]

with torch.no_grad():
    levels = [f]
    print("f             ", tuple(f.shape))
    for grid, project in zip(S.bins, S.pyramid):
        pooled = nnF.adaptive_avg_pool2d(f, grid)
        projected = project(pooled)
        levels.append(stretch(projected))
        shapes = [tuple(step.shape) for step in (pooled, projected, levels[-1])]
        print(f"grid {grid}: pooled {shapes[0]}  projected {shapes[1]}  stretched {shapes[2]}")
    together = torch.cat(levels, dim=1)
    fused = S.fuse(together)
    logits = stretch(fused, size=sample.size)
    print("concatenated  ", tuple(together.shape))
    print("fused         ", tuple(fused.shape))
    print("logits        ", tuple(logits.shape))
    print(f"largest difference from S(f): {(logits - S(f)).abs().max():.3f}")

for name, network in {"E": E, "S": S}.items():
    print(f"weights of {name}: {sum(p.numel() for p in network.parameters()):,}")

# %% [markdown]
# S is a third as large as E, and is thrown away after training.
#
# ## Does S use its surroundings?
#
# Give S the features of one source image, but the *averages* of another: the people stay, the
# context changes. First write down: will averages of target images change $\hat z$ more than those
# of other source images?

# %% sdcda={"tolerance": {"rel": 0.05, "abs": 0.2}}
@torch.no_grad()
def with_context_of(f, other):
    """ẑ of S with f in its place and the four grids averaged over the features `other`."""
    levels = [f]
    for grid, project in zip(S.bins, S.pyramid):
        pooled = project(nnF.adaptive_avg_pool2d(other, grid))
        levels.append(stretch(pooled))
    return stretch(S.fuse(torch.cat(levels, dim=1)), size=sample.size)[0, 0].sigmoid()


E_s = notebook.segmenter("s-source")["E"]  # the E that this S was trained with
here = world.source_test[0]
f_here = features(E_s, [here])
own = with_context_of(f_here, f_here)
others = {
    "source": [world.source_test[i] for i in range(1, 9)],
    "target": [world.target_test[i] for i in range(20, 28)],
}
mixed = {
    domain: torch.stack([with_context_of(f_here, features(E_s, [other])) for other in samples])
    for domain, samples in others.items()
}
print("mean change of ẑ, in percentage points, with the averages of eight others")
for domain, z_hats in mixed.items():
    change = 100 * (z_hats - own).abs().mean((1, 2))
    each = " ".join(f"{value:5.1f}" for value in change)
    print(f"{domain} images: {each}   mean {change.mean():.1f}")

most = int((mixed["target"] - own).abs().mean((1, 2)).argmax())
figure, axes = plt.subplots(1, 4, figsize=(10, 2.3), layout="constrained")
axes[0].imshow(here.image)
axes[0].set_title("source image")
pictures = {
    "own averages": own,
    "averages of another source image": mixed["source"][2],
    "averages of a target image": mixed["target"][most],
}
for axis, (title, z_hat) in zip(axes[1:], pictures.items()):
    drawn = axis.imshow(z_hat, cmap=colours.DENSITY, vmin=0, vmax=1)
    axis.set_title(f"ẑ, {title}", fontsize=8)
figure.colorbar(drawn, ax=axes[3], label="probability of crowd", shrink=0.8)
for axis in axes:
    axis.set_axis_off()
notebook.show(
    figure,
    "One source image, and ẑ with its own averages, with those of another source image, and with "
    "those of the target image that changes ẑ most.",
)

# %% [markdown]
# It does. Averages of the target move $\hat z$ by 6.1 percentage points on average, those of
# other source images by 2.7. But one target image moves it by 16.8 points, three by less than 3.
# Context can leak the domain.
#
# ## Why a batch of one fails
#
# Each projection is followed by batch norm, which in training divides by the standard deviation
# over the batch and all positions. The 1 × 1 grid has one position, so a single image leaves one
# number per channel, without a spread.

# %%
fresh = SemanticExtractor(128, 8)
try:
    fresh(f_here)
except ValueError as error:
    print(error)
print("in eval mode one image is fine:", tuple(fresh.eval()(f_here).shape))
for two in ([0.1, 0.2], [3.0, 900.0]):
    normalised = torch.nn.BatchNorm2d(1)(torch.tensor(two).view(2, 1, 1, 1)).flatten()
    print(f"batch norm of {two}: {[round(value, 2) for value in normalised.tolist()]}")

# %% [markdown]
# In each channel one of two images gets −1, the other +1, whatever they show.
#
# ## Eq. 7 by hand
#
# $$L^s_{seg} = -\frac{1}{N} \sum \Big( z \log \hat z + (1 - z) \log(1 - \hat z) \Big) \tag{7}$$
#
# In words: minus the logarithm of the probability that S gives to the truth, averaged over $N$
# pixels ($N$ images in the paper). Which of these six costs most?

# %%
z = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
prob = torch.tensor([[0.9, 0.2, 0.8], [0.5, 0.2, 0.1]])

pixels = -(z * prob.log() + (1 - z) * (1 - prob).log())
print("z", z.numpy(), "ẑ", prob.numpy(), "loss of each pixel", pixels.numpy().round(3), sep="\n")
print(f"sum {pixels.sum():.3f}, mean {pixels.mean():.3f}")

x = torch.logit(prob)[None, None].requires_grad_()  # the package takes logits, (B, 1, H, W)
loss = losses.source_segmentation_loss(x, z[None, None])
(gradient,) = torch.autograd.grad(loss, x)
print(f"package: {loss.item():.3f}")
print("gradient, times 6 pixels:", (6 * gradient[0, 0]).numpy().round(3), sep="\n")

# %% [markdown]
# The two confident mistakes (0.2 on a person, 0.8 on the background) cost 1.609 each, fifteen times
# as much as a confident right answer (0.105). The gradient is simply $\hat z - z$, divided by the
# number of pixels.
#
# ## Train S, and only S
#
# How much of the mask is already in the features of a counter that has never seen one? Freeze E and
# train a fresh S on eight source images, 50 steps.

# %% sdcda={"tolerance": {"rel": 0.1, "abs": 0.01}}
learning = [world.source[i] for i in range(8)]
f_learning = features(E, learning)  # computed once, since E does not change
z_learning = torch.from_numpy(np.stack([item.mask for item in learning])).float()[:, None]

torch.manual_seed(0)
S_new = SemanticExtractor(E.channels, E.stride)
optimizer = torch.optim.Adam(S_new.parameters(), 3e-3)
curve = []
for _ in range(50):
    batch = torch.randperm(len(f_learning))[:4]
    loss = losses.source_segmentation_loss(S_new(f_learning[batch]), z_learning[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    curve.append(loss.item())
S_new.eval()

share = z_learning.mean()
constant = float(-(share * share.log() + (1 - share) * (1 - share).log()))
figure, axis = plt.subplots(figsize=(6, 2.5), layout="constrained")
axis.plot(curve, color=colours.SOURCE, label="Eq. 7 of the batch")
axis.axhline(constant, color=colours.BLACK, linestyle="--", linewidth=1, label="best constant")
axis.set(xlabel="step", ylabel="loss", ylim=(0, None))
axis.legend(frameon=False)
notebook.show(figure, "Eq. 7 while S learns on frozen features, and the best constant.")
print(f"best constant {constant:.2f}; mean of the last ten steps {np.mean(curve[-10:]):.2f}")

# %% [markdown]
# The loss ends at 0.16 on its eight training images, less than half of the best constant's
# (0.38). We still have to test it on new images.
#
# ## From the source to the target
#
# Now new images of both domains. The target has no masks; to measure, never to train, we take the
# mini world's true silhouettes. A *false positive* is a pixel called crowd ($\hat z > 0.5$) more
# than 12 pixels from any person. In the package's "s-source", E, C and S were trained together,
# on source labels only.

# %% sdcda={"tolerance": {"rel": 0.15, "abs": 0.3}}
domains = {
    "source": [(item, item.mask) for item in (world.source_test[i] for i in range(6))],
    "target": [(world.target_test[i], silhouettes(i)) for i in range(20, 28)],
}


@torch.no_grad()
def predict(E, S, pairs):
    """ẑ of some images, (N, H, W)."""
    return S(features(E, [item for item, _ in pairs])).sigmoid()[:, 0].numpy()


print("% of pixels                           people found   false positives")
z_hats = {}
for title, model in {"S on frozen features": (E, S_new), "trained together": (E_s, S)}.items():
    for domain, pairs in domains.items():
        z_hats[title, domain] = predict(*model, pairs)
        found, false = found_and_false(z_hats[title, domain], np.stack([mask for _, mask in pairs]))
        print(f"{title + ', ' + domain:<34}{found:15.1f} {false:17.1f}")

# %% sdcda={"tolerance": {"rel": 0.3, "abs": 0.4}}
z_target, pairs = z_hats["S on frozen features", "target"], domains["target"]
per_image = [found_and_false(z[None], mask[None])[1] for z, (_, mask) in zip(z_target, pairs)]
print("false positives of S on frozen features, target, sorted:")
shares = " ".join(f"{value:.1f}" for value in sorted(per_image))
print("% of each image's background far from people:", shares)

worst, second = np.argsort(per_image)[::-1][:2]
shown = {
    "source": (domains["source"][1], z_hats["S on frozen features", "source"][1]),
    "target, worst of eight": (pairs[worst], z_target[worst]),
    "target, second worst": (pairs[second], z_target[second]),
}
figure, axes = plt.subplots(2, 3, figsize=(9, 4.6), layout="constrained")
for (upper, lower), (title, ((item, mask), z_hat)) in zip(axes.T, shown.items()):
    upper.imshow(item.image)
    upper.set_title(title)
    drawn = lower.imshow(z_hat, cmap=colours.DENSITY, vmin=0, vmax=1)
    lower.contour(mask, [0.5], colors=colours.HEADS, linewidths=0.6)
figure.colorbar(drawn, ax=axes[1], label="probability of crowd", shrink=0.8)
for axis in axes.flat:
    axis.set_axis_off()
notebook.show(
    figure, "Images, and below them ẑ of S on frozen features; blue: outlines of the real people."
)

# %% [markdown]
# The source has hardly any false positives (0.0 %). On the target S calls 7.8 % of the far
# background crowd, "s-source" 8.5 %. The two find 77.5 and 87.9 % of the people's pixels, more than
# on the source, perhaps because they call more things crowd. In the worst image, false positives
# reach 33 %.
#
# Eq. 7 never sees the target. What could correct S there, without masks? Write down an idea before
# notebook 06.
#
# ## Try it
#
# Images 0 to 3 are source, 4 to 7 target. Set the grid to 1 and step through them: can you find a
# channel whose average tells the domains apart?

# %%
browse = [world.source_test[i] for i in range(4)] + [world.target_test[i] for i in range(22, 26)]
images, f_browse = [item.image for item in browse], features(E, browse)
notebook.show(
    render_pyramid(images, f_browse, scene=5, channel=best, grid=6),
    "A target image, a channel of its features, its averages over a grid, stretched back.",
)

# %% tags=["nbval-ignore-output"]
pyramid(images, f_browse)

# %% [markdown]
# ## Exercises
#
# Replace the last line of a stub, run the cell, and read what `check` says.
#
# **5.1 Eq. 7 from logits** (★★, 10 minutes). As written, the formula breaks at a logit of 200: the
# sigmoid is exactly 1, and $\log(1 - 1)$ is infinite. Write it so that value and gradient stay
# right. You will train with it in notebook 08.

# %%
def source_segmentation_loss(logits, mask):
    """Eq. 7, a scalar tensor, mean over all pixels. logits, mask: (B, 1, H, W), 1 is crowd."""
    raise NotImplementedError


check("5.1", source_segmentation_loss)

# %% [markdown]
# **5.2 Which images keep the mean?** (★★, 6 minutes, optional). When does a grid keep the mean of
# *every* channel exactly?

# %%
def keeps_mean(height, width, grid, stride=8):
    """Whether grid × grid averages of f, which is at least as large, keep every mean.

    height and width are the image's.
    """
    raise NotImplementedError


check("5.2", keeps_mean)

# %% [markdown]
# **5.3 Switch a level off** (★★★, 12 minutes, optional). Which grid matters most to S? Write your
# guess down, then the forward pass with one level replaced by zeros *after* its projection.

# %%
def without_level(S, f, level):
    """Logits (B, 1, H, W) of S for features f, where grid number `level` (0 to 3) gives zeros."""
    raise NotImplementedError


check("5.3", without_level)

# %% [markdown]
# [Solutions](solutions/05_semantic_extractor.ipynb)
#
# > **What this does not show.** S never saw swapped averages in training. So the test shows that S
# > uses its context, not how many of its errors come from it. Six or eight images are a look,
# > not a measurement. The masks say nothing yet about the count.
#
# ## Take away
#
# - S predicts whether a pixel shows a person, from the same features as C.
# - Pyramid pooling concatenates the features with their averages over four grids, so S also uses
#   the surroundings.
# - Eq. 7 is minus the logarithm of the probability of the truth. An S trained with it on the source
#   alone finds the target's people, but also sees crowds where nobody stands.
#
# [← 04 Density estimator](04_density_estimator.ipynb) · [06 Masked target loss →](06_masked_target_loss.ipynb)
