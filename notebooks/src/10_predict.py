# Text source of lesson 10. Build: make notebooks ARGS=10
# ruff: noqa: E501 (prose in tables)

# %% [markdown] part="header"
# # 10 · Recognise your own video, and know what it is worth
#
# The device of claim 5: a video in, an expression out, with a probability. You will point it at clips, at
# yourself if you like, and then spend most of the lesson on what that probability does *not* say.
#
# **You will learn to** *recognise* expressions in a video, *calibrate* a probability, *abstain* where it is
# wise, *audit* groups of people, and *explain* why an emotion label is not an emotion.
#
# | | |
# |---|---|
# | Before this | lessons 02 and 07; conditional probability |
# | Time | {{minutes}} min to run (quick profile, two CPU cores); no GPU is used |
# | Memory | {{memory}} at the peak; no GPU memory |
# | Data | wild clips (synthetic: rendered, other people, hard conditions), landed predictions, your video if you wish |
# | Source | CN112101119A claim 5; Guo et al. 2017 (calibration); Barrett et al. 2019 |
# | Exercises | {{exercises}} |

# %% part="setup"
from itertools import pairwise

import numpy as np
from lessonkit import lessons, plots_predict
from lessonkit.checks import check, expect
from lessonkit.guess import guess_choice, guess_number, progress
from lessonkit.lessons import play
from scipy.special import softmax

from ecstfl.labels import CLASSES, DFEW_COUNTS
from ecstfl.metrics.calibration import reliability

settings = lessons.start("10")

# %% [markdown]
# ## The model, and what it says about itself
#
# The checkpoint comes with the repository. It holds its own preprocessing, so that a video is cut and
# aligned exactly as the training clips were. Its first sentence is the most important one:

# %%
from lessonkit.plots_features import differences
from lessonkit.reference_results import find_reference_run
from lessonkit.stamp import stamp

from ecstfl.datasets.embedded import open_embedded, read_manifest
from ecstfl.errors import UserError
from ecstfl.metrics.intervals import bootstrap_interval, jackknife
from ecstfl.predict.annotate import draw
from ecstfl.predict.recognizer import Recognizer
from ecstfl.video.reading import read_frames

recognizer = Recognizer()
model = recognizer.notes.run  # the run whose weights these are
print(recognizer.statement)

# %% [markdown]
# ## One clip
#
# A wild clip: another rendered person, harder light and poses, things in front of the face.

