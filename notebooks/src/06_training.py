# Text source of lesson 06. Build: make notebooks ARGS=06
# ruff: noqa: E501 (prose in tables)

# %% [markdown] part="header"
# # 06 · Joint training: one loop, two losses
#
# The formula of lesson 04 meets the network of lesson 05. The loop is a dozen lines. The trouble is in
# what they hide: what a batch holds, what λ weighs, what must survive a power cut. At the end you train
# two networks, and ask three seeds whether the loss helped.
#
# **You will learn to** *write* the training loop by hand, *count* what a batch holds, *weigh* two losses,
# *resume* a run exactly, and *read* a difference with its spread.
#
# | | |
# |---|---|
# | Before this | lessons 04 and 05; what an optimiser does |
# | Time | {{minutes}} min to run (quick profile, two CPU cores); the same code runs on a GPU |
# | Memory | {{memory}} at the peak; on a GPU less than 1 GB of its own |
# | Data | forty people of the embedded clips (synthetic: rendered faces), and landed runs |
# | Source | CN112101119A claims 1 (3), (4) and 4: L = L_S + λ L_EC-STFL; Jiang et al. 2020, Figs. 5 and 6 |
# | Exercises | {{exercises}} |

# %% part="setup"
import copy
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from lessonkit import lessons, plots_training
from lessonkit.checks import check, expect
from lessonkit.guess import guess_number, progress
from lessonkit.lessons import play
from lessonkit.progress import falling_loss
from torch import nn
from torch.nn import functional as F

from ecstfl.labels import CLASSES, DFEW_COUNTS
from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.losses.joint import JointLoss

settings = lessons.start("06")

# %% [markdown]
# ## A few clips
#
# The first people of each fold, seven expressions each. Fold 1 is held out: nobody in it is in any other
# fold. (The first time this takes a minute: faces are found and aligned. Then there is a cache.)

# %%
from lessonkit.composition import composition, observed_composition
from lessonkit.film import film
from lessonkit.practice import PLAIN_VIEW, practice_clips, practice_run, recipe_run
from lessonkit.pull import pull, three_expressions
from lessonkit.reference_results import reference_folder, reference_pairs
from lessonkit.stamp import stamp

from ecstfl.evaluation.table import build_table
from ecstfl.experiments.plan import choose_device
from ecstfl.models.backbones import BackboneConfig, build_backbone
from ecstfl.models.tap import Tap
from ecstfl.runs.config import RunConfig, from_dict
from ecstfl.training.loop import train_run
from ecstfl.training.optimizers import learning_rate
from ecstfl.training.samplers import MPerClassSampler, epoch_batches
from ecstfl.training.splits import split_clips

clipset, clips = practice_clips(settings.choose(smoke=2, quick=8, full=40))
device = choose_device("auto")  # a GPU when there is one; nothing below changes
print(
    f"{len(clips)} rendered clips, {clips.shape[1]} frames of {clips.shape[2]} x {clips.shape[3]}"
)

# %% [markdown]
# ## The loop by hand
#
# Take a batch, compute logits and features, add the two losses, follow the gradient. Nothing else happens
# in any training of this project. To compare with the package to the last digit, all chance is switched
# off: no augmentation, no dropout, no weight decay.

# %%
from ecstfl.clips.augment import center_view

small = BackboneConfig(width=4, fc=32, dropout=0.0)
config = practice_run(clipset, backbone=small, augment=PLAIN_VIEW, epochs=2, weight_decay=0.0)
train, held_out = split_clips(clipset, config)
pictures = torch.from_numpy(clips[train])
labels = torch.from_numpy(clipset.labels[train])
lam = config.loss.weight
steps_an_epoch = len(epoch_batches(clipset.labels[train], config.optim, config.seed, 0))
steps = config.optim.epochs * steps_an_epoch

