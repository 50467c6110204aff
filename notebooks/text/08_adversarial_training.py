# ---
# jupyter:
#   sdcda:
#     seconds: 120
# ---

# %% [markdown]
# # 08 · Adversarial training
#
# [← 07 Feature discriminator](07_feature_discriminator.ipynb) · [09 Evaluation →](09_evaluation.ipynb)
#
# **After this notebook you can** recite one step of the method, say which loss moves which network, train it yourself,
# stop and resume it without losing anything, and read its curves without reading too much into them.
#
# **Time** 45 minutes to read and try; runs in about two minutes on two CPU cores, half of it one live training. **You
# need** notebooks 04 to 07.

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
from sdcda_tutorial.experiments.presets import METHODS, MINI, PAPER

notebook.begin()

# %%
import itertools
import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from sdcda_tutorial.teaching import method_drawing
from sdcda_tutorial import losses, training
from sdcda_tutorial.evaluation import colours, evaluate, pictures
from sdcda_tutorial.evaluation.colours import DENSITY
from sdcda_tutorial.experiments.benchmark import METHOD_TITLES
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.adaptation import Adaptation, Networks
from sdcda_tutorial.training.counter_training import AdaptationOnDevice, networks_of
from sdcda_tutorial.datasets.batches import SOURCE, TARGET, Augmentation, Batches, PseudoMasked
from sdcda_tutorial.training.checkpoints import load, load_counter
from sdcda_tutorial.teaching.demos.training_replay import column, read_log, render_training_replay, training_replay

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # which precision it uses differs between machines

method_drawing.show()

# %% [markdown]
# All parts are lit: this is the notebook in which they meet. Their losses are added up,
#
# $$L(X^s, X^t; \theta_e, \theta_s, \theta_c) =
# L^s_{den} + \lambda^s L^s_{seg} + \lambda^t L^t_{seg} + \lambda^d L_{adv} \tag{5}$$
#
# and the sum moves E, C and S. D is not in the list of what it moves: D has a loss of its own.
#
# ## Look first: what one step is given
#
# A step gets a batch of the source, with density maps and masks, and a batch of the target, with nothing but the
# pseudo-masks. These are written now, by the mask model of notebook 02, for every second target image.

# %% tags=["nbval-ignore-output"]
world = notebook.world()
target = world.target.subset(range(0, 200, 2))
folder = Path(tempfile.mkdtemp())
masks = training.write_pseudo_masks("data/checkpoints/segmenter.safetensors", target, folder / "masks")

# %%
config = MINI.method("se+fd")
source_batch = Batches(world.source, 4, config.source, seed=0, stream=SOURCE, kernel=config.kernel)[0]
target_batch = Batches(PseudoMasked(target, masks), 4, config.target, seed=0, stream=TARGET)[0]
for name, batch in {"source": source_batch, "target": target_batch}.items():
    print(name, {key: tuple(value.shape) for key, value in batch.items()})

rows = [
    ("xs", source_batch["image"]), ("F(ys)", source_batch["density"]), ("zs", source_batch["mask"]),
    ("xt", target_batch["image"]), ("pseudo-mask zt", target_batch["mask"]),
]
figure, axes = plt.subplots(len(rows), 4, figsize=(7, 7.2), layout="constrained")
for line, (title, values) in zip(axes, rows):
    for axis, value in zip(line, values):
        axis.imshow(value.permute(1, 2, 0) if len(value) == 3 else value[0], cmap=DENSITY if "F" in title else "gray")
        axis.set(xticks=[], yticks=[])
    line[0].set_ylabel(title)
notebook.show(
    figure,
    "One batch. The first three rows are four source crops with density maps and masks, the last two are four target "
    "crops and their pseudo-masks, white where they say crowd. There is no density map for the target.",
)

# %% [markdown]
# ## The loop, line by line
#
# ### What there is
#
# E and C make the counter, S exists if λs or λt asks for it. Both domains pass through E together. C sees the features
# of the source only, because only the source has density maps to compare with.

# %%
notebook.code(Networks)

# %% [markdown]
# `Adaptation` holds these networks and D, which exists if λd asks for it.