# %% closed=true
wild = open_embedded(split="wild", verify=False)
person = wild.groups[0]
own = sorted((clip for clip in wild if clip.group == person), key=lambda clip: clip.label)
prediction = recognizer.recognize(own[0].source, track=True)
images = list(draw(prediction, recognizer))
top = max(prediction.probabilities)
stamp(
    plots_predict.still(
        images[len(images) // 2],
        f"Rendered clip of {CLASSES[own[0].label]}: the model says {prediction.outcome} (most likely {prediction.expression}, {top:.2f})",
    ),
    model,
    fresh=False,
)

# %% [markdown]
# ## Your own video
#
# Everything runs on this computer; nothing is sent or kept. Before you point it at anybody:
#
# * **Yourself**, or people who said yes *after* you told them what is done and what for. Filming first and
#   asking later is not consent; neither is "it was on the internet".
# * No children, no patients, no colleagues who cannot easily say no to you.
# * Never for a decision about a person. In the European Union, inferring emotions of people at work and in
#   education is prohibited (Regulation (EU) 2024/1689, Article 5), with narrow exceptions.
#
# Then write a path below, or set `CAMERA = 0`, and run this cell and the next. Without either, the rendered
# person plays seven clips one after the other.

# %%
MY_VIDEO = ""  # for instance "holiday/me.mp4"
CAMERA = -1  # the camera's number, usually 0; -1 for none

# %% closed=true
truth, who = [], "Your video"
if CAMERA >= 0:
    from lessonkit.webcam import watch

    windows = watch(recognizer, CAMERA, seconds=20)
elif MY_VIDEO:
    windows = recognizer.recognize(MY_VIDEO).windows
else:
    parts = [np.stack(list(read_frames(clip.source))) for clip in own]
    who = "A rendered person"
    ends = np.cumsum([0, *map(len, parts)]) / 25
    truth = [(a, b, CLASSES[clip.label]) for (a, b), clip in zip(pairwise(ends), own, strict=True)]
    windows = recognizer.recognize(np.concatenate(parts), fps=25).windows
silent = sum(bool(w.why) for w in windows)
for w in windows:
    print(
        f"{w.start:5.1f} to {w.end:4.1f} s  {w.outcome:10s} most likely {w.expression:9s} {max(w.probabilities):.2f}"
    )
    assert abs(sum(w.probabilities) - 1) < 1e-6
stamp(
    plots_predict.over_time(
        windows, f"{who}: {len(windows)} windows, silent in {silent} of them", truth
    ),
    model,
    fresh=False,
)

# %% [markdown]
# Look at the windows that lie across a border: half of one display, half of the next. The network never
# learned to say "changing". It has seven words, and uses one of them for whatever it is shown.
#
# ## Many clips: how good is it where it was not trained?
#
# The model card says how often it is right on clean rendered clips of unseen people. And on the wild ones?
# Clips in which no face is found count as wrong: whoever uses it would not get an answer.

# %%
hard_war = guess_number(
    "10-wild", "How many wild clips will it recognise, in percent? Chance is 14.", 0, 100, unit="%"
)
hard_war

# %% closed=true
wanted = settings.choose(smoke=3, quick=30, full=30)
people = list(dict.fromkeys(wild.groups))[:wanted]
chosen = [clip for clip in wild if clip.group in people]
rows, faceless = [], 0
for clip in chosen:
    try:
        rows.append(recognizer.recognize(clip.source).probabilities)
    except UserError:  # no face in any frame
        rows.append([1 / 7] * 7)
        faceless += 1
wild_p = np.array(rows)
wild_y = np.array([clip.label for clip in chosen])
wild_people = np.array([clip.group for clip in chosen])
print(
    f"{len(chosen)} wild clips of {len(people)} rendered people; {faceless} without any face found"
)
assert np.isfinite(wild_p).all()
assert np.allclose(wild_p.sum(axis=1), 1)

# %% closed=true
landed = find_reference_run(model)
test_y = landed.features["labels"].astype(int)
test_logits = landed.features["logits"].astype(float)
test_people = landed.features["groups"]
wild_said = wild_p.argmax(axis=1)
draws = settings.choose(smoke=300, quick=2000, full=10000)
war = {}
for name, y, said, groups in (
    (
        f"test fold ({len(np.unique(test_people))} people)",
        test_y,
        test_logits.argmax(axis=1),
        test_people,
    ),
    (f"wild ({len(people)} people)", wild_y, wild_said, wild_people),
):
    interval = bootstrap_interval(y, said, groups, "war", resamples=draws)
    war[name] = (interval.value, interval.low, interval.high)
    print(
        f"{name:24s} WAR {100 * interval.value:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}], both synthetic"
    )
(clean, clean_low, clean_high), (hard, hard_low, hard_high) = war.values()
cost = hard - clean  # two draws of different people: their errors add up in squares
low = cost - np.hypot(hard - hard_low, clean_high - clean)
high = cost + np.hypot(hard_high - hard, clean - clean_low)
assert low < cost < high
stamp(
    plots_predict.scores(
        war,
        f"Rendered clips: harder conditions change WAR by {100 * cost:+.0f} points, 95 % [{100 * low:+.0f}, {100 * high:+.0f}]",
        "WAR (percent), 95 % interval over people",
    ),
    model,
    fresh=False,
)

# %%
hard_war.truth(100 * hard, f"On clean clips of unseen people it is {100 * clean:.0f} %.")

# %% [markdown]
# So much is lost where the renderer is still the same, and only expressions are weaker, heads turn
# further and hands or microphones pass in front. From rendered to filmed is another step, and nothing here
# measures it. Expect less on your own face, and do not be surprised by nonsense.
#
# ## Is 0.8 right eight times in ten?
#
# A probability is **[calibrated](../docs/glossary.md#calibration)** when among all answers with confidence 0.8 eight in ten are right. To see
# it, put clips of like confidence into a bin and compare.

# %% [markdown] exercise="10.1" part="task" level=2
# ### Exercise 10.1: Calibration error
#
# Write `calibration_error(confidence, right, bins)`: cut 0..1 into equal bins, each $(low, high]$. In each
# bin that has clips take |mean confidence - share right|; return the mean of these, **weighted by the
# number of clips**. (This is the expected calibration error, ECE.)
#
# <details><summary>Hint 1</summary><code>np.ceil(confidence * bins) - 1</code> numbers the bins 0 to bins - 1.</details>
# <details><summary>Hint 2</summary>Empty bins have no mean: leave them out. Weights are shares of all clips.</details>


# %% exercise="10.1" part="answer"
def calibration_error(confidence, right, bins):
    """Return the expected calibration error, 0..1; confidence (n,) in (0, 1], right (n,) bool."""
    ### BEGIN SOLUTION
    number = np.ceil(confidence * bins) - 1
    total = 0.0
    for one in np.unique(number):
        inside = number == one
        total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return total
    ### END SOLUTION


# %% exercise="10.1" part="try"
rng = np.random.default_rng(0)
sure = rng.uniform(0.3, 1, 4000)
print(f"honest:        {calibration_error(sure, rng.random(4000) < sure, 10):.3f}")
print(f"over-confident: {calibration_error(sure, rng.random(4000) < sure - 0.2, 10):.3f}")

# %% exercise="10.1" part="check" points=1
with check("10.1"):
    sure_ = np.array([0.85, 0.85, 0.85, 0.5, 0.45])
    right_ = np.array([True, True, False, True, False])
    expect(
        calibration_error,
        (sure_, right_, 10),
        answer=0.12,
        mistakes={
            "A bin of three clips must count more than a bin of two.": 0.10417,
            "Without bins, too sure and not sure enough cancel.": 0.1,
            "Bins have equal width, not equal numbers of clips.": 0.42,
            "Compare with the mean confidence in the bin, not with its middle.": 0.13,
            "0.5 lies in (0.4, 0.5]: a border belongs to the bin below it.": 0.3,
        },
    )

# %% exercise="10.1" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("10.1"):
    rng_ = np.random.default_rng(2)
    for bins_ in (5, 10, 15):
        p_ = rng_.dirichlet(np.ones(7) * 0.4, 300)
        y_ = rng_.integers(0, 7, 300)
        wanted_ = reliability(p_, y_, bins_).ece
        value_ = calibration_error(p_.max(axis=1), p_.argmax(axis=1) == y_, bins_)
        assert abs(value_ - wanted_) < 1e-9, (
            f"{bins_} bins: expected {wanted_:.4f}, got {value_:.4f}"
        )
    value_ = calibration_error(np.array([0.5, 0.45]), np.array([True, False]), 10)
    assert abs(value_ - 0.025) < 1e-9, "0.45 and 0.5 share the bin (0.4, 0.5]"
    value_ = calibration_error(np.array([0.85] * 8 + [0.55]), np.array([True] * 8 + [False]), 10)
    assert abs(value_ - (8 * 0.15 + 0.55) / 9) < 1e-9, "a bin counts by its clips"
### END HIDDEN TESTS


# %% exercise="10.1" part="wrong" about="every bin counts the same"
def calibration_error(confidence, right, bins):
    number = np.ceil(confidence * bins) - 1
    gaps = [
        abs(confidence[number == k].mean() - right[number == k].mean()) for k in np.unique(number)
    ]
    return np.mean(gaps)


# %% exercise="10.1" part="wrong" about="no bins: over- and under-confidence cancel"
def calibration_error(confidence, right, bins):
    return abs(confidence.mean() - right.mean())


# %% exercise="10.1" part="wrong" about="bins of equal numbers of clips instead of equal width"
def calibration_error(confidence, right, bins):
    order = np.argsort(confidence)
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return sum(len(p) * abs(confidence[p].mean() - right[p].mean()) for p in parts) / len(order)


# %% exercise="10.1" part="wrong" about="compares with the middle of the bin"
def calibration_error(confidence, right, bins):
    number = np.ceil(confidence * bins) - 1
    total = 0.0
    for one in np.unique(number):
        inside = number == one
        total += inside.mean() * abs((one + 0.5) / bins - right[inside].mean())
    return total


# %% exercise="10.1" part="wrong" about="a border belongs to the bin above it"
def calibration_error(confidence, right, bins):
    number = np.minimum(np.floor(confidence * bins), bins - 1)
    total = 0.0
    for one in np.unique(number):
        inside = number == one
        total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return total


# %% exercise="10.1" part="right" about="np.digitize"
def calibration_error(confidence, right, bins):
    number = np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True)
    ways = [(confidence - right)[number == one].sum() for one in set(number)]
    return sum(map(abs, ways)) / len(right)