torch.manual_seed(config.seed)
network = build_backbone(config.backbone, 8, 48).to(memory_format=torch.channels_last_3d)
optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0)
by_hand = []
step = 0
for epoch in range(config.optim.epochs):
    network.train()
    for index in epoch_batches(clipset.labels[train], config.optim, config.seed, epoch):
        optimizer.param_groups[0]["lr"] = learning_rate(step, steps, config.optim.lr)
        with Tap(network, config.backbone.tap) as tapped:
            logits, features = tapped(center_view(pictures[index], config.augment))
        loss = F.cross_entropy(logits, labels[index]) + lam * ec_stfl_loss(features, labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        by_hand.append((len(index), loss.item()))
        step += 1
print(f"{step} steps by hand; first loss {by_hand[0][1]:.4f}, last {by_hand[-1][1]:.4f}")

# %% [markdown]
# The package's `JointLoss` (claim 4) is the sum of the two. `train_run` is the loop with what daily life
# needs: it keeps checkpoints, refuses NaN, and never chooses anything on the held-out fold. Same seed, same
# batches: are the losses the same?

# %%
package, _ = JointLoss(weight=lam)(logits.detach(), features.detach(), labels[index])
print(f"the last batch: by hand {loss.item():.6f}, JointLoss {package.item():.6f}")
assert abs(package.item() - loss.item()) < 1e-5
place = Path(tempfile.mkdtemp(prefix="lesson06-"))
run = train_run(config, clipset, clips, place)
for epoch, record in enumerate(run["history"]):
    mine = by_hand[epoch * steps_an_epoch : (epoch + 1) * steps_an_epoch]
    mean = np.average([value for _, value in mine], weights=[n for n, _ in mine])
    print(
        f"epoch {epoch + 1}: by hand {mean:.6f}, train_run {record['loss']:.6f}, difference {abs(mean - record['loss']):.0e}"
    )
    assert abs(mean - record["loss"]) < 1e-4

# %% [markdown] exercise="6.1" part="task" level=2
# ### Exercise 6.1: One step
#
# Write `one_step(model, optimizer, clips, labels, lam)`: **one** step of joint training.
# `model(clips)` gives the pair (logits, features). Return the loss as a Python number, as it was
# *before* the step. The optimiser may hold old gradients from whoever used it before.
#
# <details><summary>Hint 1</summary>Cross-entropy plus <code>lam * ec_stfl_loss(features, labels)</code>.</details>
# <details><summary>Hint 2</summary>PyTorch <em>adds</em> to <code>.grad</code>: what was there must go first.</details>
# <details><summary>Hint 3</summary><code>zero_grad</code>, <code>backward</code>, <code>step</code>, in this order.</details>


# %% exercise="6.1" part="answer"
def one_step(model, optimizer, clips, labels, lam):
    """Do one step of cross-entropy + lam * EC-STFL; return the loss before it."""
    ### BEGIN SOLUTION
    scores, inner = model(clips)
    total = F.cross_entropy(scores, labels) + lam * ec_stfl_loss(inner, labels)
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return total.item()
    ### END SOLUTION


# %% exercise="6.1" part="try"
class Tiny(nn.Module):
    """Two layers; gives logits and the features between them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x):
        features = torch.tanh(self.first(x))
        return self.last(features), features


x = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))
y = torch.arange(12) % 3
tiny = Tiny()
descend = torch.optim.SGD(tiny.parameters(), lr=0.2)
print([round(one_step(tiny, descend, x, y, 0.1), 3) for _ in range(5)])

# %% exercise="6.1" part="check" points=1
with check("6.1"):

    class Two_(nn.Linear):
        def forward(self, x):
            features = super().forward(x)
            return features * torch.tensor([1.0, 3.0]), features

    def step_(lam):
        x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
        model = Two_(2, 2, bias=False)
        model.weight.data = torch.eye(2)
        model.weight.grad = torch.ones(2, 2)  # left over from somebody else
        sgd = torch.optim.SGD(model.parameters(), lr=1.0)
        loss = one_step(model, sgd, x, torch.tensor([0, 0, 1, 1]), lam)
        assert isinstance(loss, float), "return the loss as a Python number: `.item()` gives it"
        return [loss, *model.weight.flatten().tolist()]

    expect(
        step_,
        (0.5,),
        answer=[0.73878115, 1.2173312, -0.26620311, -0.63476455, 0.94535261],
        within=1e-4,
        mistakes={
            "The loss is right, the step is not: old gradients are added to yours.": -1.9995,
            "EC-STFL is in the loss and not in the step: are the features detached?": 2.509,
            "λ stands before the cross-entropy: it weighs EC-STFL.": 2.1623,
            "No weight has moved: the gradients are wiped between `backward` and `step`.": 2.7388,
            "EC-STFL is computed on the logits: the features are the second of the pair.": 1.8628,
        },
    )

# %% exercise="6.1" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("6.1"):

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(3)
            self.a, self.b = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, x):
            h = torch.relu(self.a(x)) + 0.1 * x[:, :4]
            return self.b(h), h

    x_ = torch.randn(9, 5, generator=torch.Generator().manual_seed(4))
    y_ = torch.arange(9) % 3
    mine, theirs = Pair(), Pair()
    for p in mine.parameters():
        p.grad = torch.ones_like(p)  # left over from somebody else
    h, g = theirs(x_)
    want = F.cross_entropy(h, y_) + 0.7 * ec_stfl_loss(g, y_)
    want.backward()
    value = one_step(mine, torch.optim.SGD(mine.parameters(), lr=0.1), x_, y_, 0.7)
    assert isinstance(value, float), f"return a Python number, got {type(value).__name__}"
    assert abs(value - want.item()) < 1e-5, (
        f"the loss before the step is {want.item():.4f}, got {value:.4f}"
    )
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        gap_ = (p - (q - 0.1 * q.grad)).abs().max().item()
        assert gap_ < 1e-5, (
            f"after one step a weight is off by {gap_:.4f}: old gradients, or a part missing?"
        )
### END HIDDEN TESTS


# %% exercise="6.1" part="wrong" about="old gradients are added to the new ones"
def one_step(model, optimizer, clips, labels, lam):
    scores, inner = model(clips)
    total = F.cross_entropy(scores, labels) + lam * ec_stfl_loss(inner, labels)
    total.backward()
    optimizer.step()
    return total.item()


# %% exercise="6.1" part="wrong" about="the features are cut off: EC-STFL is printed but teaches nothing"
def one_step(model, optimizer, clips, labels, lam):
    scores, inner = model(clips)
    total = F.cross_entropy(scores, labels) + lam * ec_stfl_loss(inner.detach(), labels)
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return total.item()


# %% exercise="6.1" part="wrong" about="lambda weighs the cross-entropy"
def one_step(model, optimizer, clips, labels, lam):
    scores, inner = model(clips)
    total = lam * F.cross_entropy(scores, labels) + ec_stfl_loss(inner, labels)
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return total.item()


# %% exercise="6.1" part="wrong" about="gradients are wiped between backward and step"
def one_step(model, optimizer, clips, labels, lam):
    scores, inner = model(clips)
    total = F.cross_entropy(scores, labels) + lam * ec_stfl_loss(inner, labels)
    total.backward()
    optimizer.zero_grad()
    optimizer.step()
    return total.item()


# %% exercise="6.1" part="wrong" about="EC-STFL on the logits instead of the features"
def one_step(model, optimizer, clips, labels, lam):
    scores, _ = model(clips)
    total = F.cross_entropy(scores, labels) + lam * ec_stfl_loss(scores, labels)
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return total.item()


# %% [markdown]
# ## What a batch holds
#
# Cross-entropy judges each clip by itself. EC-STFL compares clips *of one batch*: a class with a single
# clip there has nothing to be pulled to. At the class sizes of DFEW, how often is that so?

# %% [markdown] exercise="6.2" part="task" level=1
# ### Exercise 6.2: Alone in a batch
#
# A batch of `batch` clips is drawn from `total` clips without putting any back; `members` of them are of
# one class. Write `alone(batch, members, total)`: the chance that the batch holds **exactly one** of them.
#
# <details><summary>Hint 1</summary>Count batches: <code>math.comb(total, batch)</code> of them in all.</details>
# <details><summary>Hint 2</summary>Choose the one from the class, and the other <code>batch - 1</code> from the rest.</details>


# %% exercise="6.2" part="answer"
def alone(batch, members, total):
    """Return the chance (0..1) that a batch drawn without replacement has exactly one member."""
    ### BEGIN SOLUTION
    return members * math.comb(total - members, batch - 1) / math.comb(total, batch)
    ### END SOLUTION


# %% exercise="6.2" part="try"
for name, count in zip(CLASSES, DFEW_COUNTS, strict=True):
    print(f"{name:9s} alone in {alone(24, count, sum(DFEW_COUNTS)):6.1%} of the batches of 24")

# %% exercise="6.2" part="check" points=1
with check("6.2"):
    expect(
        alone,
        (2, 3, 6),
        answer=0.6,
        mistakes={
            "Clips are not put back: the second draw is from five.": 0.5,
            "This is one or more: exactly one is asked for.": 0.8,
            "Each of the three members may be the one.": 0.2,
            "Too large: the rest of the batch must come from those who are no members.": 1,
        },
    )

# %% exercise="6.2" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("6.2"):
    from scipy.stats import hypergeom

    for batch_, members_, total_ in (
        (3, 2, 5),
        (24, 145, 11697),
        (10, 10, 20),
        (1, 3, 7),
        (4, 4, 4),
    ):
        wanted_ = hypergeom(total_, members_, batch_).pmf(1)
        value_ = alone(batch_, members_, total_)
        assert abs(value_ - wanted_) < 1e-9, (
            f"{batch_} of {total_}, {members_} members: expected {wanted_:.5f}, got {value_:.5f}"
        )
### END HIDDEN TESTS


# %% exercise="6.2" part="wrong" about="as if each clip were put back"
def alone(batch, members, total):
    p = members / total
    return batch * p * (1 - p) ** (batch - 1)


# %% exercise="6.2" part="wrong" about="one or more"
def alone(batch, members, total):
    return 1 - math.comb(total - members, batch) / math.comb(total, batch)


# %% exercise="6.2" part="wrong" about="forgets that any of the members may be the one"
def alone(batch, members, total):
    return math.comb(total - members, batch - 1) / math.comb(total, batch)


# %% exercise="6.2" part="wrong" about="the rest of the batch from all others, members too"
def alone(batch, members, total):
    return members * math.comb(total - 1, batch - 1) / math.comb(total, batch)


# %% exercise="6.2" part="right" about="one draw after another"
def alone(batch, members, total):
    chance = batch * members / total
    for k in range(batch - 1):
        chance *= (total - members - k) / (total - 1 - k)
    return chance


# %% [markdown]
# All seven at once, for any batch size. Move the slider: how large must a batch be before Disgust has a
# pair in half of them?

# %%
play(plots_training.dfew_batch, batch=(2, 256))

# %% [markdown]
# `composition` computes this. A sampler can put several clips of each class that it takes into every batch:

# %%
prior = np.repeat(np.arange(7), np.array(DFEW_COUNTS) // 10)  # DFEW's sizes, a tenth of the clips
grouped = MPerClassSampler(prior, m=3, batch_size=24, seed=0)
for name, row in (
    ("plain batches", composition(24)[5]),
    ("3 clips of a class", observed_composition(grouped, prior)[5]),
):
    print(
        f"{name:19s} Disgust missing {row.missing:6.1%}  alone {row.alone:5.1%}  pairs {row.pair:6.1%}"
    )

# %% [markdown]
# It has its price: Disgust's few clips come up again and again. That is a choice to be made on a
# validation fold, not a cure.
#
# ## What λ weighs
#
# λ is printed as if it were a strength. What reaches the network is a gradient. One batch through the little
# network: how hard does each form pull at the features, beside the cross-entropy?

# %%
index = epoch_batches(clipset.labels[train], config.optim, 0, 0)[0]
network.train()
with Tap(network, config.backbone.tap) as tapped:
    _, features = tapped(center_view(pictures[index], config.augment))
features = features.detach().requires_grad_()  # from here on: what moves the features?
entropy, sizes = plots_training.pulls(network.fc8(features), features, labels[index])
for form, size in sizes.items():
    print(f"{form:9s} pulls {size / entropy:8.3f} times as hard as the cross-entropy, at λ = 1")
assert sizes["patent"] / sizes["paper"] > 10

# %% [markdown]
# Patent and paper print other formulas, so one λ means two things. See it in the plane (lesson 04's small
# network): the same λ in two forms, and the paper's form at 24 times the λ, 24 being the batch.

# %%
faces = three_expressions(settings.choose(smoke=2, quick=8, full=12))


def paper_form(x, y):
    """One ratio of two sums (Eq. 9)."""
    return ec_stfl_loss(x, y, "paper")


weighed = {}
for title, loss, weight in (
    ("patent, λ = 0.1", ec_stfl_loss, 0.1),
    ("paper, λ = 0.1", paper_form, 0.1),
    ("paper, λ = 2.4", paper_form, 2.4),
):
    epochs = settings.choose(smoke=2, quick=30, full=40)
    weighed[title] = pull(loss, weight, faces, epochs=epochs, seed=1, progress=falling_loss(title))
film(weighed, columns=3)

# %% [markdown]
# The first and the last go nearly the same way; the one in the middle hardly knows the loss. This project
# takes the patent's [form](../docs/glossary.md#form), with a [λ](../docs/glossary.md#lambda) chosen on validation folds ([recipe](../docs/recipe.md)).
#
# ## Killed, and going on
#
# A long run will be interrupted. `train_run` writes a checkpoint after each epoch; given the same
# configuration again, it goes on. *Exactly* as if nothing had happened? We pull the plug after epoch 2:


# %%
def plug(done, total, record):
    """Pull the plug after epoch 2."""
    if done == 2:
        raise KeyboardInterrupt


config = recipe_run(clipset, epochs=3, width=settings.choose(smoke=4, quick=8, full=16))
whole = train_run(config, clipset, clips, place / "whole", device=device)
try:
    train_run(config, clipset, clips, place / "killed", device=device, progress=plug)
except KeyboardInterrupt:
    left = place / "killed" / "runs" / config.name
    print("killed after epoch 2; left behind:", sorted(p.name for p in left.iterdir()))
resumed = train_run(config, clipset, clips, place / "killed", device=device)
for a, b in zip(whole["history"], resumed["history"], strict=True):
    print(f"epoch {a['epoch']}: uninterrupted {a['loss']:.6f}, resumed {b['loss']:.6f}")
    assert abs(a["loss"] - b["loss"]) < (1e-12 if device == "cpu" else 1e-2)

# %% [markdown]
# To the last digit, on a CPU. (A GPU adds numbers in an order that changes from run to run.) It takes more
# than the weights, and that is the next exercise.

# %% [markdown] exercise="6.3" part="task" level=3
# ### Exercise 6.3: What must survive
#
# Write `snapshot(model, optimizer)`, which returns everything that training needs to go on, and
# `restore(model, optimizer, state)`, which puts it back. Training goes on after the snapshot, and the
# snapshot must not change with it.
#
# <details><summary>Hint 1</summary>Models and optimisers have <code>state_dict()</code> and
# <code>load_state_dict(...)</code>. Momentum is a state of the optimiser.</details>
# <details><summary>Hint 2</summary>A <code>state_dict</code> does not copy: it points at the tensors that training goes
# on changing. <code>copy.deepcopy</code> does copy.</details>


# %% exercise="6.3" part="answer"
def snapshot(model, optimizer):
    """Return a state that does not change when training goes on."""
    ### BEGIN SOLUTION
    return copy.deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    ### END SOLUTION


def restore(model, optimizer, state):
    """Put a state of snapshot() back; it may be restored again later."""
    ### BEGIN SOLUTION
    kept = copy.deepcopy(state)
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    ### END SOLUTION


# %% exercise="6.3" part="try"
torch.manual_seed(0)
bumpy = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
adam = torch.optim.Adam(bumpy.parameters(), lr=0.05)
some = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))


def walk(steps):
    """Train a few steps towards a target; return the last loss."""
    for _ in range(steps):
        loss = (bumpy(some)[:, 0] - some.prod(dim=1)).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return round(loss.item(), 6)


walk(5)
state = snapshot(bumpy, adam)
first = walk(5)
restore(bumpy, adam, state)
print("went on to", first, "and, restored, to", walk(5))

# %% exercise="6.3" part="check" points=1
with check("6.3"):
    torch.manual_seed(0)
    model_ = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    momentum_ = torch.optim.SGD(model_.parameters(), lr=0.1, momentum=0.9)

    def look_():
        """Weight, running mean and momentum: three things that training changes."""
        buffer_ = momentum_.state[model_[0].weight]["momentum_buffer"]
        return [
            t.detach().flatten().clone()
            for t in (model_[0].weight, model_[1].running_mean, buffer_)
        ]

    def train_():
        momentum_.zero_grad()
        model_(torch.randn(8, 2)).square().mean().backward()
        momentum_.step()

    train_()
    before_, state_ = look_(), snapshot(model_, momentum_)
    assert state_ is not None, "`snapshot` gives nothing back: does it end in a `return`?"
    for again_ in ("", " a second time"):
        train_()
        restore(model_, momentum_, state_)
        weight_, mean_, buffer_ = (torch.equal(a, b) for a, b in zip(look_(), before_, strict=True))
        assert weight_, (
            f"restored{again_}, the weights are not those of the snapshot: it went on training with the "
            "model. A state_dict, or a new dictionary around it, points at the same tensors"
        )
        assert mean_, (
            f"restored{again_}, BatchNorm has another running mean: that is a buffer, no parameter"
        )
        assert buffer_, f"restored{again_}, the optimiser has another momentum: it has a state, too"

# %% exercise="6.3" part="hidden" points=3
### BEGIN HIDDEN TESTS
with check("6.3"):
    torch.manual_seed(5)
    m = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    data = torch.randn(40, 12, 4)

    def go(part):
        for x_ in part:
            o.zero_grad()
            m(x_).square().mean().backward()
            o.step()
        m.eval()
        out = m(data[0]).detach().clone()
        m.train()
        return out

    go(data[:10])
    state = snapshot(m, o)
    straight = go(data[10:20])
    for attempt in ("first", "second"):
        restore(m, o, state)
        again = go(data[10:20])
        gap_ = (again - straight).abs().max().item()
        assert gap_ < 1e-6, f"restored a {attempt} time, the same ten batches end {gap_:.4f} away"
### END HIDDEN TESTS


# %% exercise="6.3" part="wrong" about="the optimiser's momentum is forgotten"
def snapshot(model, optimizer):
    return copy.deepcopy(model.state_dict())


def restore(model, optimizer, state):
    model.load_state_dict(state)


# %% exercise="6.3" part="wrong" about="no copy: the snapshot goes on training"
def snapshot(model, optimizer):
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def restore(model, optimizer, state):
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])


# %% exercise="6.3" part="wrong" about="parameters only: BatchNorm's running mean is a buffer"
def snapshot(model, optimizer):
    return copy.deepcopy(([p.data for p in model.parameters()], optimizer.state_dict()))


def restore(model, optimizer, state):
    for p, kept in zip(model.parameters(), state[0], strict=True):
        p.data.copy_(kept)
    optimizer.load_state_dict(copy.deepcopy(state[1]))


# %% exercise="6.3" part="wrong" about="a dictionary is copied, its tensors are not"
def snapshot(model, optimizer):
    return {"model": dict(model.state_dict()), "optimizer": copy.deepcopy(optimizer.state_dict())}


def restore(model, optimizer, state):
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))


# %% [markdown]
# Chance must survive as well: which batches come next, how they are turned and mirrored, which units drop
# out. The package needs no saved generator for that: every epoch draws from generators seeded with
# (seed, epoch), so that epoch 3 is epoch 3 whoever arrives there.
#
# ## Train two networks
#
# Now the recipe of this project: the same network twice, softmax only and with EC-STFL, the same seed, the same
# batches. Each takes about a minute. First your guess:

# %%
gained = guess_number(
    "06-gain",
    "Three seeds, all people: how many points of held-out WAR does EC-STFL add on average?",
    -10,
    10,
    unit="points",
    digits=1,
)
gained

# %%
epochs = settings.choose(smoke=2, quick=20, full=30)  # so few people need more rounds than all
fresh = []
for method, title in (("softmax", "softmax only"), ("ec-stfl", "EC-STFL")):
    one = recipe_run(
        clipset, method, epochs=epochs, width=settings.choose(smoke=4, quick=16, full=16)
    )
    told = falling_loss(f"{title:12s}")
    fresh.append(train_run(one, clipset, clips, place, device=device, progress=told))
    assert all(np.isfinite(record["loss"]) for record in fresh[-1]["history"])

# %% closed=true
stamp(
    plots_training.curves(
        {"softmax only": fresh[:1], "EC-STFL": fresh[1:]},
        plots_training.curve_title(fresh[:1], fresh[1:]),
    ),
    *fresh,
    fresh=True,
)

# %% [markdown]
# Ask of each panel what it can prove. The first and the last are training batches: they prove that training
# works, and a lower ratio is what EC-STFL is paid for. The one in the middle has the people who were held out,
# and only its last point is the result.
#
# ## Ask three seeds
#
# One pair of runs is one draw. These came with the repository: all people, the same recipe, three seeds.

# %%
pairs = reference_pairs()
plain, joint = ([pair[k].run for pair in pairs] for k in (0, 1))
configs = [from_dict(RunConfig, run["config"]) for run in (*plain, *joint)]
table = build_table(reference_folder(), configs)
for row in table.rows:
    spread = f"{100 * row.sd[1]:.1f} points between seeds" if row.sd else "one seed: no spread"
    print(f"{row.method:42s} held-out WAR {100 * row.war.value:.1f} %, {spread} (synthetic)")
gain = table.differences[0].war
value, low, high = (100 * x for x in (gain.value, gain.low, gain.high))
print(f"EC-STFL minus softmax only: {value:+.1f} points, 95 % [{low:+.1f}, {high:+.1f}]")

# %% closed=true
clusters = [run["clusters"] for run in (*plain, *joint)]
stamp(
    plots_training.seeds(
        plain,
        joint,
        {
            "held-out WAR (percent)": [100 * run["war"] for run in (*plain, *joint)],
            "silhouette (-1 to 1)": [c["silhouette"] for c in clusters],
            "within / between": [c["within_between"] for c in clusters],
        },
        f"Synthetic clips, {len(pairs)} pairs of runs: held-out WAR {value:+.1f} points "
        f"[95 % over people and seeds: {low:+.1f}, {high:+.1f}]",
    ),
    *plain,
    *joint,
    fresh=False,
)

# %%
gained.truth(value, f"The interval over people and seeds is {low:+.1f} to {high:+.1f}.")

# %% [markdown]
# Look at the grey lines first: how far do equal runs lie apart? Then at the black bars. In which panel do all
# lines lean the same way? An interval that holds zero does not say that there is no gain; it says that these runs
# cannot tell. Lesson 07 asks how many would.
#
# Somewhere on a held-out curve is a better epoch than the last. To report it would be to choose on the test
# fold. Here the last epoch is the result, whatever it shows.
#
# ## On a GPU
#
# The loop does not change: `train_run(..., device="cuda")`, or `ecstfl reproduce --device cuda`. What changes is
# the last digits, and what you can afford. If memory is short, `accumulate` cuts a batch into parts; but
# EC-STFL then sees a part, and you know from above what that means.

# %%
progress()

# %% [markdown]
# ## Checkpoint

# %% part="quiz"
question(
    "Memory is short: you cut each batch of 24 into three parts of 8 and add up the gradients. EC-STFL ...",
    [
        "is the same as with 24",
        "compares clips within each part only: more classes are alone or missing",
        "is computed three times too large, and otherwise the same",
    ],
    right=2,
    why=[
        "That holds for a mean over clips such as the cross-entropy, not for a loss over pairs.",
        "Pairs across parts are never seen, so a rare class is alone more often.",
        "A factor could be corrected; pairs that were never compared cannot.",
    ],
)

# %% part="quiz"
question(
    "The cross-entropy with EC-STFL ends higher than without. Is that a failure?",
    [
        "Yes: the classifier is worse",
        "Not by itself: two losses are minimised together, and what counts is the held-out score",
        "No: a higher cross-entropy is better",
    ],
    right=2,
    why=[
        "It is worse on training batches in that one loss; the held-out people may say otherwise.",
        "The optimiser pays attention to both; only unseen people tell whether it was worth it.",
        "It is a loss: lower is better, everything else being equal.",
    ],
)

# %% part="quiz"
question(
    "You resume from a file that holds the model's state_dict and nothing else. What happens with AdamW?",
    [
        "The same as without interruption",
        "An error",
        "Training goes on, but its moving averages begin anew: another run, without a word",
    ],
    right=3,
    why=[
        "AdamW keeps two moving averages a weight, and they are gone.",
        "Nothing complains: the optimiser simply begins anew.",
        "The averages of gradients and of their squares are lost, and no message says so.",
    ],
)

# %% [markdown]
# ## Summary
#
# * The loop is a dozen lines; by hand and by package agree to rounding.
# * EC-STFL sees one batch: at DFEW's class sizes Disgust has a pair in 3.5 % of plain batches of 24.
# * λ means something only beside a form, a batch size and the gradient of the other loss.
# * A checkpoint holds weights, buffers and the optimiser's state, copied; chance is tied to (seed, epoch).
# * Curves of training batches prove that training works. The last epoch is the result.
# * One pair of runs is one draw: show every seed, the mean, and an interval over people and seeds.
#
# ## What can go wrong
#
# * `zero_grad` forgotten: the loss falls for a while, then does as it likes.
# * Features detached, or tapped in `eval` mode: EC-STFL is computed, printed, and teaches nothing.
# * The best epoch of the test fold reported as the result.
#
# ## Further reading
#
# * Loshchilov and Hutter, *Decoupled weight decay regularization* (AdamW), ICLR 2019, arXiv 1711.05101.
# * Jordan and others, *Muon: An optimizer for hidden layers in neural networks*, 2024,
#   <https://kellerjordan.github.io/posts/muon>.
# * Smith and Topin, *Super-convergence* (the one-cycle rate), 2017, arXiv 1708.07120.
# * Masters and Luschi, *Revisiting small batch training for deep neural networks*, 2018, arXiv 1804.07612.
#
# Next: 07, what a table can carry.
