# ---
# jupyter:
#   sdcda:
#     seconds: 15
# ---

# %% [markdown]
# # 07 · Feature discriminator: solutions
#
# [← back to the notebook](../07_feature_discriminator.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["colab"]
# @title Set-up (on Colab: give REPO an address; elsewhere: does nothing) { display-mode: "form" }
REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))

# %%
from sdcda_tutorial.teaching import notebook

notebook.begin()

# %%
import math

import torch
import torch.nn.functional as F

from sdcda_tutorial.teaching import adversarial_toy
from sdcda_tutorial.teaching.exercises import check

# %% [markdown]
# ## 7.1 D's loss

# %%
def discriminator_loss(source_logits, target_logits):
    of_source = F.softplus(-source_logits).mean()  # -log p, label 1
    of_target = F.softplus(target_logits).mean()  # -log(1 - p), label 0
    return 0.5 * (of_source + of_target)


check("7.1", discriminator_loss)

# %% [markdown]
# The mean of each domain comes first, so that both count the same even in batches of unequal
# size. A D that gives the same answer everywhere cannot do better than log 2 = 0.693, whatever
# the answer:

# %%
for constant in (-1.0, 0.0, 1.0):
    logits = torch.full((1, 1, 1, 1), constant)
    print(f"always {constant:4.1f}: {discriminator_loss(logits, logits):.3f}")

# %% [markdown]
# A loss of log 2 in a training does not prove that the features are alike: a D that has not
# learned has the same loss.
#
# ## 7.2 E's adversarial loss

# %%
def adversarial_loss(target_logits):
    return F.softplus(-target_logits).mean()


check("7.2", adversarial_loss)

# %% [markdown]
# It is D's loss with the other label, for the target only. Both look at the same logits, and
# their slopes always have opposite signs:

# %%
logits = torch.tensor([[[[-3.0, 0.0, 2.0]]]], requires_grad=True)
(of_E,) = torch.autograd.grad(adversarial_loss(logits), logits)
(of_D,) = torch.autograd.grad(discriminator_loss(torch.zeros(1, 1, 1, 3), logits), logits)
print("logit of D ", *(f"{value:7.1f}" for value in logits.flatten().tolist()))
print("slope for E", *(f"{value:7.3f}" for value in of_E.flatten().tolist()))
print("slope for D", *(f"{value:7.3f}" for value in of_D.flatten().tolist()))

# %% [markdown]
# They are not each other's negative, though. E's is largest where D is right, D's where D is
# wrong. So this is not one loss with two signs. It does not follow that the two ever come to
# rest: choose λd = 10 under *Try it* in the notebook and look.
#
# ## 7.3 Four games with a bug

# %%
diagnosis = {1: "one sum", 2: "λd too large", 3: "labels mixed up", 4: "D too slow"}
check("7.3", diagnosis)

# %% [markdown]
# *Game 2*: C's error of 6.40 is far above 1, what guessing the mean would give. Only with a λd
# that is too large does E neglect the task.
#
# *Game 4*: D is right about half the time (42 %), yet the gap is 1.75. D has not learned.
#
# *Games 1 and 3*: D is always right and the gap is wider than without D (the last line below), so
# E helps D. With the labels mixed up that is what E is rewarded for, and D becomes surer and
# surer: E's loss rises to 12.69. In one sum E is rewarded for a small loss of D as well. But now
# D is also rewarded for a small Eq. 10. On the target it minimises $-\frac12 \log(1-p) -
# \lambda^d \log p$, which is smallest at $p = \lambda^d / (\lambda^d + \frac12) = 1/6$. There E's
# loss is $\log 6$:

# %% sdcda={"tolerance": {"rel": 0.02}}
game = adversarial_toy.FAULTS[1][1]()
print(f"log 6 = {math.log(6):.2f}, E's loss in game 1: {game.late('adversarial'):.2f}")
print(f"gap without D, same points: {adversarial_toy.play(0, seed=3).late('gap'):.2f} sd")

# %% [markdown]
# These figures do not prove that a training with such a pattern has such a fault: other faults
# may leave the same traces. They say where to look first.
