# ---
# jupyter:
#   sdcda:
#     minutes: 40
#     seconds: 20
# ---

# %% [markdown]
# # 11 · Real data
#
# [← 10 Image translation](10_image_translation.ipynb) · [A Controls →](A_controls.ipynb)
#
# **After this notebook you can** check a copy of a real data set, choose synthetic scenes that
# resemble it, rehearse a training before it costs hours, run it, count in photographs of your own,
# and say what the result is worth.
#
# **Time** 40 minutes (optional exercises: +10); runs in 20 s on two cores. **You need** notebook
# 02, and 08 to train. No data set and no GPU: everything runs on the mini world, whose files have
# the formats of the real sets.

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
KEEP_ON_DRIVE = False  # @param {type: "boolean"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

# %%
import os
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

from sdcda_tutorial import masks
from sdcda_tutorial.datasets import GCC, open_dataset, select_scenes
from sdcda_tutorial.datasets.check import check as check_files
from sdcda_tutorial.datasets.scene_regularization import CAPACITY, RULES
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.evaluation import colours, model_card
from sdcda_tutorial.experiments.benchmark import METHOD_TITLES
from sdcda_tutorial.experiments.dry_run import dry_run
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.experiments.statistics import counts
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching import photograph_figures
from sdcda_tutorial.teaching.photograph_figures import better_baseline
from sdcda_tutorial.teaching.broken_copy import broken_copy
from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.training.mask_model import crowd_probability

world = notebook.world(whole=True)
counters = {METHOD_TITLES[name]: notebook.counter(name) for name in ("noadapt", "se+fd")}

# %% [markdown]
# ## Your data, or the mini world
#
# Two environment variables say which sets this notebook opens: the name of a format, a colon, a
# folder. Both must be labelled; the target's labels are for looking and measuring only. Without the
# variables the mini world takes their place, as in the stored outputs.
#
# ```bash
# SDCDA_SOURCE=gcc:~/data/GCC SDCDA_TARGET=shanghaitech-b:~/data/ShanghaiTech make lab
# ```

# %%
SOURCE = os.environ.get("SDCDA_SOURCE", "mini-source")
TARGET = os.environ.get("SDCDA_TARGET", "mini-target")
source, target = open_dataset(SOURCE, "train"), open_dataset(TARGET, "train")

figure, axes = plt.subplots(2, 3, figsize=(9, 4.8), layout="constrained")
for row, (part, dataset) in zip(axes, {"source": source, "target": target}.items()):
    for axis, index in zip(row, np.linspace(0, len(dataset) - 1, 3).astype(int)):
        sample = dataset[index]
        axis.imshow(sample.image)
        axis.scatter(*sample.points.T, s=6, color=colours.HEADS, edgecolors="black", linewidths=0.3)
        axis.set_title(f"{part}: {sample.count} people")
        axis.set_axis_off()
notebook.show(
    figure, "First, middle and last training image of source (top) and target (bottom), with heads."
)

# %% [markdown]
# Before you train anything, look at three things. Are the points on *heads*? How wide is a head,
# in pixels, in either domain? A counter may fail on heads several times wider than those it
# learned from. And what fills the *background* of the target: is anything like it in the source?
#
# ## Get the data
#
# [data/README.md](../data/README.md) says where to get each set, its terms and its layout.
#
# | set | role | what it takes |
# |---|---|---|
# | GCC | source: heads, exact masks, hour, weather | 15,212 images; the masks alone take 32 GB |
# | Unity crowd | a source that anybody can have today | 232 images, free, no masks |
# | ShanghaiTech A, B | target | 482 and 716 images; B takes about 0.1 GB |
# | UCF-QNRF | target | 1,535 photographs, 2013 × 2902 pixels on average |
# | CrowdHuman | boxes for the mask model | 19,370 labelled images; not for commercial use |
# | your own | target without labels; test set with your points | *Your own photographs*, below |
#
# ## Check the copy
#
# A damaged file may stop a training after hours, so ask first: `sdcda data check NAME FOLDER`, with
# `--full` to open every file. To see what it finds we damage a small copy of the target on purpose:
# one image cut in half, one annotation missing, one annotation that belongs to another image, and a
# stray file.

