# Text source of lesson 01. Build: make notebooks ARGS=01
# ruff: noqa: E501 (prose in tables)

# %% [markdown] part="header"
# # 01 · Data: clips, labels, folds
#
# Before any network sees a clip, three things are decided: what the numbers in it are, how often each
# label occurs, and which clips may be used to test. The third one can spoil everything in silence.
#
# **You will learn to** *hold* a clip as an array, *count* what a data set is made of, *keep* people
# apart when you split it, *measure* what leaks when you do not, and *tell* what is rendered.
#
# | | |
# |---|---|
# | Before this | lesson 00; NumPy arrays |
# | Time | {{minutes}} min to run (quick profile, two CPU cores); no GPU is used |
# | Memory | {{memory}} at the peak; no GPU memory |
# | Data | embedded clips: rendered faces, no person was filmed; class sizes of DFEW |
# | Source | CN112101119A claim 1 (1), claim 2 (2-1); Jiang et al., ACM MM 2020, section 4 |
# | Exercises | {{exercises}} |

# %% part="setup"
import os
from dataclasses import replace

import numpy as np
import torch
from lessonkit import leakage, lessons, plots_data, plots_frames
from lessonkit.checks import check, expect
from lessonkit.lessons import play
from lessonkit.stamp import run_id, stamp

from ecstfl.clips.augment import AugmentConfig, center_view
from ecstfl.datasets.embedded import load_truth, open_embedded, read_manifest
from ecstfl.datasets.folds import assign_folds
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, DFEW_COUNTS

settings = lessons.start("01")

# %% [markdown]
# ## A clip is four axes of bytes
#
# Time, height, width, colour: a clip is an array of shape (T, H, W, 3) with whole numbers from 0 to 255.
# On disk it is small, because a video stores what changes. In memory it is not:

# %%
name, frames = lessons.embedded_clip("Happy", 21)
source = next(clip.source for clip in open_embedded(verify=False) if clip.id == name)
print(f"{name}: shape {frames.shape}, {frames.dtype}, values {frames.min()} to {frames.max()}")
on_disk = os.path.getsize(source)
print(f"in memory {frames.nbytes / 1e6:.1f} MB, on disk {on_disk / 1e6:.3f} MB as H.264")
print(f"all of DFEW as 16 frames of 112 x 112: {11697 * 16 * 112 * 112 * 3 / 1e9:.1f} GB in memory")
assert frames.shape[1:] == (224, 224, 3)
assert frames.dtype == np.uint8

# %% [markdown] exercise="1.1" part="task" level=1
# ### Exercise 1.1: The order of the axes
#
# PyTorch's 3-D convolutions want colour first and real numbers. Write `to_network(frames)`: from
# (T, H, W, 3) `uint8` to (3, T, H, W) `float32` with values from 0 to 1.
#
# <details><summary>Hint 1</summary><code>np.transpose(frames, order)</code> moves axes;
# <code>reshape</code> only cuts the same row of numbers into other pieces.</details>
# <details><summary>Hint 2</summary>In <code>order</code> stand the old axes in their new places: colour,
# the last one, comes first. White is 255 and must become 1.</details>


# %% exercise="1.1" part="answer"
def to_network(frames):
    """Return (3, T, H, W) float32 in 0..1 of (T, H, W, 3) uint8."""
    ### BEGIN SOLUTION
    return np.transpose(frames, (3, 0, 1, 2)).astype(np.float32) / 255
    ### END SOLUTION


# %% exercise="1.1" part="try"
tiny = np.array([[[[255, 0, 51]]], [[[0, 102, 255]]]], np.uint8)  # two frames of one pixel
print(tiny.shape, "->", to_network(tiny).shape)
print("red over time:  ", to_network(tiny)[0].ravel())
print("green over time:", to_network(tiny)[1].ravel())

# %% exercise="1.1" part="check" points=1
with check("1.1"):
    frames_ = np.arange(24).reshape(2, 2, 2, 3).astype(np.uint8)
    frames_[1, 1, 1] = 255
    expect(
        to_network,
        (np.zeros((4, 6, 5, 3), np.uint8),),
        look=np.shape,
        answer=[3, 4, 6, 5],
        mistakes={
            "Width and time have changed places: `.T` turns all axes round.": [3, 5, 6, 4],
            "The frames still come first: which axis must move to the front?": [4, 3, 6, 5],
        },
    )
    expect(
        to_network,
        (frames_,),
        look=lambda out: out[2][1][1][1],
        answer=1,
        mistakes={
            "White (255) must become exactly 1: by what do you divide?": 0.99609,
        },
    )
    expect(
        to_network,
        (frames_,),
        look=lambda out: out[1][0][0][1],
        answer=4 / 255,
        mistakes={
            "The numbers are at wrong places: `reshape` cuts, it does not move axes.": 0.035294,
            "`//` throws the digits after the point away: only white is left.": 0,
        },
    )
    assert "float32" in str(to_network(frames_).dtype), "the network wants float32: use `astype`"