# %%
notebook.code(Adaptation.__init__)

# %% [markdown]
# ### What moves it
#
# Two optimisers: one for $\theta_e, \theta_c, \theta_s$ together, the left side of Eq. 5, and one for $\theta_d$. The
# *running mean* of the weights becomes the model, since single steps swing the counts up and down. `fabric` (Lightning
# Fabric) only puts things on the device and sees to the precision. What `hardware` says (memory, workers, several devices)
# matters on a GPU, in notebook 11.

# %%
notebook.code(AdaptationOnDevice.begin)

# %% [markdown]
# ### The step
#
# The step in one piece. Read it beside the equations; `B` is the number of source images:
#
# | | | in the code |
# |---|---|---|
# | $f^s, f^t = E(x^s), E(x^t)$ | Eq. 1 | `f[:B]`, `f[B:]` |
# | $L^s_{den}$: $C(f^s)$ against $F(y^s)$ | Eq. 4, 6 | `terms["density"]` |
# | $L^s_{seg}$: $S(f^s)$ against $z^s$ | Eq. 2, 7 | `terms["seg_source"]` |
# | $L^t_{seg}$: $S(f^t)$ against the background of $z^t$ | Eq. 2, 8, 9 | `terms["seg_target"]` |
# | $L_{adv} = -\log D(f^t)$ | Eq. 3, 10 | `terms["adversarial"]` |
# | $L$ | Eq. 5 | `losses.total_loss` |

# %%
notebook.code(Adaptation.step, losses.total_loss)

# %% [markdown]
# Two details carry the adversarial part. While E learns from Eq. 10, D's weights are frozen: the gradient passes *through*
# D to the features and leaves nothing behind. And D afterwards gets `f.detach()`: the same numbers without the way back
# to E.

# %%
notebook.code(Adaptation.fixed, Adaptation.minimise)

# %% [markdown]
# ### Which loss moves which network
#
# This can be measured instead of believed: take each loss alone, and look in which networks a gradient arrives. The last
# two lines leave out the two details.

# %%
on_cpu = training.Hardware(accelerator="cpu", precision="32-true")
fabric = on_cpu.launch()
adaptation = AdaptationOnDevice(config, fabric)
E, C, S, D = adaptation.networks.counter.E, adaptation.networks.counter.C, adaptation.networks.S, adaptation.D

n = len(source_batch["image"])
density, mask_logits, f = adaptation.networks(source_batch["image"], target_batch["image"])
terms = {
    "Eq. 6, density": losses.density_loss(density, source_batch["density"] * config.label_factor),
    "Eq. 7, mask of the source": losses.source_segmentation_loss(mask_logits[:n], source_batch["mask"]),
    "Eq. 9, background of the target": losses.target_segmentation_loss(mask_logits[n:], target_batch["mask"]),
    "Eq. 10, adversarial, D frozen": losses.adversarial_loss(D.requires_grad_(False)(f[n:])),
    "D's loss on detached features": losses.discriminator_loss(D.requires_grad_(True)(f[:n].detach()), D(f[n:].detach())),
    "   Eq. 10, D not frozen": losses.adversarial_loss(D(f[n:])),
    "   D's loss, detach forgotten": losses.discriminator_loss(D(f[:n]), D(f[n:])),
}
print(" " * 32, "E  C  S  D")
for name, term in terms.items():
    marks = []
    for network in (E, C, S, D):
        gradients = torch.autograd.grad(term, list(network.parameters()), retain_graph=True, allow_unused=True)
        marks.append("x" if any(g is not None and bool(g.any()) for g in gradients) else ".")
    print(f"{name:32}", "  ".join(marks))

# %% [markdown]
# Every term of Eq. 5 reaches E: that is how S and D, which are thrown away after training, can change a counter. Without
# the first detail, Eq. 10 would also teach D to be fooled. Without the second, D's loss would teach E to make the domains
# *easy* to tell apart, the opposite of what it is there for.
#
# ### A λ of zero switches its part off
#
# No adaptation, SE, FD and SE+FD are this one loop. Below, one step of each, with random weights, tells which parts
# exist and which losses come out.

