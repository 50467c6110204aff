# ---
# jupyter:
#   sdcda:
#     seconds: 120
#     minutes: 80
# ---

# %% [markdown]
# # 08 · Adversarial training
#
# [← 07 Feature discriminator](07_feature_discriminator.ipynb) · [09 Evaluation →](09_evaluation.ipynb)
#
# **After this notebook you can** write one step of the method, say which loss moves which network, train it yourself,
# and predict what happens when one setting changes.
#
# **Time** 80 minutes to read, try and solve; runs in about two minutes on two CPU cores. **You need** notebooks 04
# to 07.

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: installs the tutorial; elsewhere: does nothing) { display-mode: "form" }
REPO = "name the repository, such as https://github.com/ada/crowds"  # @param {type: "string"}
if "colab" in str(get_ipython()): exec(get_ipython().find_user_code(REPO + "/raw/HEAD/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

# %%
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display

from sdcda_tutorial import losses, training
from sdcda_tutorial.adaptation import Adaptation
from sdcda_tutorial.datasets.batches import SOURCE, TARGET, Batches, PseudoMasked
from sdcda_tutorial.evaluation import colours
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.networks import FeatureDiscriminator, SemanticExtractor
from sdcda_tutorial.teaching import laboratory, method_drawing
from sdcda_tutorial.teaching.demos.training_replay import read_log, render_training_replay
from sdcda_tutorial.teaching.demos.training_replay import training_replay
from sdcda_tutorial.teaching.exercises import check
from sdcda_tutorial.training.checkpoints import load
from sdcda_tutorial.training.counter_training import AdaptationOnDevice

method_drawing.show()

# %% [markdown]
# Every part is lit: in this notebook they all train together. We want a counter that works on the target without a
# single target label. Four losses point in that direction, and Eq. 5 adds them up:
#
# $$L(X^s, X^t; \theta_e, \theta_s, \theta_c) =
# L^s_{den} + \lambda^s L^s_{seg} + \lambda^t L^t_{seg} + \lambda^d L_{adv} \tag{5}$$
#
# The sum moves E, C and S. D is missing from the list on the left because it has a loss of its own.
#
# ## What one step is given
#
# A step gets a batch of each domain. The source comes with density maps and exact masks, the target only with the
# pseudo-masks of notebook 02.

# %% tags=["nbval-ignore-output"]
lab = laboratory.Laboratory()
world = notebook.world()
target = world.target.subset(range(0, 200, 2))  # every second target image
masks = lab.masks("predicted")  # written once, by the mask model

# %%
config = MINI.method("se+fd")
source_batches = Batches(world.source, 4, config.source, seed=0, stream=SOURCE, kernel=config.kernel)
target_batches = Batches(PseudoMasked(target, masks), 4, config.target, seed=0, stream=TARGET)
source, unlabelled = source_batches[0], target_batches[0]
rows = {
    "$x^s$": source["image"], "$F(y^s)$": source["density"], "$z^s$": source["mask"],
    "$x^t$": unlabelled["image"], "pseudo-mask $z^t$": unlabelled["mask"],
}
figure, axes = plt.subplots(len(rows), 4, figsize=(8, 8), layout="constrained")
for line, (title, values) in zip(axes, rows.items()):
    for axis, value in zip(line, values):
        map_of = colours.DENSITY if "F" in title else "gray"
        shown = axis.imshow(value.permute(1, 2, 0) if len(value) == 3 else value[0], cmap=map_of)
        axis.set(xticks=[], yticks=[])
        if "F" in title:
            shown.set_clim(0, float(values.max()))
    line[0].set_ylabel(title, fontsize=11)
    if "F" in title:
        figure.colorbar(shown, ax=list(line), label="people\nper pixel", pad=0.01)
notebook.show(
    figure,
    "One batch: four source crops with density maps and masks, then four target crops with pseudo-masks, white where "
    "they say crowd. The target has no density maps.",
)

# %% [markdown]
# ## The whole method in a plain loop
#
# Both domains pass through E together; C sees the features of the source only, because only the source has density
# maps to compare with. First one optimiser moves E, C and S, then the other one moves D. Read the loop beside the
# numbers of the equations.

# %% sdcda={"tolerance": {"rel": 0.02, "abs": 0.0005}}
torch.manual_seed(0)
counter = notebook.counter("noadapt-early").train()  # E and C, trained on the source
E, C = counter.E, counter.C
S, D = SemanticExtractor(E.channels, stride=8), FeatureDiscriminator(E.channels, width=0.25)
adam = torch.optim.Adam([*counter.parameters(), *S.parameters()], lr=5e-4)
adam_D = torch.optim.Adam(D.parameters(), lr=2.5e-4, betas=(0.9, 0.99))
for step in range(4):
    s, t = source_batches[step], target_batches[step]
    fs, ft = E(torch.cat([s["image"], t["image"]])).chunk(2)                   # Eq. 1
    L_den = losses.density_loss(C(fs), s["density"] * config.label_factor)     # Eq. 4, 6
    L_seg_s = losses.source_segmentation_loss(S(fs), s["mask"])                # Eq. 2, 7
    L_seg_t = losses.target_segmentation_loss(S(ft), t["mask"])                # Eq. 8, 9
    D.requires_grad_(False)  # Eq. 10 passes through D, but must not teach it
    L_adv = losses.adversarial_loss(D(ft))                                     # Eq. 3, 10
    D.requires_grad_(True)
    L = L_den + 0.01 * L_seg_s + 0.01 * L_seg_t + 0.001 * L_adv                # Eq. 5
    adam.zero_grad(), L.backward(), adam.step()

    L_D = losses.discriminator_loss(D(fs.detach()), D(ft.detach()))  # no way back to E
    adam_D.zero_grad(), L_D.backward(), adam_D.step()
    parts = {"den": L_den, "seg s": L_seg_s, "seg t": L_seg_t, "adv": L_adv, "D": L_D}
    print(f"step {step}:", *(f"{name} {loss.item():.4f}  " for name, loss in parts.items()))

# %% [markdown]
# That is the method. Four steps move little: seg s goes from 0.55 to 0.51, D still guesses (its loss is log 2 = 0.69),
# and the density loss stays below 0.001, because E and C know the source already.
#
# The package takes the same step. It asks of each part whether it is there, because a λ of zero switches its part off:
# NoAdapt, SE, FD and SE+FD are one loop with different weights. `minimise` is `zero_grad`, `backward` and `step`;
# `fixed` is the pair of `requires_grad_`.

# %%
notebook.code(Adaptation.step)

# %% [markdown]
# ## Which loss moves which network
#
# Take each loss alone and look where its gradient arrives. The last two rows leave out the two details: D frozen, and
# features detached.

# %%
fs, ft = E(torch.cat([s["image"], t["image"]])).chunk(2)
truth = s["density"] * config.label_factor
terms = {
    "Eq. 6, density": losses.density_loss(C(fs), truth),
    "Eq. 7, source mask": losses.source_segmentation_loss(S(fs), s["mask"]),
    "Eq. 9, target background": losses.target_segmentation_loss(S(ft), t["mask"]),
}
D.requires_grad_(False)
terms["Eq. 10, adversarial"] = losses.adversarial_loss(D(ft))
D.requires_grad_(True)
terms["D's loss"] = losses.discriminator_loss(D(fs.detach()), D(ft.detach()))
terms["Eq. 10, D *not* frozen"] = losses.adversarial_loss(D(ft))
terms["D's loss, *not* detached"] = losses.discriminator_loss(D(fs), D(ft))
table = []
for name, term in terms.items():
    marks = []
    for network in (E, C, S, D):
        weights = list(network.parameters())
        found = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
        marks.append("●" if any(g is not None and bool(g.any()) for g in found) else "")
    table.append([name, *marks])
display(Markdown(markdown_table(["loss", "E", "C", "S", "D"], table, aligned=False)))

# %% [markdown]
# Every term of Eq. 5 reaches E. That is how S and D, which are thrown away after training, can change a counter. If D
# is not frozen, Eq. 10 also teaches D to be fooled. If the features are not detached, D's loss teaches E to make the
# domains easy to tell apart.
#
# ## The laboratory
#
# Does it work? Train it: 80 steps from `noadapt-early`, a counter that has seen the source only, in another
# mini world. Half of the target images take part. The result is measured on 50 *test* images of the target, whose
# labels no training reads. Besides the MAE we look at two parts of the error: the **background error**, people
# predicted where nobody is, and the **crowd error**, people predicted around true heads minus people there (negative:
# too few).

# %% tags=["nbval-ignore-output"]
# `again=True` trains even if you have made this run before, because the next cell compares its figures.
run = lab.run(again=True)

# %% sdcda={"tolerance": {"rel": 0.4, "abs": 4}}
stored = notebook.result("laboratory")
start = stored["start"]
print(f"people per image, true: {stored['mean_count']:.1f}")
print(f"MAE               from {start['mae']:5.1f} to {run.mae:5.1f}")
print(f"background error  from {start['background']:5.1f} to {run.background:5.1f}")
print(f"crowd error       from {start['crowd']:5.1f} to {run.crowd:5.1f}")

# %% [markdown]
# The MAE falls from 85.0 to 19.6 people per image, mostly because of the background: its error falls from 75.6 to 15.0
# people. Now look at what is left. In our run the first image goes from 146.7 people to 53.0, and 19 are there: still
# 2.8 times too many, on trees and hedges. The other two end at 65.8 for 56 people and 21.0 for 14. This was a short
# training; the whole one leaves a background error of 5.3 people.
#
# Now the losses of this run, and D's balance.

# %%
logs = {"this run": lab.log(run)}
notebook.show(
    render_training_replay(logs, "this run", run.settings.steps),
    "The live run. Left: its losses, each before its λ, for every tenth batch. Right: the share of D's answers that "
    "are right; 0.5 is guessing.",
)

# %% [markdown]
# The losses are on different scales, so their heights do not say which one moves E most. And none of them is an error
# on the target: from these curves alone you cannot say whether the adaptation worked.
#
# ### Nine questions
#
# Write your prediction between the quotes, then run the cell: it trains for about half a minute and puts its row below
# the others. Without a prediction nothing runs. Each call changes one thing. Everything you train is kept in
# `runs/laboratory`, so you may stop at any time: `lab.table()` shows all rows again, and an interrupted run goes on.
# The rows of five seeds above yours are whole trainings of fresh worlds (notebook 09). Compare your rows with the warm
# start and with one another.

# %% [markdown]
# **1. No adaptation.** The same steps on the source alone. How far does the MAE fall from the warm start's, if
# it falls?

# %%
lab.ask("", lambda_s=0, lambda_t=0, lambda_d=0)

# %% [markdown]
# **2. No pseudo-masks.** λt = 0, S learns from the source only. What happens to the background error?

# %%
lab.ask("", lambda_t=0)

# %% [markdown]
# **3. No D.** λd = 0 leaves SE. Will you see a difference?

# %%
lab.ask("", lambda_d=0)

# %% [markdown]
# **4. Perfect masks**, which no method may have. How much is lost because the mask model errs?

# %%
lab.ask("", masks="perfect")

# %% [markdown]
# **5. Shuffled masks**: every image has the mask of another one. What happens to the crowd error, and to the
# MAE?

# %%
lab.ask("", masks="shuffled")

# %% [markdown]
# **6. No crowd in the masks**: all of the target is called background. Which way does the crowd error go?

# %%
lab.ask("", masks="none")

# %% [markdown]
# **7. A strong D**: λd a hundred times larger. Better, worse, or unpredictable?

# %%
lab.ask("", lambda_d=0.1)

# %% [markdown]
# **8. D looks at the predicted mask** instead of the features, as AdaptSegNet does.

# %%
lab.ask("", D_sees="mask")

# %% [markdown]
# **9. A learning rate ten times larger**. The preset's was chosen for 300 steps, and these are 80.

# %%
lab.ask("", learning_rate=5e-3)

# %% [markdown]
# `lab.run(...)` takes every setting: `lambda_s`, `lambda_t`, `lambda_d`, `masks`, `D_sees`,
# `learning_rate`, `seed`, `steps`. Or use the form: Tab moves, the arrows choose, Space presses *Train*.

# %% tags=["nbval-ignore-output"]
lab.form()

# %% [markdown]
# ## My own functions
#
# You have written the losses, the masks and the evaluation in the exercises, and soon the sum and the step. Every right
# answer was kept in `runs/answers`. `lab.run(own=True)` trains with yours and counts how often each is called (your
# `from_boxes` never: here the source's masks come as files).

# %% tags=["nbval-ignore-output"]
lab.mine()
# lab.run(own=True)  # take away the first # when at least one function is yours

# %% [markdown]
# ## Stop and resume
#
# A run saves weights, optimisers and its step in one file. Crops, flips and dropout are functions of the seed and the
# step. So a run that loses its power in step 4 can be resumed as if nothing had happened:

# %% tags=["nbval-ignore-output"]
folder = Path(tempfile.mkdtemp())
tiny = replace(config, steps=5, batch_size=2, validate_every=2, holdout=0.0)
options = {"pseudo_masks": masks, "init": notebook.CHECKPOINTS / "noadapt-early.safetensors"}
_ = training.adapt(world.source, target, tiny, folder / "unbroken", **options)
whole_step, steps = AdaptationOnDevice.step, iter(range(5))


def power_cut(*batch):
    assert next(steps) < 3, "power cut"
    return whole_step(*batch)


with patch.object(AdaptationOnDevice, "step", power_cut):
    try:
        training.adapt(world.source, target, tiny, folder / "broken", **options)
    except AssertionError as error:
        print(error)
_ = training.adapt(world.source, target, tiny, folder / "broken", resume=True, **options)

# %%
a, b = (load(folder / name / "last.safetensors")[0] for name in ("unbroken", "broken"))
gap = max(float((a[name].double() - b[name].double()).abs().max()) for name in a)
print(f"largest difference in {len(a)} tensors of weights and optimisers: {gap}")

# %% [markdown]
# ## On a GPU
#
# The paper's scale is this loop with other settings (`PAPER` instead of `MINI`): full width, crops of 480 × 640,
# batches of 8 + 8, convolutions in half precision. [Appendix B](B_ledger.ipynb) has the memory and the time of a step,
# and several GPUs. On the command line:
#
# ```bash
# sdcda train --method se+fd --preset mini --out runs/mine      # all four stages; --resume goes on
# sdcda evaluate --checkpoint runs/mine/se+fd/model.safetensors
# ```
#
# ## Replay the long runs
#
# These are the logs of the stored models, 300 steps each. Compare D's balance in `fd` and `se+fd`.

# %%
logs = {m: read_log(notebook.CHECKPOINTS / f"{m}.jsonl") for m in ("noadapt", "fd", "se", "se+fd")}
notebook.show(
    render_training_replay(logs, "se+fd", 150),
    "SE+FD after 150 steps: losses on the left, the share of D's right answers on the right. Later steps are faint.",
)

# %% [markdown]
# **Try it.**

# %% tags=["nbval-ignore-output"]
training_replay(logs)

# %% [markdown]
# ## Exercises
#
# **8.1 The sum of Eq. 5** (★, 4 minutes). As the package has it: `weights` holds `seg_source` (λs), `seg_target` (λt)
# and `adversarial` (λd). A method without a part leaves that part's argument out.

# %%
def total_loss(density, weights, *, seg_source=0.0, seg_target=0.0, adversarial=0.0):
    """L of Eq. 5; the losses are scalar tensors."""
    raise NotImplementedError


check("8.1", total_loss)

# %% [markdown]
# **8.2 Three bugs in one step** (★★, 12 minutes). This step runs without an error and trains a useless counter. Find
# the three wrong expressions, fix them, and delete the `raise` line.

# %%
def step(self, source, target):
    """One step of SE+FD and its parts; `self` is an `Adaptation`. Contains three bugs."""
    raise NotImplementedError  # delete this line when you have found the bugs
    λ, B = self.weights, len(source["image"])
    xt, zt = (None, None) if target is None else (target["image"], target.get("mask"))
    density, mask_logits, f = self.networks(source["image"], xt)
    terms = {"density": losses.density_loss(density, source["density"])}
    if λ.seg_source > 0:
        terms["seg_source"] = losses.source_segmentation_loss(mask_logits[:B], source["mask"])
    if λ.seg_target > 0:
        terms["seg_target"] = self.target_loss(mask_logits[B:], zt)
    if self.D is not None:
        with self.fixed(self.D):
            terms["adversarial"] = losses.adversarial_loss(self.D(f[:B]))
    self.minimise("networks", losses.total_loss(weights=λ, **terms), terms)
    if self.D is not None:
        source_logits, target_logits = self.D(f.detach()).tensor_split([B])
        loss = losses.discriminator_loss(target_logits, source_logits)
        self.minimise("D", loss, {"discriminator": loss})
        terms |= {"discriminator": loss}
    return {name: term.detach() for name, term in terms.items()}


check("8.2", step)

# %% [markdown]
# **8.3 Choose the checkpoint** (★★, 6 minutes). A long run validates now and then. `history` is a list of lines as in
# `metrics.jsonl`: every line has a "step", some have loss terms such as "density", some have the "validation" error on
# held-out source images. Some even have a "target_error", which somebody wrote there for you to stumble over.

# %%
def choose(history, steps):
    """The step of the model to keep: the first of the best in the second half (from steps / 2 on)."""
    raise NotImplementedError


check("8.3", choose)

# %% [markdown]
# [Solutions](solutions/08_adversarial_training.ipynb)
#
# > **What this does not show.** A row of the laboratory is one short training in one synthetic world, on which the
# > settings were tuned. With three seeds the unchanged run ends at an MAE of 14.7, 19.6 and 27.7 people, so smaller
# > differences mean nothing. Over five fresh worlds whole trainings reach 8.9 people, and 30.1 without adaptation
# > (notebook 09). What D adds between a game and photographs is not measured here.
#
# ## Take away
#
# - One sum moves E, C and S; D moves by a loss of its own, on detached features. All four terms reach E.
# - A λ of zero takes a part away, so the ablation is one loop with different weights.
# - Curves of losses do not show the error on the target. Predict, change one thing, measure.
#
# [← 07 Feature discriminator](07_feature_discriminator.ipynb) · [09 Evaluation →](09_evaluation.ipynb)