# %% exercise="1.1" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("1.1"):
    some = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)
    value = np.asarray(to_network(some))
    assert value.shape == (3, 3, 4, 5), f"expected shape (3, 3, 4, 5), got {value.shape}"
    for t, row, column, colour in ((0, 0, 0, 0), (2, 1, 4, 1), (1, 3, 0, 2)):
        wanted = some[t, row, column, colour] / 255
        got = value[colour, t, row, column]
        assert abs(got - wanted) < 1e-6, (
            f"colour {colour} of frame {t}, row {row}, column {column}: expected {wanted:.4f}, got {got:.4f}"
        )
    assert np.abs(to_network(np.full((1, 2, 2, 3), 255, np.uint8)) - 1).max() < 1e-6, "white is 1"
### END HIDDEN TESTS


# %% exercise="1.1" part="wrong" about="reshape: the right shape, and noise inside"
def to_network(frames):
    T, H, W, _ = frames.shape
    return frames.reshape(3, T, H, W).astype(np.float32) / 255


# %% exercise="1.1" part="wrong" about="reverses all axes: faces lie on their side"
def to_network(frames):
    return frames.T.astype(np.float32) / 255


# %% exercise="1.1" part="wrong" about="one picture after another: (T, 3, H, W)"
def to_network(frames):
    return np.transpose(frames, (0, 3, 1, 2)).astype(np.float32) / 255