# %%
print(f"{'method':8} {'λs':>6} {'λt':>6} {'λd':>6}  S    D    target  losses of one step")
for method in METHODS:
    one = MINI.method(method)
    adaptation = AdaptationOnDevice(one, fabric)
    adaptation.begin()
    made = adaptation.step(source_batch, target_batch if one.needs_target else None)
    w = one.weights
    has = ["yes" if part else "no" for part in (adaptation.networks.S, adaptation.D, one.needs_target)]
    print(f"{method:8} {w.seg_source:6g} {w.seg_target:6g} {w.adversarial:6g}  {has[0]:4} {has[1]:4} {has[2]:7} {', '.join(made)}")

# %% [markdown]
# So an ablation cannot differ from the method in anything but what its name says: same batches, same seed, same schedule.
#
# ## Train it
#
# The real method by the package's public function, with the mini preset and fewer steps. It starts from `noadapt-early`, a
# counter trained on the source alone like notebook 04's but stopped earlier; every adapted method of the long runs starts
# from such a one. It was trained in *another* mini world than this one, and so was the mask model. A twentieth of the
# source is held out to choose the model; no label of the target is read. The second training is a control: the same start, the same number of steps, all λ zero.

# %% tags=["nbval-ignore-output"]
early = "data/checkpoints/noadapt-early.safetensors"
short = {"steps": 120, "validate_every": 30, "holdout": 0.05}
began = time.perf_counter()
adapted = training.adapt(
    world.source, target, replace(config, **short), folder / "se+fd", pseudo_masks=masks, init=early, description="SE+FD"
)
print(f"SE+FD: {time.perf_counter() - began:.0f} s")

# %% tags=["nbval-ignore-output"]
began = time.perf_counter()
control = training.adapt(
    world.source, None, replace(MINI.method("noadapt"), **short), folder / "control", init=early, description="control"
)
print(f"control: {time.perf_counter() - began:.0f} s")

# %%
print("in the run's folder:", ", ".join(sorted(path.name for path in (folder / "se+fd").iterdir())))
log = read_log(folder / "se+fd" / "metrics.jsonl")
chosen = load(adapted)[1]["chosen"]["step"]
print("steps:", log[-1]["step"], "  chosen from the second half:", chosen >= 60)

figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
for name, label, colour in [
    ("density", "Eq. 6, density", colours.BLUE), ("seg_source", "Eq. 7, source mask", colours.GREEN),
    ("seg_target", "Eq. 9, target background", colours.VERMILION), ("adversarial", "Eq. 10, adversarial", colours.PURPLE),
]:
    axes[0].plot(*column(log, name), color=colour, label=label)
axes[0].set(yscale="log", xlabel="step", ylabel="loss of one batch", ylim=(1e-6, 10))
axes[0].legend(fontsize=7, loc="lower left", ncols=2)
axes[1].plot(*column(log, "discriminator"), color="black", label="D's loss")
axes[1].axhline(0.693, color="black", linestyle=":", linewidth=0.8, label="log 2: D knows nothing")
axes[1].plot(*column(log, "D_accuracy"), "o-", markersize=3, color=colours.ORANGE, label="share of right answers")
axes[1].set(xlabel="step", ylim=(0, 1.4))
axes[1].legend(fontsize=7, loc="upper right")
axes[2].plot(*column(log, "validation"), "s-", color=colours.BLUE)
axes[2].set(xlabel="step", ylabel="MAE, held-out source", ylim=(0, 1.3 * max(column(log, "validation")[1])), xlim=(0, 125))
notebook.show(
    figure,
    "The live run. Left its losses, before their λ. Middle D's loss and the share of its answers that are right. Right "
    "the error on held-out source images, by which the model was chosen.",
)

