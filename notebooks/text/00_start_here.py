# ---
# jupyter:
#   sdcda:
#     minutes: 22
#     seconds: 15
# ---

# %% [markdown]
# # 00 · Start here
#
# [01 Density maps →](01_density_maps.ipynb)
#
# **A network predicts 130.9 people where 19 stand. After adaptation it predicts 21.8.** It had
# learned to count in one kind of image and failed on another. Then it looked at images of the
# other kind, without a single label, and nearly got the count right. How?
#
# **After this notebook you can** say what goes wrong between two domains, name the four networks
# that fix it, and choose your route.
#
# **Time** 22 minutes (optional exercise: +5); runs in 15 s on two cores. **You need** some
# Python and an idea of what training a network means.

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
KEEP_ON_DRIVE = False  # @param {type: "boolean"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

# %%
from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.density import density_map
from sdcda_tutorial.evaluation import evaluate, pictures
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching import method_drawing, start_here
from sdcda_tutorial.teaching.exercises import check

world = notebook.world()
sample = world.target_test[15]
truth = density_map(sample.points, sample.size, sigma=2.0)
counters = {
    "without adaptation": notebook.counter("noadapt"),
    "adapted (SE+FD)": notebook.counter("se+fd"),
}
maps = {name: [predict_density(counter, sample.image)] for name, counter in counters.items()}
figure = pictures.panel([sample], [truth], maps)
bar = figure.colorbar(figure.axes[1].images[0], ax=figure.axes, shrink=0.8, extend="max")
bar.set_label("people per pixel")
notebook.show(
    figure,
    "A target image, its true density map, and the maps of two counters, with the counts in the "
    "corner. Without adaptation, trees and hedges light up as if they were people.",
)

# %% [markdown]
# ## What do we want to know?
#
# A crowd counter turns an image into a **density map**, people per pixel. The sum of the map is
# the count (notebook 01). To learn this, it needs images in which somebody has clicked on every
# head, which is slow. A game engine gives the clicks for free, so we would like to train on
# synthetic images, the **source**, and count in photographs, the **target**.
#
# The counter in the third column above learned from source images alone. They show smooth
# bushes but no leaves, so nothing taught it that leaves are not people. The counter in the
# fourth column was adapted with the method of Han, Gao, Yuan and Wang, [*Focus on Semantic
# Consistency for Cross-domain Crowd Understanding*](https://arxiv.org/abs/2002.08623), ICASSP
# 2020. It has also seen target images, but none of their labels. (The authors have nothing to
# do with this tutorial.)
#
# ## Is one picture enough?
#
# No: we chose it. So let us count in the first 24 test images of the target. **MAE** is the mean
# absolute error of the count. **Background** is the number of people that a map puts where the
# true map is zero.

# %% sdcda={"tolerance": {"rel": 0.05, "abs": 0.3}}
first_24 = [world.target_test[i] for i in range(24)]
sigma_2 = DensityKernel(sigma=2.0)
results = {
    name: evaluate(counter, first_24, kernel=sigma_2, progress=False)
    for name, counter in counters.items()
}
print(f"mean count {results['without adaptation'].mean_count:.1f} people")
for name, found in results.items():
    print(f"{name:18}  MAE {found.mae:4.1f}   background {found.background:4.1f} people per image")

# %% sdcda={"tolerance": {"abs": 1}}
before, after = ([abs(r.predicted - r.count) for r in found.rows] for found in results.values())
print(f"adapted is worse on {sum(a > b for a, b in zip(after, before))} of 24 images")
notebook.show(
    start_here.counts(*results.values()),
    "Left: predicted against true counts of 24 images; a perfect counter stays on the line. Right: "
    "the error of the count for each image. Where the triangle lies above the circle, adaptation "
    "made it worse. Axes of people are logarithmic, the right one above 2.",
)