# %% [markdown]
# The shipped model divides its logits by a **temperature**, fitted on a validation fold (never on the test
# fold). Does it help? Even a perfect model has an error above 0 with few clips, so the range that a perfect
# model would show stands beside each:

# %%
honest = guess_choice(
    "10-wild-calibration",
    "On wild clips, is the shipped model as sure as it should be?",
    ["too sure", "about right", "not sure enough"],
)
honest

# %% closed=true
temperature = recognizer.notes.temperature
print(
    f"temperature {temperature:.3f}, fitted on {recognizer.notes.calibrated_on} validation clips (synthetic)"
)
cases = {
    "test fold (as trained)": (softmax(test_logits, axis=1), test_y),
    "test fold (temperature)": (softmax(test_logits / temperature, axis=1), test_y),
    "wild (temperature)": (wild_p, wild_y),
}
panels = {}
for name, (p, y) in cases.items():
    result = reliability(p, y, 10)
    panels[name] = (
        result,
        plots_predict.honest_ece(p, 10, settings.choose(smoke=100, quick=500, full=2000)),
    )
inside = [name for name, (result, (low, high)) in panels.items() if low <= result.ece <= high]
stamp(
    plots_predict.reliabilities(
        panels,
        "Synthetic clips. As well calibrated as a perfect model could look: "
        + (" and ".join(inside) or "none of the three"),
    ),
    model,
    fresh=False,
)