# %% [markdown]
# Three things to know when reading such curves. A point is *one* batch, not a mean, so the curves are ragged; D gives one
# answer for each of the 8 crops, so its share of right answers moves in eighths. The losses are on different scales, and
# which of them moves E most cannot be read off: that takes the λ and the gradients. And nothing here is an error on the
# target. Whether it worked, these curves cannot say.
#
# To the right, the first half is not eligible, since S and D have hardly begun there. Where the held-out error rises after
# that, learning for the target may have cost a little on the source.
#
# ## Did it help?
#
# Now the labels of the target's *test* images are opened, for every third of them. The *background error* is the number of
# people predicted where the true density is zero. (This world is one of those on which the settings, λd among them, were
# tuned: the figures here are to look at. Those of fresh worlds follow below.)

# %%
test = world.target_test.subset(range(0, 150, 3))
models = {"before": load_counter(early)[0], "control": load_counter(control)[0], "SE+FD": load_counter(adapted)[0]}
results = {name: evaluate(model, test, kernel=config.kernel, progress=False) for name, model in models.items()}

before = results["before"]
for name in ("control", "SE+FD"):
    print(f"{name:8} background error less than half of that before: {results[name].background < before.background / 2}")
print("SE+FD    error of the count (MAE) less than two thirds of that before:", results["SE+FD"].mae < before.mae * 2 / 3)

# %%
colour_of = {"before": colours.SKY, "control": colours.BLUE, "SE+FD": colours.VERMILION}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", width_ratios=[2, 3])
for k, (name, found) in enumerate(results.items()):
    axes[0].bar([k, k + 4], [found.background, found.mae], color=colour_of[name], label=name)
    axes[1].scatter([r.count for r in found.rows], [r.predicted for r in found.rows], s=12, color=colour_of[name], label=name)
axes[0].set_xticks([1, 5], ["background error", "MAE"])
axes[0].set_ylabel("people an image")
axes[0].legend(fontsize=8)
line = [0, max(r.count for r in before.rows)]
axes[1].plot(line, line, color="black", linewidth=0.8)
axes[1].set(xlabel="true count", ylabel="predicted count")
axes[1].legend(fontsize=8)
notebook.show(
    figure,
    "Left, mean errors on the target's test images before, after the control and after the live training. Right, "
    "each image's predicted count over its true one; on the black line they agree.",
)

samples = [test[i] for i in sorted(range(len(test)), key=lambda i: -before.rows[i].background)[:2]]
notebook.show(
    pictures.panel(
        samples,
        [config.kernel.draw(sample) for sample in samples],
        {name: [predict_density(model, sample.image) for sample in samples] for name, model in models.items()},
    ),
    "The two test images with the largest background error before. From left: image, true map, and the maps before, "
    "after the control, and after the live training, with their counts. Each row has the colour scale of its true map.",
)

# %% [markdown]
# The printed lines are cautious, so that they hold on every processor; the bars show how much it was here. The training
# with the target took away most of the people that were never there; as many steps *without* the target did not.
#
# **What this does not prove.** It is one run in one drawn world whose target differs from its source mostly by its background.
# It does not tell how much of the gain is S's and how much D's: the table further down does. And a control that trains on
# is not every control one could wish for; notebook 09 has more.
#
# ## Stop and go on
#
# A long training is interrupted sooner or later. Each time it validates, a run writes all it needs to go on, weights,
# optimisers and the number of the step, into one file that is replaced in one go. Everything random in a step is a
# function of the seed and the step's number: the crops, the flips, the dropout. So a resumed run should not merely end
# *near* the unbroken one.
#
# Below, six small steps that save after every second; the power fails in the fourth.

# %% tags=["nbval-ignore-output"]
small = Augmentation((128, 128))
tiny = replace(config, steps=6, batch_size=2, validate_every=2, holdout=0.0, source=small, target=small)


def train(name, resume=False):
    """A tiny run in a folder of its own, on the CPU."""
    return training.adapt(
        world.source, target, tiny, folder / name, pseudo_masks=masks, init=early, hardware=on_cpu, resume=resume
    )


def power_cut(adaptation, source, target, calls=itertools.count(1), step=AdaptationOnDevice.step):
    """A step like any other, until the fourth."""
    if next(calls) == 4:
        raise RuntimeError("power cut")
    return step(adaptation, source, target)