# %% [markdown]
# The MAE falls from 52.7 to 8.2 people, and most of the drop is background: from 47.6 to 5.8
# people per image. On four images the adapted counter is worse. (Both were trained in another mini
# world, one of the five below, in which NoAdapt does badly: on average its MAE is 30.1.)
#
# ## The mini world
#
# Here the target is synthetic too, so we know what stands where. There are three domains:

# %%
notebook.show(
    start_here.domains(world),
    "Three images and one enlarged person of each domain. The backgrounds differ: nearly flat "
    "colours, then leaves, stones and signs, then parks and streets. One routine draws the people.",
)

# %% [markdown]
# | | source | target | third domain |
# |---|---|---|---|
# | stands for | GCC, scenes of a game | ShanghaiTech B, photographs of streets | CrowdHuman, photographs of people |
# | background | flat and clean | leaves as large as heads, stones, signs | streets and parks |
# | light | any hour, any weather | 8 to 18 h, dusk included; no rain, no fog | as the target |
# | camera | nearly perfect | colour cast, blur, noise | as the target |
# | training may use | images, heads, masks | images | images, boxes |
#
# The paper's premise is built in here: **people look alike in all domains, backgrounds do not.**
#
# ## The idea: four networks

# %%
method_drawing.show()

# %% [markdown]
# | symbol | what it does | what it learns from | notebook |
# |---|---|---|---|
# | **E** | feature extractor: image → features | all the losses below | 03 |
# | **C** | density estimator: features → density map | heads of the source (Eq. 6) | 04 |
# | **S** | semantic extractor (SE): features → crowd mask | masks of the source (Eq. 7); target: the background of rough pseudo-masks (Eq. 8–9) | 05, 06 |
# | **D** | feature discriminator (FD): source or target? | the domain of each image; E learns to fool it (Eq. 10) | 07 |
#
# The rough pseudo-masks come from a mask model, trained on boxes of the third domain: somebody
# must label boxes, but elsewhere.
#
# S rewards E for features that separate crowd from background in both domains. D rewards E for
# features that do not give the domain away. One sum trains E, C and S, while D is trained against E:
#
# $$L = L^s_{den} + \lambda^s L^s_{seg} + \lambda^t L^t_{seg} + \lambda^d L_{adv} \tag{5}$$
#
# Set a weight $\lambda$ to zero and a part drops out. The notebooks compare four methods:
# *NoAdapt* (E and C), *SE* (with S), *FD* (with D) and *SE+FD* (both). After training, only E and
# C are kept: together they are the counter.
#
# Equation numbers and letters are the paper's: $x$ image, $y$ head points,
# $F(y)$ density map, $z$ crowd mask, $f$ features. Superscripts are names, not powers: $s$ source,
# $t$ target. A hat marks a prediction. [Appendix B](B_ledger.ipynb) has the full table.
#
# ## Does it hold up?
#
# One world and one training prove little. Here are stored results, with the standard deviation
# over trainings. We trained two counters *without adaptation* and show the better on the target,
# which favours that baseline.

# %%
names = "mini_world", "unity_to_shanghaitech_a", "unity_to_shanghaitech_b"
start_here.show_results(*map(notebook.result, names))