# %%
result, (low, high) = panels["wild (temperature)"]
gap = wild_p.max(axis=1).mean() - (wild_said == wild_y).mean()
answer = "about right" if result.ece <= high else "too sure" if gap > 0 else "not sure enough"
honest.truth(answer, f"Mean confidence minus share right: {100 * gap:+.0f} points.")

# %%
for name, (p, y) in cases.items():  # your function says the same as the package's
    mine, theirs = calibration_error(p.max(axis=1), p.argmax(axis=1) == y, 10), panels[name][0].ece
    print(f"{name:23s} by hand {mine:.4f}, package {theirs:.4f}")
    assert abs(mine - theirs) < 1e-9

# %% [markdown]
# A temperature from 280 clips of *another* fold is an estimate, too: compare the first two panels before you
# trust the word "calibrated". The third asks whether it survives harder conditions. An error inside the range
# of a perfect model is no proof: with few clips the range is wide, and it says nothing about *filmed* faces,
# where the network does not know that it no longer knows.
#
# ## Saying nothing
#
# Below a probability of 0.5 this kit says "uncertain". What does silence buy?

# %% [markdown] exercise="10.2" part="task" level=1
# ### Exercise 10.2: Answer or be silent
#
# Write `answers(confidence, right, threshold)`: the pair (share of clips answered, share right **among the
# answered**). A clip is answered when its confidence is at least the threshold. If no clip is answered,
# the second number does not exist: return `None` for it.
#
# <details><summary>Hint 1</summary><code>confidence >= threshold</code> is a mask; its mean is a share.</details>
# <details><summary>Hint 2</summary>The mean of an empty array is NaN with a warning: ask first.</details>