train("unbroken")
try:
    with patch.object(AdaptationOnDevice, "step", power_cut):
        train("broken")
except RuntimeError as error:
    print(error)
kept_step = load(folder / "broken" / "last.safetensors")[1]["state"]["step"]
resumed_model = train("broken", resume=True)

# %%
print("steps in the file after the power cut:", kept_step)
unbroken, resumed = (load(folder / name / "last.safetensors")[0] for name in ("unbroken", "broken"))
print("same names:", unbroken.keys() == resumed.keys())
print("weights, running mean and optimisers equal, bit for bit:", all(torch.equal(unbroken[k], resumed[k]) for k in unbroken))

# %% [markdown]
# Step 3 was done, lost and done again, with the same result. "Bit for bit" holds on the same machine with the same number
# of threads; on a GPU, or on another processor, sums are added up in another order, and the last digits differ.
#
# ## The same on the command line
#
# ```bash
# sdcda train --method se+fd --preset mini --out runs/mine              # mask model, masks, warm start and adaptation
# sdcda train --method se+fd --preset mini --out runs/mine --resume     # go on after an interruption
# sdcda train --method se --preset mini --out runs/mine                 # the same without D; shares what it can
# sdcda evaluate --checkpoint runs/mine/se+fd/model.safetensors
# ```
#
# `--steps`, `--lambda-s`, `--lambda-t`, `--lambda-d` and `--seed` change one thing at a time.
#
# ## On a GPU
#
# The paper's scale is the same loop with other settings: full width, crops of 480 × 640, batches of 8 + 8. There the
# convolutions run in half precision ("mixed"), while the losses and the weights stay in float32.

# %%
paper = PAPER.method("se+fd")
print("crop", paper.source.crop, " batch", paper.batch_size, "+", paper.batch_size, " stride", paper.stride)
for name, part in {"mini": config, "paper": paper}.items():
    networks, _ = networks_of(part)
    sizes = {"E": networks.counter.E, "C": networks.counter.C, "S": networks.S}
    print(name, {key: f"{sum(p.numel() for p in value.parameters()) / 1e6:.1f} million" for key, value in sizes.items()})

# %%
def two_steps(config, fabric):
    """Two steps of the method on random images: does it fit, and how long does the second one take?"""
    adaptation = AdaptationOnDevice(config, fabric)
    adaptation.begin()
    size = (config.batch_size, 1, *config.source.crop)
    make = lambda: {
        "image": torch.rand(size[0], 3, *size[2:]), "density": torch.rand(size) / 1000, "mask": (torch.rand(size) < 0.3).float()
    }
    for _ in range(2):
        source, target = fabric.to_device((make(), make()))
        began = time.perf_counter()
        terms = adaptation.step(source, target)
        float(terms["density"])  # waits for the device
        seconds = time.perf_counter() - began
    return seconds


if torch.cuda.is_available():
    hardware = training.Hardware()
    seconds = two_steps(paper, hardware.launch())
    print(torch.cuda.get_device_name(0), hardware.resolved_precision())
    print(f"{seconds:.2f} s a step, at most {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of its memory")
else:
    print("There is no GPU here, so nothing was run: on a CPU one such step takes minutes.")
    print("In Colab: Runtime > Change runtime type > T4 GPU, then run this notebook again.")

# %% [markdown]
# With a GPU this cell tells its name, the precision and the time of a step, so a test that compares outputs finds a
# difference here. If the memory does not suffice, lower `batch_size`: `two_steps(replace(paper, batch_size=4), ...)`. What the paper
# preset reaches on the real data sets has not been measured in this project.
#
# ## The long runs
#
# One run proves little. These are the measured figures of the full mini preset, one new world and one new training for each
# seed, errors on the target's test images.

# %%
measured = notebook.result("mini_world")
seeds, hardware = measured["seeds"], measured["provenance"]["hardware"]
print(f"{len(seeds)} seeds; {hardware['processor']}, {hardware['precision']}; {measured['provenance']['date']}")
print(f"{'':24} MAE, people      background error    error in the crowd")
for method, title in METHOD_TITLES.items():
    if f"{method} / target" in measured["summary"]:
        row = measured["summary"][f"{method} / target"]
        print(f"{title:24}", "      ".join(f"{row[k]['mean']:6.1f} ± {row[k]['sd']:4.1f}" for k in ("mae", "background", "crowd")))