# %% [markdown]
# In five fresh mini worlds the MAE falls from 30.1 ± 16.8 to 8.9 ± 0.8 people. **On real
# photographs it depends on the target.** On ShanghaiTech B (131 people per image) it falls from
# 41.3 ± 5.7 to 28.8 ± 0.5, mostly in one image; on A (554) nothing is gained, 158.2 ± 13.0 and
# 162.7 ± 14.2: the adaptation removes real people along with the background ([notebook 11](11_real_data.ipynb)).
#
# ## Three doors
#
# | you want to | read | time |
# |---|---|---|
# | learn the method | 01 to 08, in order | 5½ hours |
# | judge the result | 01, 09, appendix A | 2 hours |
# | use it on your photographs | 01, 02, 11 | 2 hours |
#
# With one hour, read 05's first section and *Eq. 7 by hand*, then 06.
#
# | notebook | what it is about | minutes |
# |---|---|--:|
# | **00 Start here** | where you are | 22 |
# | [01 Density maps](01_density_maps.ipynb) | F(y): why the sum is the count, and how it gets lost | 30 |
# | [02 Crowd masks](02_crowd_masks.ipynb) | from boxes to pseudo-masks that are wrong in a useful way | 37 |
# | [03 Feature extractor](03_feature_extractor.ipynb) | E, and the domain gap made visible | 37 |
# | [04 Density estimator](04_density_estimator.ipynb) | C, and where a source-only counter goes wrong | 32 |
# | [05 Semantic extractor](05_semantic_extractor.ipynb) | S, pyramid pooling taken apart | 45 |
# | [06 Masked target loss](06_masked_target_loss.ipynb) | Eq. 8–9 by hand, as gradients, against two other losses | 40 |
# | [07 Feature discriminator](07_feature_discriminator.ipynb) | D: balance and failure | 43 |
# | [08 Adversarial training](08_adversarial_training.ipynb) | all of Eq. 5, trained live: the laboratory | 68 |
# | [09 Evaluation](09_evaluation.ipynb) | the results, with their spread, beside the paper's | 41 |
# | [10 Image translation](10_image_translation.ipynb) | CycleGAN and SE CycleGAN, the rivals | 42 |
# | [11 Real data](11_real_data.ipynb) | from a data set or your photograph to a count | 40 |
# | [A Controls](A_controls.ipynb) | the evidence behind 09 | 45 |
# | [B Ledger](B_ledger.ipynb) | what the paper leaves open; to look things up | – |
#
# ## How the notebooks work
#
# - Outputs are stored: you can read without running. *Run All* takes two minutes at most,
#   without a GPU.
# - *Exercises* have a stub and a line `check(...)`, which gives hints. Solutions are linked.
# - *Try it* marks sliders; they need a running kernel.
# - *On Colab*, tick `KEEP_ON_DRIVE` in the first cell to keep runs and answers, and *File > Save
#   a copy in Drive* for what you type.
#
# This check lists what is missing and how to fix it.

# %% tags=["nbval-ignore-output"]
from sdcda_tutorial.cli import doctor

checks = doctor.examine()
print(f"{sum(ok for ok, _, _ in checks)} of {len(checks)} checks passed")
for ok, what, fix in checks:
    if not ok:
        print(what, "->", fix)

# %% [markdown]
# ## Exercises
#
# **0.1 People who are not there** (★, 5 minutes). Image 19 shows 29 people, and the counter
# without adaptation predicts 34.0. Guess how many of the 34 it sees where nobody is. Then fill in
# the stub and check your guess:
# `predict_density(counters["without adaptation"], first_24[19].image)` is the map.

# %%
def background_error(predicted, truth):
    """People of the predicted map (H, W) that lie where the true map (H, W) is zero."""
    raise NotImplementedError


check("0.1", background_error)

# %% [markdown]
# **0.2 Right for the wrong reasons** (★★, 5 minutes, optional). People invented in a tree can
# make up for people missed in the crowd. In each image, how many missed people are hidden by
# invented ones? `predicted` is the count, and `invented` the part of it on the background.

# %%
def hidden_errors(true, predicted, invented):
    """How many missed people are made up for by invented ones; all are arrays with N images."""
    raise NotImplementedError


check("0.2", hidden_errors)

# %% [markdown]
# [Solutions](solutions/00_start_here.ipynb)
#
# > **What this does not show.** How often the paper's premise holds: in the mini world it
# > does. We tuned the settings, with target labels, on this world and three others (λd after a
# > look at five more), not on the five of the results.
#
# ## Take away
#
# - A counter trained on synthetic images sees people in backgrounds that it has never met.
# - S asks E for what is typical of a crowd, D asks it to drop what is typical of a domain.
#   Neither needs a label of the target.
# - A count can be right for the wrong reasons, and a mean can hinge on one image. Look at where
#   the people are.
#
# [01 Density maps →](01_density_maps.ipynb)