# %% exercise="10.2" part="answer"
def answers(confidence, right, threshold):
    """Return (share answered, share right among them or None)."""
    ### BEGIN SOLUTION
    spoken = confidence >= threshold
    if not spoken.any():
        return 0.0, None
    return spoken.mean(), right[spoken].mean()
    ### END SOLUTION


# %% exercise="10.2" part="try"
p, y = cases["test fold (temperature)"]
for threshold in (0.0, 0.5, 0.8, 1.01):
    share, good = answers(p.max(axis=1), p.argmax(axis=1) == y, threshold)
    told = "nothing to be right about" if good is None else f"{good:.1%} of them right"
    print(f"threshold {threshold:.2f}: {share:6.1%} answered, {told} (synthetic)")

# %% exercise="10.2" part="check" points=1
with check("10.2"):
    sure_, right_ = np.array([0.3, 0.5, 0.6, 0.9]), np.array([True, False, True, True])
    expect(
        answers,
        (sure_, right_, 0.5),
        answer=[0.75, 0.66666667],
        mistakes={
            "Silence is no error: the second share is among the answered.": [0.75, 0.5],
            "At the threshold itself the model answers: `>` or `>=`?": [0.5, 1],
            "This is the share of silence.": [0.25, 0.66667],
        },
    )
    expect(
        answers,
        (sure_, right_, 0.95),
        answer=[0, None],
        mistakes={
            "Nothing is answered, so there is nothing to be right about: return None, no number.": 1.0,
        },
    )

# %% exercise="10.2" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("10.2"):
    c_, r_ = np.array([0.2, 0.5, 0.7, 0.7]), np.array([True, False, True, True])
    for t_, wanted_ in (
        (0.5, (0.75, 2 / 3)),
        (0.0, (1.0, 0.75)),
        (0.71, (0.0, None)),
        (0.6, (0.5, 1.0)),
    ):
        value_ = tuple(answers(c_, r_, t_))
        same_ = abs(value_[0] - wanted_[0]) < 1e-9 and (
            value_[1] is None
            if wanted_[1] is None
            else value_[1] is not None and abs(value_[1] - wanted_[1]) < 1e-9
        )
        assert same_, f"threshold {t_}: expected {wanted_}, got {value_}"
### END HIDDEN TESTS


# %% exercise="10.2" part="wrong" about="right among all clips: silence counts as an error"
def answers(confidence, right, threshold):
    spoken = confidence >= threshold
    if not spoken.any():
        return 0.0, None
    return spoken.mean(), (right & spoken).mean()


# %% exercise="10.2" part="wrong" about="silent at the threshold itself"
def answers(confidence, right, threshold):
    spoken = confidence > threshold
    if not spoken.any():
        return 0.0, None
    return spoken.mean(), right[spoken].mean()


# %% exercise="10.2" part="wrong" about="perfect when nothing is said"
def answers(confidence, right, threshold):
    spoken = confidence >= threshold
    return spoken.mean(), right[spoken].sum() / spoken.sum() if spoken.any() else 1.0


# %% exercise="10.2" part="wrong" about="the share of silence"
def answers(confidence, right, threshold):
    spoken = confidence >= threshold
    if not spoken.any():
        return 1.0, None
    return 1 - spoken.mean(), right[spoken].mean()


# %% closed=true
p, y = cases["test fold (temperature)"]
lines = {
    "test fold": (p.max(axis=1), p.argmax(axis=1) == y),
    "wild": (wild_p.max(axis=1), wild_said == wild_y),
}


def silence(threshold=0.5):
    """Draw the choice between answering more and being right more often."""
    return stamp(plots_predict.answered(lines, threshold, "Synthetic clips"), model, fresh=False)


play(silence, threshold=(0.2, 0.95, 0.05))