# %%
mae = {(cell["method"], cell["seed"]): cell["mae"] for cell in measured["cells"] if cell["domain"] == "target"}


def wins(method, rival):
    """In how many seeds `method` has the lower error of the count on the target."""
    return f"{sum(mae[method, seed] < mae[rival, seed] for seed in seeds)} of {len(seeds)} seeds"


print("SE better than NoAdapt in   ", wins("se", "noadapt"))
print("FD better than NoAdapt in   ", wins("fd", "noadapt"))
print("SE+FD better than NoAdapt in", wins("se+fd", "noadapt"))
print("SE+FD better than SE in     ", wins("se+fd", "se"))

# %% [markdown]
# The ± is the spread over seeds. Compare the lines with one another before you compare them with the paper: in its Table 1
# only SE+FD is listed, so it does not tell what S does without D. The last lines count in how many seeds one method beats
# another; notebook 07 looks closer at D. These are counts in a drawn world: they do not say what D would do between a game
# and photographs.
#
# ## Move it
#
# The training replay shows the logs of the stored models. Compare D's balance in `fd` and in `se+fd`, and look at what
# `noadapt` does not have.

# %%
logs = {method: read_log(notebook.CHECKPOINTS / f"{method}.jsonl") for method in METHODS}
notebook.show(
    render_training_replay(logs, "se+fd", 150),
    "Training replay of SE+FD after 150 steps: the losses on the left, on the right the share of D's answers that are "
    "right. What comes later is drawn faintly.",
)

# %% tags=["nbval-ignore-output"]
training_replay(logs)

# %% [markdown]
# ## Exercises
#
# **8.1 The sum of Eq. 5** (★, 4 minutes).

# %%
def total(L_den, L_seg_s, L_seg_t, L_adv, lambda_s, lambda_t, lambda_d):
    """L of Eq. 5; the four losses are scalar tensors, the three weights are numbers."""
    raise NotImplementedError


check("8.1", total)

# %% [markdown]
# **8.2 One step of E, one step of D** (★★★, 15 minutes). The adversarial part alone, in toy form: `E` and `D` are small
# networks, `optimizers` holds one for each, "E" and "D". First E moves by `lambda_d` times Eq. 10, then D by its own loss
# (half of each domain's mean, notebook 07) on the same features. `F.softplus(-logits)` is $-\log p$ and `F.softplus(logits)` is $-\log(1 - p)$.

# %%
def alternate(E, D, optimizers, xs, xt, lambda_d):
    """One step of E, then one of D. xs, xt: (N, 2) inputs of source and target; E: inputs -> features; D: -> logits."""
    raise NotImplementedError


check("8.2", alternate)

# %% [markdown]
# **8.3 Choose the checkpoint** (★★, 6 minutes). `history` is a list of lines as in `metrics.jsonl`: every line has a
# "step", some have loss terms such as "density", some have the "validation" error on held-out source images. Some even have
# a "target_error", which somebody wrote there for you to stumble over.

# %%
def choose(history, steps):
    """The step of the model to keep: the first of the best in the second half (from steps / 2 on)."""
    raise NotImplementedError


check("8.3", choose)

# %% [markdown]
# [Solutions](solutions/08_adversarial_training.ipynb)
#
# ## Take away
#
# - One sum moves E, C and S; D moves by a loss of its own, on detached features. All four terms reach E.
# - A λ of zero takes a part away, so the ablation is one loop with different weights.
# - Curves of losses and of D's accuracy do not tell the error on the target. The checkpoint was chosen without target
#   labels; λd was not (notebook 07).
# - A run that can be resumed exactly computes everything random from its seed and its step.
# - One live run shows that it can work. Figures over several seeds show how often, and which part does it.
#
# [← 07 Feature discriminator](07_feature_discriminator.ipynb) · [09 Evaluation →](09_evaluation.ipynb)