# %%
copy = broken_copy(Path("build/broken_copy"))
report = check_files("shanghaitech-b", copy, progress=False)
for tally in report.tallies[:2]:
    print(f"{tally.what}: {tally.found} of the {tally.published} published")
for finding in [*report.faults, *report.notes]:
    message = finding.message.replace(f"{Path(finding.path).parent}/", "").partition(" (")[0]
    print("fault:" if finding.fault else "note: ", message)

# %% [markdown]
# A *fault* has to be fixed before training, and makes the command end with exit code 1. Fewer
# images than published are no fault, but an image without its annotation is.
#
# The check lists three of our four damages. GT_IMG_7.mat, which belongs to image 1, is well formed:
# two images have the same heads. Exercise 11.1 asks for a check that sees this.
#
# ## Choose the scenes
#
# GCC has nights, storms, and squares with three people. The paper keeps only scenes like the
# target's, and the authors' later code says how: by *level* (how many people the place holds),
# hour, weather, count and how full the place is. No label of the target is read. In a training the
# option is `--scenes shb`.

# %%
gcc = source if isinstance(source, GCC) else world.source
records = gcc.scene_records()
kept = {record.name for record in select_scenes(records, "shb")}
print(f"shb: {RULES['shb']}: {len(kept)} of {len(records)}")
by_name = {name: index for index, name in enumerate(gcc.names)}
figure, axes = plt.subplots(1, 6, figsize=(10, 2.1), layout="constrained")
chosen = [[r for r in records if (r.name in kept) == wanted][:3] for wanted in (True, False)]
for axis, r, word in zip(axes, sum(chosen, []), ["kept"] * 3 + ["left out"] * 3):
    axis.imshow(gcc.read_image(by_name[r.name]))
    facts = f"{r.count} of {CAPACITY[r.level]} people\nhour {r.hour}, weather {r.weather}"
    axis.set_title(f"{word}\n{facts}", fontsize=8)
    axis.set_axis_off()
notebook.show(
    figure,
    "The first three images that the rule shb keeps, and that it leaves out; above each how many "
    "people it shows, of those that its place can hold.",
)

# %% [markdown]
# The rule is made for streets by day and keeps 164 of 400 images. (Weather 0 is clear, 1 clouds,
# 5 overcast, 6 extra sunny.) `sha` and `qnrf` name the rules for the other targets. Whether a rule
# *helps* is another question.
#
# ## Look at the pseudo-masks
#
# Notebook 02 made them. With real data the boxes are CrowdHuman's, or the mini world's. Look at a
# few masks before you train on all of them:

# %% sdcda={"tolerance": {"abs": 1.5}}
settings, segmenter = MINI.segmenter, notebook.segmenter()
figure, axes = plt.subplots(2, 3, figsize=(10, 5.2), layout="constrained")
heads = outside = 0
for axis, index in zip(axes.flat, np.linspace(0, len(target) - 1, 6).astype(int)):
    sample = target[index]
    probability = crowd_probability(segmenter, sample.image)
    z = masks.from_probability(probability, settings.threshold, dilate=settings.dilate)
    missed = z[tuple(sample.points.astype(int).T[::-1])] == 0
    heads, outside = heads + sample.count, outside + missed.sum()
    axis.imshow(np.where(z[..., None] == 1, sample.image, sample.image // 3))
    cross = dict(s=40, marker="X", color=colours.VERMILION, edgecolors="white", linewidths=0.6)
    axis.scatter(*sample.points[missed].T, **cross)
    share = f"{100 * z.mean():.0f} %"
    axis.set_title(f"crowd: {share}, heads outside: {missed.sum()} of {sample.count}")
    axis.set_axis_off()
print(f"outside the masks: {outside} of {heads} heads")
notebook.show(
    figure,
    "Six target images with the share of pixels that the mask calls crowd. Its background is dark; "
    "a cross is a head outside.",
)

# %% [markdown]
# Three things can go wrong, and you can see each:
#
# - *Nearly everything is crowd.* Eq. 8–9 have little background to learn from. Raise `--threshold`,
#   or train the mask model on people as wide as the target's (`--scale`).
# - *People in the dark.* The counter learns to overlook them. Lower the threshold.
# - *The right amount in the wrong places.* The domain of the boxes is too different from the
#   target. No threshold fixes that.
#
# Crosses come from the target's labels: tuning the threshold until they are gone uses them.
#
# ## Rehearse
#
# `--dry-run` builds everything that a training needs, with your data and your settings, takes two
# real steps, and predicts what the whole run costs. It writes nothing.

# %% tags=["nbval-ignore-output"]
experiment = Experiment(Path("build/dry_run"), MINI, source, target, boxes=world.third)
for line in str(dry_run(experiment, "se+fd")).splitlines():
    print(textwrap.fill(line, 100, subsequent_indent="    "))

# %% [markdown]
# Read three numbers. *Peak memory*: does it fit? *Step and loading*: without workers, the two
# times add up. N workers load during the step, so only the longer of step and loading / N counts.
# *Time*: seconds per step, times the steps (exercise 11.3).
#
# ## Train
#
# From nothing to a table, for GCC to ShanghaiTech B, on a machine with a GPU:
#
# ```bash
# sdcda data check gcc ~/data/GCC --full                # and crowdhuman, and shanghaitech-b
#
# sdcda masks --preset paper --boxes crowdhuman:~/data/CrowdHuman \
#     --target shanghaitech-b:~/data/ShanghaiTech --out runs/shb
#
# sdcda train --preset paper --method se+fd --source gcc:~/data/GCC --scenes shb \
#     --target shanghaitech-b:~/data/ShanghaiTech --masks runs/shb/masks --out runs/shb --dry-run
# ```
#
# Is the report good? Repeat the last command without `--dry-run`, then train the baseline and
# compare:
#
# ```bash
# sdcda train --preset paper --method noadapt --source gcc:~/data/GCC --scenes shb --out runs/shb
#
# sdcda evaluate --target shanghaitech-b:~/data/ShanghaiTech \
#     --checkpoint runs/shb/noadapt/model.safetensors --checkpoint runs/shb/se+fd/model.safetensors
# ```
#
# | problem | option |
# |---|---|
# | the run was killed | the same command with `--resume`: it continues from its last checkpoint, about five minutes old at most |
# | Colab disconnected | the same, if you had ticked `KEEP_ON_DRIVE` in the first cell ([how](../docs/colab.md)) |
# | out of memory | `--checkpoint-activations`: slower, same result |
# | loading takes longer than the step | `--workers N` |
#
# ## Read the result
#
# Every checkpoint carries a card. `sdcda evaluate` and `sdcda predict` print it, so that a number
# is never far from its model.

# %%
for line in model_card.text(Path("data/checkpoints/se+fd.safetensors")).splitlines():
    print(textwrap.fill(line, 100, subsequent_indent="            "))

# %% [markdown]
# This counter has seen only the mini world. The line *chosen* is on held-out images of the
# **source**: 4.54 people at step 225. Only the last line *measured* has seen the target's labels:
# 9.57. A model chosen on the target's test images cannot be measured on them.
#
# ## Your own photographs
#
# **How wide is a head?** These counters learned from heads of a few pixels. Here is what one of
# them says about the same image at three sizes:

# %% sdcda={"tolerance": {"rel": 0.05, "abs": 2}}
first, counter = open_dataset(TARGET, "test")[0], counters["SE+FD"]
for factor in (0.5, 1, 2):
    seen = resize_image(first.image, tuple(round(side * factor) for side in first.size))
    density = predict_density(counter, seen)
    print(f"{seen.shape[1]:>4} pixels wide: {float(density.sum()):6.1f} of {first.count} people")

# %%
from sdcda_tutorial.teaching.demos.own_photo import own_photo, render_own_photo

notebook.show(
    render_own_photo(first.image, counters, counter="SE+FD", side=256, opacity=0.8),
    "A synthetic image of the mini world's target as the counter sees it, and with the predicted "
    "density laid over it.",
)

# %% [markdown]
# The count runs from 83 to 171 on the same image, which shows 182 people. Without the label you
# could not tell which size is best. Start at the head width of the training, then try larger sizes
# (here doubling was better), and count some photographs by hand.
#
# **Try it.** Choose a photograph (JPEG or PNG, at most 10 MB). It stays on the machine that runs
# this notebook. Move the size and watch the count. Which one would you believe?

# %% tags=["nbval-ignore-output"]
own_photo(counters, first.image)

# %% [markdown]
# To *train* for your photographs, give their folder as the target, without labels; a laptop will
# do. `predict` then counts, also in larger files and in many:
#
# ```bash
# sdcda masks --preset photos --target images:~/photos --size 576 --out runs/photos
# sdcda train --preset photos --source shanghaitech:~/data/UNITY --target images:~/photos \
#     --size 576 --masks runs/photos/masks --out runs/photos
# sdcda predict --checkpoint runs/photos/se+fd/model.safetensors --max-side 576 ~/photos/*.jpg
# ```
#
# Once you have counted some by hand, write the heads into a CSV file with lines `image,x,y` and
# make a test set of it:
#
# ```bash
# sdcda data make heads.csv ~/photos ~/data/mine --split test
# sdcda evaluate --target shanghaitech:~/data/mine --size 576 \
#     --checkpoint runs/photos/se+fd/model.safetensors
# ```
#
# ## What happened on real photographs
#
# We adapted from the Unity crowd to samples of ShanghaiTech A and B: 120 unlabelled training images
# each, 60 and 80 test images. The mask model learned from boxes of the mini world, and λd is 0.00001,
# a hundredth of the mini world's. All rows start from the same counter, trained on Unity with Eq. 6
# and 7. Unity has no masks, so we drew rectangles around its heads. *NoAdapt (early)* is that counter;
# *NoAdapt* goes on training without the target.
#
# We chose the settings on seed 0 without target labels, with two exceptions: λt and the masks. In a
# first round on A we had changed both; it did worse than NoAdapt on A's test images, so we went back.
# That choice used test labels. B's test images had been read before as well, and four other
# seeds ran with the final settings. The four seeds below are fresh
# ([all rounds](../docs/results.md#real-photographs)).

# %%
results = {part: notebook.result(f"unity_to_shanghaitech_{part.lower()}") for part in "AB"}
for part, found in results.items():
    quality = found["mask_quality"].values()
    share, inside = (np.mean([q[k] for q in quality]) for k in ("crowd_share", "heads_inside"))
    people = found["cells"][0]["mean_count"]
    about = f"{people:.0f} people per image; masks: {share:.0%} crowd, {inside:.1%} of the heads"
    table = photograph_figures.photographs_table(found)
    display(Markdown(f"**{part}**: {about}\n\n{table}"))

# %% [markdown]
# On B the MAE is 28.8 ± 0.5 with SE+FD and 41.3 ± 5.7 after source-only training. On A
# SE and SE+FD gain nothing: 162.7 ± 14.2 against 158.2 ± 13.0 (FD, at 150.0 ± 7.1, is undecided, as the
# next table shows). There SE removes 24 people per image from the background, but 59 from the crowd.
# Heads outside the masks are not the reason: with masks that cover every head ("masks perfect") it
# removes 102 from the crowd.
#
# Does the gain rest on a few images? The table leaves out the images whose error falls most ("best")
# or rises most ("worst"). The interval is a bootstrap: it resamples seeds and images.

# %%
for part, found in results.items():
    display(Markdown(f"**{part}**\n\n{photograph_figures.gains_table(found)}"))

# %%
for part, found in results.items():
    notebook.show(
        photograph_figures.predicted_against_true(found, (better_baseline(found), "se+fd")),
        f"{part}: predicted against true counts, four seeds; the line is a perfect count. "
        "Rings: the image whose error falls most.",
    )
    gains = photograph_figures.gains(found, "se+fd")
    print(f"{part}: the error falls by {gains.max():.0f} people in the image that gains most,",
          f"by {gains.sum():.0f} in all images together")
    before, after = (
        np.mean(counts(found, method, "background"), axis=0)
        for method in (better_baseline(found), "se+fd")
    )
    most, others = gains.argmax(), gains < gains.max()
    print(f"   on its background from {before[most]:.0f} to {after[most]:.0f} people, on that of",
          f"the others from {before[others].mean():.1f} to {after[others].mean():.1f}")

# %% [markdown]
# On B SE+FD is better on all four seeds, but on only half of the images. The interval excludes 0,
# and three fifths of the gain is *one* image (606 of 1003 people), which shows 48 people and a hedge.
# There the background falls from 729 to 117 people, as the method promises; on the other 79 images it
# *rises*, from 51.0 to 60.0. On A SE+FD undercounts full images even more. Most of A's
# background error is close to heads: [only 11.4 people](../docs/results.md#real-photographs) are
# predicted further from everybody than twice the spacing of the nearest head. The source-only counter
# counts too many where heads stand apart (252.1 of 224.1) and too few where they are close (203.4 of
# 248.9). The likely cause is scale: heads of other sizes than in training. We have not tested this.
#
# ## Exercises
#
# Fill in a stub and run the cell.
#
# **11.1 The annotation that the check cannot see** (★★, 8 minutes). Two images of a set have
# the same heads. Write the missing check. Do not report empty scenes, although their lists of
# heads are equal.

# %%
def repeated(heads):
    """{name: (N, 2) array of points} -> sorted names of images whose points another has, too."""
    raise NotImplementedError


check("11.1", repeated)

# %% [markdown]
# **11.2 Heads of GCC** (★, 4 minutes, optional). GCC stores a head as (row, column), whole
# numbers, the index of a pixel. Here a point is (x, y), and (0, 0) is the *corner* of the first
# pixel. Convert to the middle of the pixels.

# %%
def points_of_gcc(location):
    """(N, 2) whole numbers (row, column) -> (N, 2) floats (x, y)."""
    raise NotImplementedError


check("11.2", points_of_gcc)

# %% [markdown]
# **11.3 When will it be done?** (★★, 6 minutes, optional). From the numbers of a dry run, without
# validations.

# %%
def hours_left(steps, done, step, loading, workers):
    """Hours left when `done` of `steps` are done; `step` and `loading` in seconds, as reported."""
    raise NotImplementedError


check("11.3", hours_left)

# %% [markdown]
# [Solutions](solutions/11_real_data.ipynb)
#
# > **What this does not show.** The result rests on one source, two samples, and small networks
# > trained from scratch. Do not compare our MAE, on a sample, with the paper's 16.9 and 129.3, on whole
# > test splits. We have not been able to try the paper's full setting, with GCC and ImageNet's
# > weights.
#
# ## Take away
#
# - Check the copy, look at points and masks, rehearse, then train: minutes now save hours later.
# - Choose the source by what you know about the target, the checkpoint by its error on held-out source
#   images. Use the target's labels once, to measure; where we used them more
#   often, we say so.
# - Look behind a mean, at the single images. Here one image of 80 holds three fifths of the gain.
#
# [← 10 Image translation](10_image_translation.ipynb) · [A Controls →](A_controls.ipynb)