# %%
for confidence, right in lines.values():
    coverage, accuracy = plots_predict.answered_curve(confidence, right)
    share, good = answers(confidence, right, 0.5)
    assert good is None or np.isclose(accuracy[round(share * len(right)) - 1], good)

# %% [markdown]
# Silence helps as long as confidence ranks clips well. It cannot help against a display that the model has
# no word for: boredom, pain, chewing, a joke.
#
# ## Rare things
#
# In our test fold each expression has the same number of clips. In life they do not. Suppose the model finds
# 60 % of all fear, and says "fear" for 5 % of everything else. A good alarm?

# %%
alarm_worth = guess_number(
    "10-fear",
    "Fear is shown in 1 of 100 clips. How often is a 'Fear' right, in percent?",
    0,
    100,
    unit="%",
)
alarm_worth

# %% [markdown] exercise="10.3" part="task" level=3
# ### Exercise 10.3: What is a "Fear" worth?
#
# Write `worth(hit, false_alarm, share)`: how often is fear really shown **when the model says so**?
# `hit` = P(said | shown), `false_alarm` = P(said | not shown), `share` = P(shown). If the model never says
# it, return 0.
#
# <details><summary>Hint 1</summary>Bayes: P(shown | said) = P(said | shown) P(shown) / P(said).</details>
# <details><summary>Hint 2</summary>It is said for a part of those who show it and for a part of those who do not.</details>


# %% exercise="10.3" part="answer"
def worth(hit, false_alarm, share):
    """Return P(shown | said), 0..1."""
    ### BEGIN SOLUTION
    said = hit * share + false_alarm * (1 - share)
    return hit * share / said if said > 0 else 0.0
    ### END SOLUTION


# %% exercise="10.3" part="try"
for share in (1 / 7, 0.05, 0.01, 0.001):
    print(
        f"shown in {share:6.1%} of all clips: a 'Fear' is right {worth(0.6, 0.05, share):6.1%} of the time"
    )

# %% exercise="10.3" part="check" points=1
with check("10.3"):
    expect(
        worth,
        (0.8, 0.1, 0.2),
        answer=0.66666667,
        mistakes={
            "This is P(said | shown), what you were given. How many of the said are shown?": 0.8,
            "False alarms come only from those who do not show it: their share is 1 - 0.2.": 0.61538,
            "The share is not used: fear is rare, and that matters.": 0.88889,
            "This is how often it is shown and said. Divide by how often it is said.": 0.16,
        },
    )
    expect(
        worth,
        (0.0, 0.0, 0.1),
        answer=0,
    )

# %% exercise="10.3" part="hidden" points=3
### BEGIN HIDDEN TESTS
with check("10.3"):
    for h_, f_, s_ in ((0.6, 0.05, 0.01), (0.9, 0.2, 0.5), (1.0, 0.0, 0.1), (0.3, 0.7, 0.2)):
        wanted_ = float(plots_predict.believed(h_, f_, s_))
        value_ = worth(h_, f_, s_)
        assert abs(value_ - wanted_) < 1e-9, (
            f"hit {h_}, false alarm {f_}, share {s_}: expected {wanted_:.4f}, got {value_}"
        )
    assert worth(0.0, 0.0, 0.1) == 0, "never said: 0"
    assert worth(0.8, 0.1, 0.0) == 0, "never shown: never right"
### END HIDDEN TESTS


# %% exercise="10.3" part="wrong" about="P(said | shown) taken for P(shown | said)"
def worth(hit, false_alarm, share):
    return hit * share / share if share and hit else 0.0


# %% exercise="10.3" part="wrong" about="forgets how many do not show it"
def worth(hit, false_alarm, share):
    said = hit * share + false_alarm
    return hit * share / said if said > 0 else 0.0


# %% exercise="10.3" part="wrong" about="forgets the share altogether"
def worth(hit, false_alarm, share):
    return hit / (hit + false_alarm) if hit + false_alarm > 0 else 0.0


# %% exercise="10.3" part="wrong" about="P(said and shown) instead of P(shown | said)"
def worth(hit, false_alarm, share):
    return hit * share