# %% exercise="1.1" part="wrong" about="whole division: everything but white is 0"
def to_network(frames):
    return (np.transpose(frames, (3, 0, 1, 2)) // 255).astype(np.float32)


# %% exercise="1.1" part="wrong" about="divides by 256"
def to_network(frames):
    return np.transpose(frames, (3, 0, 1, 2)).astype(np.float32) / 256


# %% exercise="1.1" part="right" about="torch.permute"
def to_network(frames):
    import torch

    return torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 255


# %% [markdown]
# The package goes one step further: it gives every clip mean 0 and standard deviation 1. That removes
# exposure and colour cast, and keeps each change within the clip, which is where the expression is.

# %%
network = np.stack([frames[..., colour] for colour in range(3)]) / 255
standard = (network - network.mean()) / network.std()
config = AugmentConfig(size=224, frames=len(frames))
package = center_view(torch.from_numpy(frames[None]), config)[0].numpy()
gap = np.abs(package - standard).max()
print(f"by hand against ecstfl.clips.augment.center_view: largest difference {gap:.0e}")
assert gap < 1e-3
assert np.isfinite(package).all()

# %% [markdown]
# ## Seven labels, and how often
#
# DFEW's order is Happy, Sad, Neutral, Angry, Surprise, Disgust, Fear. Here is one of the invented people
# of the embedded data, with each expression where the face moves most:

# %% closed=true
truth = load_truth()
person = 21
strip = {}
for expression in CLASSES:
    clip, seen = lessons.embedded_clip(expression, person)
    strip[expression] = seen[plots_data.apex(truth[clip])][::2, ::2]
row = f"person {person}: seven labels, in DFEW's order"
plots_frames.filmstrip(
    {row: np.stack(list(strip.values()))},
    "One rendered person shows every expression once",
    ticks={row: CLASSES},
)

# %% [markdown]
# We drew as many clips of each class. Life does not: people in films are rarely disgusted, and DFEW,
# cut from films, has 145 Disgust clips in 11,697. So the embedded data also marks a subset in which the
# classes stand to each other as in DFEW, the **[long tail](../docs/glossary.md#long-tail)**:

# %%
balanced = open_embedded(verify=False)
longtail = open_embedded(verify=False, prior="longtail")
count = lambda clips: np.bincount(clips.labels, minlength=7).tolist()  # noqa: E731
sets = {"embedded": count(balanced), "long tail": count(longtail), "DFEW": list(DFEW_COUNTS)}
assert sets["embedded"] == [200] * 7
plots_data.class_shares(sets)

# %% [markdown] exercise="1.2" part="task" level=2
# ### Exercise 1.2: A long tail from a balanced set
#
# Write `long_tail(available, wanted)`: how many clips of each class to keep, so that they stand to each
# other as `wanted` and as many as possible stay. No class can give more than it has. Round each number
# to the nearest integer. Both arguments are lists of positive counts.
#
# <details><summary>Hint 1</summary>The answer is <code>scale * wanted</code> with one scale for all classes.</details>
# <details><summary>Hint 2</summary>Each class sets a limit on that scale: <code>available / wanted</code>. Which of
# the limits counts?</details>


# %% exercise="1.2" part="answer"
def long_tail(available, wanted):
    """Return the largest list of counts <= available in the proportions of wanted."""
    ### BEGIN SOLUTION
    available, wanted = np.asarray(available), np.asarray(wanted)
    scale = (available / wanted).min()
    return [int(np.floor(scale * w + 0.5)) for w in wanted]
    ### END SOLUTION


# %% exercise="1.2" part="try"
print(long_tail([200] * 7, DFEW_COUNTS))
print(long_tail([10, 10, 10], [2, 1, 1]))

# %% exercise="1.2" part="check" points=1
with check("1.2"):
    expect(
        long_tail,
        ([100, 6, 80], [4, 1, 2]),
        answer=[24, 6, 12],
        mistakes={
            "More clips of the second class than there are: may the total decide, or each class?": 186.0,
            "The class that is wanted most is not the one that runs out first: which limit counts?": 175.0,
            "These do not stand to each other as 4 : 1 : 2. One scale for all classes.": [4, 1, 2],
            "More clips than there are: the smallest limit counts, not the largest.": 280.0,
        },
    )
    expect(
        long_tail,
        ([7, 9], [3, 2]),
        answer=[7, 5],
        mistakes={
            "4.67 is nearest to 5: `int` cuts the digits off.": [7, 4],
        },
    )

# %% exercise="1.2" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("1.2"):
    value = list(long_tail([200] * 7, DFEW_COUNTS))
    wanted = np.bincount(open_embedded(verify=False, prior="longtail").labels).tolist()
    assert value == wanted, f"the long tail of the pack: expected {wanted}, got {value}"
    value = list(long_tail([100, 6, 50], [4, 1, 2]))
    assert value == [24, 6, 12], (
        f"the second class has only 6 clips: expected [24, 6, 12], got {value}"
    )
    value = list(long_tail([30, 60], [300, 100]))
    assert value == [30, 10], f"more wanted than there is: expected [30, 10], got {value}"
    value = list(long_tail([10, 10], [3, 2]))
    assert value == [10, 7], f"6.67 is nearest to 7: expected [10, 7], got {value}"
### END HIDDEN TESTS


# %% exercise="1.2" part="wrong" about="shares of the total: takes more than there is"
def long_tail(available, wanted):
    scale = sum(available) / sum(wanted)
    return [int(np.floor(scale * w + 0.5)) for w in wanted]


# %% exercise="1.2" part="wrong" about="looks at the most wanted class only"
def long_tail(available, wanted):
    k = int(np.argmax(wanted))
    return [int(np.floor(available[k] / wanted[k] * w + 0.5)) for w in wanted]


# %% exercise="1.2" part="wrong" about="cuts digits off"
def long_tail(available, wanted):
    scale = min(a / w for a, w in zip(available, wanted, strict=True))
    return [int(scale * w + 1e-9) for w in wanted]


# %% exercise="1.2" part="wrong" about="takes what is wanted, at most what is there: other proportions"
def long_tail(available, wanted):
    return [min(a, w) for a, w in zip(available, wanted, strict=True)]


# %% exercise="1.2" part="wrong" about="the largest limit instead of the smallest"
def long_tail(available, wanted):
    scale = max(a / w for a, w in zip(available, wanted, strict=True))
    return [int(np.floor(scale * w + 0.5)) for w in wanted]


# %% exercise="1.2" part="right" about="whole numbers only"
def long_tail(available, wanted):
    k = min(range(len(wanted)), key=lambda i: available[i] / wanted[i])
    a, w = int(available[k]), int(wanted[k])
    return tuple((2 * a * int(one) + w) // (2 * w) for one in wanted)


# %% [markdown]
# What does a long tail do to a score? Look at how many Disgust clips each fold holds, and at what a
# single one of them is worth:

# %%
disgust = CLASSES.index("Disgust")
fold_of = np.array([clip.fold for clip in longtail])
in_fold = [int(((longtail.labels == disgust) & (fold_of == k)).sum()) for k in longtail.folds]
print("Disgust clips in each fold of the long tail:", in_fold)
for where, number in (("a long-tail fold", min(in_fold)), ("a test fold of DFEW", 29)):
    print(
        f"{where}: {number} clips; one of them is {100 / number:.1f} points of recall, "
        f"{100 / number / 7:.2f} points of UAR"
    )
assert sum(in_fold) == count(longtail)[disgust] == 11
assert DFEW_COUNTS[disgust] == 29 * 5

# %% [markdown]
# So UAR, the fair average of lesson 07, hangs on very few clips. Balanced data has no such trouble, and
# no such lesson; that is why the pack has both.
#
# ## Folds: who is tested must be a stranger
#
# To test on every clip once, deal the clips into five [folds](../docs/glossary.md#fold); train on four, test on the fifth, five
# times. The plain way shuffles clips. But each of our people has seven clips, and faces differ from
# person to person more than from expression to expression. Is the person in a clip easy to
# find again? Describe each clip by its true landmarks (no pixels), and look for the nearest clip:

# %%
features = leakage.landmark_features(truth, balanced.ids)
scaled = (features - features.mean(0)) / features.std(0)
far = (scaled**2).sum(1)[:, None] + (scaled**2).sum(1) - 2 * scaled @ scaled.T
np.fill_diagonal(far, np.inf)
nearest = far.argmin(1)
same_person = (balanced.groups[nearest] == balanced.groups).mean()
same_label = (balanced.labels[nearest] == balanced.labels).mean()
print(f"the nearest clip shows the same person:     {same_person:5.1%}  (by chance {6 / 1399:.1%})")
print(
    f"the nearest clip shows the same expression: {same_label:5.1%}  (by chance {199 / 1399:.1%})"
)
assert same_person > 20 * 6 / 1399

# %% [markdown] exercise="1.3" part="task" level=2
# ### Exercise 1.3: Count the leak
#
# A clip **[leaks](../docs/glossary.md#leakage)** when another clip of its person lies in another fold: the model that is tested on it
# was trained on that face. Write `leaking(groups, folds)`: the number of clips that leak. Both are lists
# of the same length.
#
# <details><summary>Hint 1</summary>For one clip: is there any clip with the same group and another fold?</details>
# <details><summary>Hint 2</summary><code>any(h == g and e != f for h, e in zip(groups, folds))</code> answers it for
# the clip with group g and fold f.</details>


# %% exercise="1.3" part="answer"
def leaking(groups, folds):
    """Return how many clips have a clip of their own group in another fold."""
    ### BEGIN SOLUTION
    clips = list(zip(groups, folds, strict=True))
    return sum(any(h == g and e != f for h, e in clips) for g, f in clips)
    ### END SOLUTION


# %% exercise="1.3" part="try"
print(leaking(["ann", "ann", "bob", "bob", "cem"], [1, 2, 1, 1, 2]))
print(leaking(["ann", "ann", "ann", "bob"], [1, 1, 2, 2]))

# %% exercise="1.3" part="check" points=1
with check("1.3"):
    people_ = ["ann", "ann", "dan", "ann", "ann", "bob", "bob", "dan", "cem"]
    folds_ = [1, 1, 1, 2, 3, 2, 2, 3, 2]
    expect(
        leaking,
        (people_, folds_),
        answer=6,
        mistakes={
            "These are people, ann and dan. How many clips of them leak?": 2,
            "You count pairs. A clip leaks or it does not, however many partners it has.": 12,
            "Neighbours in the list only: a partner may stand anywhere.": 1,
            "bob has two clips in one fold: does that leak?": 8,
            "You leave out the clips of a person's first fold: is the model that is tested on them not trained on the others?": 3,
        },
    )

# %% exercise="1.3" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("1.3"):
    cases = (
        (["a", "a", "a", "b"], [1, 1, 2, 2], 3, "all three clips of a leak"),
        (["a", "b", "c"], [1, 2, 3], 0, "nobody has two clips"),
        (["a", "b", "a", "b"], [1, 2, 1, 2], 0, "each person has one fold"),
        (["a", "b", "a", "b"], [1, 1, 2, 1], 2, "a leaks, b does not, whatever the order"),
        (["a"] * 5, [1, 2, 3, 4, 5], 5, "five clips leak, however many pairs they make"),
    )
    for groups, folds, wanted, why in cases:
        value = leaking(groups, folds)
        assert value == wanted, f"{why}: expected {wanted}, got {value}"
### END HIDDEN TESTS


# %% exercise="1.3" part="wrong" about="counts people instead of clips"
def leaking(groups, folds):
    return sum(
        len({f for h, f in zip(groups, folds, strict=True) if h == g}) > 1 for g in set(groups)
    )


# %% exercise="1.3" part="wrong" about="counts pairs of clips"
def leaking(groups, folds):
    clips = list(zip(groups, folds, strict=True))
    return sum(h == g and e != f for g, f in clips for h, e in clips)


# %% exercise="1.3" part="wrong" about="looks only at the clip before"
def leaking(groups, folds):
    return sum(
        groups[i] == groups[i - 1] and folds[i] != folds[i - 1] for i in range(1, len(groups))
    )


# %% exercise="1.3" part="wrong" about="counts every clip of a person with several clips"
def leaking(groups, folds):
    return sum(list(groups).count(g) > 1 for g in groups)


# %% exercise="1.3" part="wrong" about="forgives the clips of the fold that comes first"
def leaking(groups, folds):
    first = {}
    for g, f in zip(groups, folds, strict=True):
        first.setdefault(g, f)
    return sum(f != first[g] for g, f in zip(groups, folds, strict=True))


# %% exercise="1.3" part="right" about="the folds of each person in a set"
def leaking(groups, folds):
    where = {}
    for group, fold in zip(groups, folds, strict=True):
        where.setdefault(group, set()).add(fold)
    return np.sum([len(where[group]) > 1 for group in groups])


# %% [markdown]
# Shuffle the embedded clips into five folds, and hold the pack's own folds beside it:

# %%
shuffled = leakage.random_folds(len(balanced), 5, np.random.default_rng(0))
own = np.array([clip.fold for clip in balanced])
by_chance = len(balanced) * (1 - 0.2**6)
print(f"clips that leak: shuffled {leakage.leaking(balanced.groups, shuffled).sum()}", end=", ")
print(f"expected {by_chance:.1f}; by person {leakage.leaking(balanced.groups, own).sum()}")
assert leakage.leaking(balanced.groups, shuffled).mean() > 0.99
assert not leakage.leaking(balanced.groups, own).any()
plots_data.fold_maps(
    balanced.groups, balanced.labels, {"clips shuffled": shuffled, "people dealt out": own}
)

# %% [markdown] exercise="1.4" part="task" level=3
# ### Exercise 1.4: Deal out people
#
# Write `deal(groups, k)`: a fold from 1 to `k` for each clip, so that **no group is in two folds** and the
# folds have about equal numbers of clips. Take the groups from the largest to the smallest, and put each
# **whole** into the fold that has the fewest clips so far (of equals, the one with the smallest number).
# Groups of equal size come in the order in which they first appear.
#
# <details><summary>Hint 1</summary><code>collections.Counter(groups).most_common()</code> gives groups with their
# sizes, largest first, equals in order of appearance.</details>
# <details><summary>Hint 2</summary>Keep a list with the clips of each fold;
# <code>load.index(min(load))</code> is the emptiest, and of equals the first.</details>
# <details><summary>Hint 3</summary>Note each group's fold in a dictionary; at the end look every clip up.</details>


# %% exercise="1.4" part="answer"
def deal(groups, k):
    """Return a fold 1..k for each clip; groups stay whole, folds about equal."""
    ### BEGIN SOLUTION
    from collections import Counter

    load, home = [0] * k, {}
    for group, size in Counter(groups).most_common():
        fold = load.index(min(load))
        home[group] = fold + 1
        load[fold] += size
    return [home[group] for group in groups]
    ### END SOLUTION


# %% exercise="1.4" part="try"
films = ["A"] * 6 + ["B"] * 2 + ["C"] * 3 + ["D"] * 1
print(dict(zip(films, deal(films, 2), strict=True)))
print("clips in each fold:", np.bincount(deal(films, 2))[1:])

# %% exercise="1.4" part="check" points=1
with check("1.4"):
    expect(
        deal,
        (["s", "t", "u", "t", "v", "u", "t"], 2),
        answer=[2, 1, 2, 1, 1, 2, 1],
        mistakes={
            "The clips of t lie in two folds: a group must stay whole.": [1, 2, 1, 2, 1, 2, 1],
            "The groups are whole, but dealt in turn: which fold has the fewest clips so far?": 11.0,
            "A cut through the list goes through groups: give each group, not each place, a fold.": [
                1,
                1,
                1,
                1,
                2,
                2,
                2,
            ],
            "The groups come in the order of the list. Which one is the largest?": [
                1,
                2,
                1,
                2,
                1,
                1,
                2,
            ],
            "The folds have equal numbers of groups. Count their clips.": [1, 1, 2, 1, 2, 2, 1],
            "Folds are numbered from 1.": [1, 0, 1, 0, 0, 1, 0],
        },
    )

# %% exercise="1.4" part="hidden" points=3
### BEGIN HIDDEN TESTS
with check("1.4"):
    rng = np.random.default_rng(4)
    people = [f"p{i}" for i, n in enumerate(rng.integers(1, 12, 40)) for _ in range(n)]
    people = [people[i] for i in rng.permutation(len(people))]
    folds = [int(f) for f in deal(people, 5)]
    assert set(folds) == {1, 2, 3, 4, 5}, f"folds are numbered 1 to 5, got {sorted(set(folds))}"
    assert not leakage.leaking(people, folds).any(), "a group stands in two folds"
    sizes = np.bincount(folds)[1:]
    assert np.ptp(sizes) <= 3, f"folds of very different size: {sizes.tolist()}"
    sizes = np.bincount(deal(["a"] * 9 + list("bcdefghij"), 2))[1:].tolist()
    assert sizes == [9, 9], f"one large group against nine small ones: got {sizes}"
    tail = list("bcdefghij") + ["a"] * 9
    sizes = np.bincount(deal(tail, 2))[1:].tolist()
    assert sizes == [9, 9], f"the same with the large group last: got {sizes}"
    value = [int(f) for f in deal(["s", "t", "t", "u"], 3)]
    assert value == [2, 1, 1, 3], (
        f"largest first, equals in order: expected [2, 1, 1, 3], got {value}"
    )
### END HIDDEN TESTS


# %% exercise="1.4" part="wrong" about="deals clips, not groups"
def deal(groups, k):
    return [i % k + 1 for i in range(len(groups))]


# %% exercise="1.4" part="wrong" about="deals groups in turn, whatever their size"
def deal(groups, k):
    order = {g: i for i, g in enumerate(dict.fromkeys(groups))}
    return [order[g] % k + 1 for g in groups]


# %% exercise="1.4" part="wrong" about="cuts the list into k pieces"
def deal(groups, k):
    return [i * k // len(groups) + 1 for i in range(len(groups))]


# %% exercise="1.4" part="wrong" about="as they come, not the largest first"
def deal(groups, k):
    load, home = [0] * k, {}
    for group in dict.fromkeys(groups):
        fold = load.index(min(load))
        home[group] = fold + 1
        load[fold] += groups.count(group)
    return [home[group] for group in groups]


# %% exercise="1.4" part="wrong" about="balances the number of groups instead of clips"
def deal(groups, k):
    ordered = sorted(dict.fromkeys(groups), key=lambda g: -groups.count(g))
    home = {g: i % k + 1 for i, g in enumerate(ordered)}
    return [home[g] for g in groups]


# %% exercise="1.4" part="wrong" about="counts folds from 0"
def deal(groups, k):
    load, home = [0] * k, {}
    for group in sorted(dict.fromkeys(groups), key=lambda g: -groups.count(g)):
        home[group] = load.index(min(load))
        load[home[group]] += groups.count(group)
    return [home[g] for g in groups]


# %% exercise="1.4" part="right" about="a heap of folds"
def deal(groups, k):
    import heapq

    heap, home = [(0, fold) for fold in range(1, k + 1)], {}
    groups = list(groups)
    for group in sorted(dict.fromkeys(groups), key=groups.count, reverse=True):
        load, home[group] = heapq.heappop(heap)
        heapq.heappush(heap, (load + groups.count(group), home[group]))
    return np.array([home[group] for group in groups])


# %% [markdown]
# The package's `assign_folds` (for your own clips) also spreads the *classes* evenly, and a clip set
# refuses to be split when a group stands on both sides:

# %%
dealt = assign_folds(balanced)
print(
    "assign_folds: clips that leak:", leakage.leaking(dealt.groups, [c.fold for c in dealt]).sum()
)
assert not leakage.leaking(dealt.groups, [c.fold for c in dealt]).any()

clips = (
    replace(clip, fold=int(f)) for clip, f in zip(balanced.clips, shuffled.tolist(), strict=True)
)
try:
    replace(balanced, clips=tuple(clips)).split(1)
    refused = False
except UserError as error:
    refused = True
    print("refused:", error)
assert refused

# %% [markdown]
# ## What does the leak do to a score?
#
# "Inflate it", says everyone. Let us measure instead. Two simple models look at the true landmarks: one
# copies the label of the nearest training clip (it learns by heart), one is linear. Three sets:
#
# 1. **as it is**: each person shows each expression once;
# 2. **scenes cut in two**: each clip becomes two, its beginning and its end, as when a film is cut;
# 3. **typecast**: of those, each person keeps two expressions of seven, as actors have their roles.


# %%
def typecast(rng, roles=2):
    """Pick clips of the pack: each person keeps some of the seven expressions."""
    keep = np.zeros(len(balanced), bool)
    for who in np.unique(balanced.groups):
        keep[rng.choice(np.flatnonzero(balanced.groups == who), roles, replace=False)] = True
    return keep


halves = [leakage.landmark_features(truth, balanced.ids, *part) for part in ((0, 0.45), (0.55, 1))]
twice = lambda values, keep: np.concatenate([values[keep]] * 2)  # noqa: E731
everyone = np.ones(len(balanced), bool)
few = typecast(np.random.default_rng(1))
both = lambda keep: (  # noqa: E731
    np.concatenate([half[keep] for half in halves]),
    twice(balanced.labels, keep),
    twice(own, keep),
)
designs = {
    "as it is": (features, balanced.labels, own),
    "scenes cut in two": both(everyone),
    "cut and typecast": both(few),
}
draws = settings.choose(smoke=2, quick=3, full=10)
scores = {}
for design, (x, y, folds) in designs.items():
    free = [leakage.random_folds(len(y), 5, np.random.default_rng(s)) for s in range(draws)]
    scores[design] = {
        model: (
            leakage.cross_validated(x, y, folds, model),
            [leakage.cross_validated(x, y, f, model) for f in free],
        )
        for model in leakage.MODELS
    }

# %% closed=true
gain = {d: {m: np.mean(f) - h for m, (h, f) in row.items()} for d, row in scores.items()}
assert gain["as it is"]["nearest"] < 0.01
assert 0.06 < gain["scenes cut in two"]["nearest"] < 0.11
assert 0.14 < gain["cut and typecast"]["nearest"] < 0.20
assert max(abs(row["linear"]) for row in gain.values()) < 0.03
stamp(plots_data.leak_gains(scores), run_id("leak", draws=draws, seed=1), fresh=True)

# %% [markdown]
# Nearly every clip leaks in all three, and the effect is anything from nothing to a lot:
#
# * **As it is**, knowing the person does not help. The copying model even loses: the same face, found
#   again, *always* has another label here.
# * **Cut in two**, the other half of a scene gives the label away. A model that learns by heart gains
#   about eight points.
# * **Typecast**, the face alone says a good deal about the label, and it gains about twice as much.
# * The linear model, with few weights for many clips, gains a point or two at most: not much more than
#   one draw of folds differs from the next.
#
# A C3D with 78 million weights can learn by heart. Which of the three is your data set? You cannot
# know beforehand, so keep people (films, scenes) apart. DFEW's lists have two columns, `video_name` and
# `label`: neither film nor actor is named, so for DFEW nobody can check this from the lists.
#
# ## What is rendered, and what is known
#
# No one was filmed for these clips. A program drew the faces, so it also knows what no annotator does:
# in each frame the strength of 23 **action units** (the muscles of a face), the place of 68 landmarks,
# and whether a face is there to be seen. Slide through a clip:


# %%
def moment(expression="Surprise", person=21, frame=10):
    """Show one frame of a clip with everything that is known about it."""
    clip, seen = lessons.embedded_clip(expression, person)
    return plots_data.clip_moment(seen, truth[clip], truth.unit_names, frame, clip)


play(moment, still=False, expression=list(CLASSES), person=(0, 199), frame=(0, 25))

# %% closed=true
clip, seen = lessons.embedded_clip("Surprise", person)
known = truth[clip]
assert known.units.shape == (len(seen), 23)
assert known.landmarks.shape == (len(seen), 68, 2)
assert np.isfinite(known.units).all()
assert known.units.min() >= -0.05
plots_data.clip_moments(seen, known, truth.unit_names, clip)

# %% [markdown]
# The label is *defined*: the prototype with the largest share (happy is 6 + 12, surprise 1 + 2 + 5 + 26,
# ...). What makes the clips hard is what makes films hard, and the manifest says of each clip what it was:

# %%
rows = [row for row in read_manifest() if row["split"] == "default"]
hindrances = {
    "a second expression is mixed in": [row["second"] != "" for row in rows],
    "the mouth talks": [row["speech"] == "1" for row in rows],
    "something covers the face": [row["occluder"] != "none" for row in rows],
    "frames without a face": [row["faceless"] != "none" for row in rows],
    "simulated raters are not of one mind": [
        max(int(row[f"votes_{c}"]) for c in CLASSES) < 10 for row in rows
    ],
}
for what, marks in hindrances.items():
    print(f"{what:38s} {sum(marks):5d} of {len(rows)} clips ({np.mean(marks):.0%})")
frames_in_all = sum(int(row["frames"]) for row in rows)
gone = sum(int((~truth[row["clip"]].visible).sum()) for row in rows)
print(f"{'frames in all, of them with no face to see':38s} {frames_in_all:,}, {gone}")
assert len(rows) == 1400
assert 0 < gone < 0.05 * frames_in_all

# %% [markdown]
# | the rendered clips can show | they cannot show |
# |---|---|
# | that each step runs, from video to table | how well it would do on people |
# | how far a detector's landmarks are off | how far an annotator's label is off |
# | what imbalance, folds and seeds do to a score | what any group of people looks like |
#
# The whole story, with limits, is in the datasheet, `data/README.md`. A data set without one is a
# data set about which somebody will guess.
#
# ## Checkpoint

# %% part="quiz"
question(
    "A list of clips names neither person nor film. You shuffle it into five folds and score 70 %. What can you say?",
    [
        "70 % is what new people will get",
        "New people may get less; by how much cannot be told from this",
        "The score is too high by a fixed amount that can be subtracted",
    ],
    right=2,
    why=[
        "Only if no person of a test fold was in training, and that cannot be checked here.",
        "The same leak gave nothing in one set here, and about eight and seventeen points in two others.",
        "The effect depends on the set and on the model: measured, it went from less than 0 to about 17 points.",
    ],
)

# %% part="quiz"
question(
    "In the set 'as it is' the copying model scored lower when folds ignored people. Why?",
    [
        "It had fewer clips to train on",
        "The same face, found again, carried another label every time",
        "Landmarks do not tell people apart",
    ],
    right=2,
    why=[
        "Both ways train on four fifths of the clips.",
        "Each person shows each expression once, so a neighbour of the same person is always wrong.",
        "They do: the nearest clip shows the same person far more often than by chance.",
    ],
)

# %% part="quiz"
question(
    "A test fold of DFEW holds 29 Disgust clips. A change of method finds one more of them. UAR rises by about ...",
    ["half a point", "three and a half points", "0.04 points"],
    right=1,
    why=[
        "One of 29 is 3.4 points of recall, and recall is one of seven in the mean.",
        "That is the rise of Disgust's recall; UAR takes the mean over seven classes.",
        "That is about what one clip of a fold's 2,340 does to WAR.",
    ],
)

# %% [markdown]
# ## Summary
#
# * A clip is (T, H, W, 3) bytes; a network wants (3, T, H, W) real numbers, standardised per clip.
# * DFEW has 18 times more Neutral than Disgust; UAR then hangs on few clips.
# * Shuffled folds leak nearly every clip of people with several clips. What that does to the score
#   depends on the set and the model: here from below 0 to about 17 points.
# * Rendered clips know their truth. They prove steps, not accuracy on people.
#
# ## What can go wrong
#
# * `reshape` where `transpose` is meant: the shape is right and the picture is noise.
# * Labels from 1 to 7 in one file and from 0 to 6 in the next (lesson 00).
# * Two cuts of one scene under two names: no list shows it. Compare first and last frames.
# * A folder read in the order of its names: 1, 10, 11, 2.
#
# ## Further reading
#
# * `data/README.md` of this repository: the datasheet of the rendered clips.
# * Gebru et al., *Datasheets for datasets*, Communications of the ACM 2021.
# * Kapoor and Narayanan, *Leakage and the reproducibility crisis in machine-learning-based science*,
#   Patterns 2023.
# * [Data](../docs/data.md): how DFEW, RAVDESS, CREMA-D and your own folder are read, and what is checked.
#
# Next: 02, faces.