# %% exercise="10.3" part="right" about="odds"
def worth(hit, false_alarm, share):
    if not hit * share:
        return 0
    return 1 / (1 + false_alarm * (1 - share) / (hit * share))


# %%
alarm_worth.truth(100 * float(plots_predict.believed(0.6, 0.05, 0.01)), "Most alarms are false.")

# %% [markdown]
# The same recalls, once with equal shares as in the test fold, once with the class sizes of DFEW:

# %% closed=true
confusion = np.array(landed.run["confusion"])
equal, dfew = np.full(7, 1 / 7), np.array(DFEW_COUNTS) / sum(DFEW_COUNTS)
rest = confusion.sum(axis=0) - confusion.diagonal()
for c in (5, 6):
    hit = confusion[c, c] / confusion[c].sum()
    alarm = rest[c] / (confusion.sum() - confusion[c].sum())
    print(
        f"{CLASSES[c]}: found {hit:.0%}, false alarm {alarm:.1%}; right when said: {worth(hit, alarm, 1 / 7):.0%} at equal shares (synthetic)"
    )
    assert np.isclose(worth(hit, alarm, 1 / 7), confusion[c, c] / confusion[:, c].sum())
stamp(
    plots_predict.base_rates(
        confusion, {"equal shares": equal, "DFEW's class sizes": dfew}, "Synthetic clips"
    ),
    model,
    fresh=False,
)

# %% [markdown]
# Nothing about the model has changed; the world has. Whoever sells an alarm for something rare owes you
# this number, not the accuracy.
#
# ## For whom does it work?
#
# A mean over people can hide that it fails for some. An **audit** splits the test people and compares. Our
# people are rendered, so this is an exercise in method; it says nothing about anybody real. With 40 people
# in all, be prepared for wide intervals.

# %% closed=true
about = {row["clip"]: row for row in read_manifest()}
ids = landed.features["ids"]
right = test_logits.argmax(axis=1) == test_y


def column(name):
    """Return one appearance parameter of the test clips, as text."""
    return np.array([about[str(i)][name] for i in ids])


splits = {
    "glasses minus none": column("glasses") != "none",
    "beard minus none": column("beard") != "none",
    "grey hair minus other": column("hair_grey").astype(float) > 0,
    "darker minus lighter skin": column("melanin").astype(float)
    > np.median(column("melanin").astype(float)),
    "older minus younger": column("age").astype(float) > np.median(column("age").astype(float)),
}
gaps = {}
for name, part in splits.items():
    value, low, high = jackknife(
        lambda keep, part=part: right[keep & part].mean() - right[keep & ~part].mean(), test_people
    )
    gaps[
        f"{name}\n({len(np.unique(test_people[part]))} of {len(np.unique(test_people))} people)"
    ] = [(100 * value[0], 100 * low[0], 100 * high[0])]
    assert low[0] <= value[0] <= high[0]
seen = sum(low > 0 or high < 0 for [(_, low, high)] in gaps.values())
widest = max((high - low) / 2 for [(_, low, high)] in gaps.values())
stamp(
    differences(
        gaps,
        f"Rendered people: {seen} of {len(gaps)} gaps differ from 0, known to ± {widest:.0f} points at worst",
        "difference in WAR (points)",
        digits=1,
    ),
    model,
    fresh=False,
)

# %% [markdown]
# <details><summary>Think: you find no gap. What may you write?</summary>"No gap larger than about so many points, among
# these people", with the interval. Never "the model is fair".</details>
#
# "No difference found" is not "no difference": gaps as large as the bars would go unseen. With five
# comparisons at 95 %, nearly one in four such audits raises a false alarm. And the groups here are sliders of
# a renderer. For real people the grouping itself is a claim that they must be asked about.
#
# Such gaps are real elsewhere: commercial systems read more anger into Black players' faces than into white
# players' (Rhue 2018), and face analysis failed most for darker-skinned women (Buolamwini and Gebru 2018).
#
# ## Why an emotion label is not an emotion
#
# | what happens | what the model has of it |
# |---|---|
# | a person feels something | nothing |
# | the face moves, or does not | 16 frames of 64 pixels, one second |
# | the situation, the voice, the words, the culture | nothing |
# | annotators choose one of seven words | the majority's word |
# | the network is trained on those words | "Angry" means: annotators would say Angry |
#
# Barrett and colleagues (2019) reviewed what is known: people scowl in anger about three times in ten
# in the studies they gathered, scowl for other reasons too, and the same movement means different things in
# different situations and cultures. So read the output as what it is: *"annotators of this data set would
# probably call this display Angry"*. Not: this person is angry. That sentence is claimed by nobody who
# has read the evidence.
#
# ## Checkpoint

# %% part="quiz"
question(
    "The kit says 'Angry, 0.93' about your colleague's video call. What do you know?",
    [
        "Your colleague is angry with probability 0.93",
        "The network, trained on rendered faces, finds this display most like those labelled Angry",
        "Nine in ten people would agree that your colleague is angry",
    ],
    right=2,
    why=[
        "It sees pixels of a face; what is felt is not in them, and on real people this network is often wrong (see the model card).",
        "That is all: a resemblance to labelled displays. And at work you may not even run it in the EU.",
        "No person was asked; and being judged angry is not being angry.",
    ],
)

# %% part="quiz"
question(
    "A temperature is fitted on the test fold, and the calibration error there falls to 2 %. Good?",
    [
        "Yes: the model is calibrated now",
        "No: it was fitted on the clips that measure it",
        "No: temperature lowers the accuracy",
    ],
    right=2,
    why=[
        "On those clips it had to fall; unseen clips were not asked.",
        "Whatever is fitted on the test fold cannot be measured there.",
        "Dividing by one number keeps the order of the classes, so accuracy stays.",
    ],
)

# %% part="quiz"
question(
    "An audit with 12 people a group finds a gap of 4 points, 95 % interval -11 to +19. What do you report?",
    [
        "There is no gap",
        "There is a gap of 4 points",
        "4 points, interval -11 to +19: these people are too few to tell",
    ],
    right=3,
    why=[
        "A gap of 15 points would fit these data as well as none.",
        "So would a gap in the other direction.",
        "The interval is the finding: it says how many more people you need.",
    ],
)

# %%
progress()

# %% [markdown]
# ## Summary
#
# * The model carries its preprocessing, its temperature and its limits with it.
# * Calibration is measured on clips that fitted nothing, against what a perfect model would show.
# * Silence below a threshold buys accuracy, as far as confidence ranks well.
# * What a rare label is worth depends on how rare it is.
# * An audit needs people, intervals and their consent. The label names a display, not a feeling.
#
# ## What can go wrong
#
# * No face is found, or the wrong person's: look at the annotated video (`ecstfl predict --annotate`).
# * A window across two displays gets one word.
# * A number measured on rendered faces is quoted for real ones.
#
# ## Further reading
#
# * Barrett, Adolphs, Marsella, Martinez and Pollak, *Emotional expressions reconsidered*, Psychological
#   Science in the Public Interest 2019, doi 10.1177/1529100619832930.
# * Guo, Pleiss, Sun and Weinberger, *On calibration of modern neural networks*, ICML 2017, arXiv 1706.04599.
# * Mitchell et al., *Model cards for model reporting*, FAT* 2019, doi 10.1145/3287560.3287596.
# * Buolamwini and Gebru, *Gender shades*, Conference on Fairness, Accountability and Transparency 2018
#   (PMLR 81).
# * Rhue, *Racial influence on automated perceptions of emotions*, 2018, doi 10.2139/ssrn.3281765.
# * Geifman and El-Yaniv, *Selective classification for deep neural networks*, NeurIPS 2017, arXiv 1705.08500.
# * [Recognise the expression in a video](../docs/predict.md); `models/MODEL_CARD.md` of this repository.
#
# Next: 11, the capstone: what can a printed table carry?
