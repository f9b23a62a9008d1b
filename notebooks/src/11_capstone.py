# Text source of lesson 11. Build: make notebooks ARGS=11
# ruff: noqa: E501 (prose in tables)

# %% [markdown] part="header"
# # 11 · Capstone: the statistics that a paper left out
#
# A paper prints two rows of percentages, and says that the second method is better. No interval, no second
# training, no single prediction. How much can these two rows carry? You choose a table, take it apart,
# and write the paragraph that the paper left out.
#
# **You will learn to** *decode* a printed table to whole clips, *bound* a difference from both sides,
# *compare* it with luck, and *write* one honest paragraph.
#
# | | |
# |---|---|
# | Before this | lesson 07 |
# | Time | {{minutes}} min to run (quick profile, two CPU cores); no GPU is used |
# | Memory | {{memory}} at the peak; no GPU memory |
# | Data | printed numbers on DFEW; no clip is read and nothing is trained |
# | Source | CN112101119A Table 1; Jiang et al. 2020, comparison tables, Figs. 5 and 6 |
# | Exercises | {{exercises}} |

# %% part="setup"
import math

import numpy as np
from lessonkit import audit, capstone, lessons, plots_table
from lessonkit.checks import check, expect
from lessonkit.guess import guess_choice, guess_number, progress
from lessonkit.lessons import play

from ecstfl.labels import CLASSES, DFEW_COUNTS

settings = lessons.start("11")

# %% [markdown]
# ## Choose a claim
#
# Six pairs of rows that are printed with all their recalls. Each pair is the evidence for a sentence like
# "the second method is better". Take the one that you doubt most, or that you would like to be true.

# %%
for number, comparison in enumerate(capstone.COMPARISONS.values()):
    print(number, comparison.claim)

# %% part="setup"
MY_NUMBER = 3  # your choice, 0 to 5
MINE = list(capstone.COMPARISONS.values())[MY_NUMBER]

# %%
print(capstone.table(MINE))

# %% [markdown]
# Every recall is a percentage with two digits. Before you compute anything:

# %%
clips = guess_number(
    "11-clips",
    f"The two WARs differ by {MINE.second.war - MINE.first.war:.2f} points of 11,697 clips. How many clips is that?",
    0,
    600,
)
clips

# %% [markdown]
# ## Decode: from percent to clips

# %% [markdown] exercise="11.1" part="task" level=2
# ### Exercise 11.1: How many clips more?
#
# Write `gained(first, second, counts)`. `first` and `second` are the printed recalls of two rows, in percent
# with two digits; `counts` are the clips of each class. Return a list: for each class how many clips **more**
# the second row has right. Decode each recall first: it is the whole number of clips whose percentage lies
# within 0.005 + 1e-9 of what is printed. If a recall fits no whole number, raise `ValueError`: the table is
# misprinted, or other clips were tested.
#
# <details><summary>Hint 1</summary><code>round(percent * clips / 100)</code> is the only candidate; test it.</details>
# <details><summary>Hint 2</summary>Decode both rows and subtract whole numbers. The difference of two rounded
# percentages has the errors of both.</details>


# %% exercise="11.1" part="answer"
def gained(first, second, counts):
    """Return the clips of each class that the second row has right beyond the first."""

    ### BEGIN SOLUTION
    def decode(percent, clips):
        hits = round(percent * clips / 100)
        if abs(100 * hits / clips - percent) > 0.005 + 1e-9:
            raise ValueError(f"no number of {clips} clips prints as {percent}")
        return hits

    rows = zip(first, second, counts, strict=True)
    return [decode(b, clips) - decode(a, clips) for a, b, clips in rows]
    ### END SOLUTION


# %% exercise="11.1" part="try"
for name, more in zip(
    CLASSES, gained(MINE.first.recalls, MINE.second.recalls, DFEW_COUNTS), strict=True
):
    print(f"{name:9s} {more:+5d}")

# %% exercise="11.1" part="check" points=1
with check("11.1"):
    expect(
        gained,
        ([1.38, 0.04, 50.0], [3.45, 0.06, 33.33], [145, 9000, 3000]),
        answer=[3, 1, -500],
        mistakes={
            "0.04 % of 9000 is 4 clips and 0.06 % is 5: the difference of the percentages has the errors of both.": [
                3,
                2,
                -500,
            ],
            "33.33 % of 3000 is 1000 clips: round, do not cut digits off.": [3, 2, -501],
            "How many more the *second* row has: second minus first.": [-3, -1, 500],
            "These are points of percent. How many clips are they?": [2.07, 0.02, -16.67],
        },
    )
    expect(
        gained,
        ([1.5], [3.45], [145]),
        answer=ValueError,
        mistakes={
            "2 of 145 print as 1.38, 3 as 2.07: nothing prints as 1.50, so raise ValueError.": [3],
        },
    )

# %% exercise="11.1" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("11.1"):
    for one_ in capstone.COMPARISONS.values():
        value_ = [int(v) for v in gained(one_.first.recalls, one_.second.recalls, DFEW_COUNTS)]
        wanted_ = list(capstone.facts(one_).gains)
        assert value_ == wanted_, f"{one_.second.method}: expected {wanted_}, got {value_}"
    value_ = [int(v) for v in gained([0.04], [0.06], [9000])]
    assert value_ == [1], f"0.04 and 0.06 % of 9000 are 4 and 5 clips: expected [1], got {value_}"
    for bad_ in (([1.5], [3.45], [145]), ([3.45], [1.5], [145])):
        try:
            value_ = gained(*bad_)
        except ValueError:
            continue
        raise AssertionError(f"nothing prints as 1.50 % of 145 clips, and you gave {value_}")
### END HIDDEN TESTS


# %% exercise="11.1" part="wrong" about="subtracts percentages first"
def gained(first, second, counts):
    for row in (first, second):
        for percent, clips in zip(row, counts, strict=True):
            if abs(100 * round(percent * clips / 100) / clips - percent) > 0.005 + 1e-9:
                raise ValueError
    return [round((b - a) * n / 100) for a, b, n in zip(first, second, counts, strict=True)]


# %% exercise="11.1" part="wrong" about="cuts digits off"
def gained(first, second, counts):
    rows = zip(first, second, counts, strict=True)
    return [int(b * n / 100) - int(a * n / 100) for a, b, n in rows]


# %% exercise="11.1" part="wrong" about="first minus second"
def gained(first, second, counts):
    def decode(percent, clips):
        hits = round(percent * clips / 100)
        if abs(100 * hits / clips - percent) > 0.005 + 1e-9:
            raise ValueError
        return hits

    rows = zip(first, second, counts, strict=True)
    return [decode(a, n) - decode(b, n) for a, b, n in rows]


# %% exercise="11.1" part="wrong" about="takes the nearest number, whether it fits or not"
def gained(first, second, counts):
    rows = zip(first, second, counts, strict=True)
    return [round(b * n / 100) - round(a * n / 100) for a, b, n in rows]


# %% exercise="11.1" part="wrong" about="points of percent, not clips"
def gained(first, second, counts):
    return [round(b - a, 2) for a, b in zip(first, second, strict=True)]


# %% exercise="11.1" part="right" about="tries every number"
def gained(first, second, counts):
    def decode(percent, clips):
        fits = [k for k in range(clips + 1) if abs(100 * k / clips - percent) <= 0.005 + 1e-9]
        if not fits:
            raise ValueError
        return fits[0]

    before = np.array([decode(p, n) for p, n in zip(first, counts, strict=True)])
    return np.array([decode(p, n) for p, n in zip(second, counts, strict=True)]) - before


# %%
known = capstone.facts(MINE)
clips.truth(known.total, f"Of {sum(DFEW_COUNTS):,}.")

# %% closed=true
before, after = (audit.decode_hits(row.recalls) for row in (MINE.first, MINE.second))
assert (after - before).sum() == known.total
plots_table.hit_gain(before, after)

# %% [markdown]
# Which classes win, and which lose? A sentence like "improves the recognition" hides that.
#
# ## Bound: the worst that the hits allow
#
# Both methods saw the same clips. So only the clips count on which they *differ*, and the table does not
# say how many those are. The hits bound them. In a class of n clips with a and b right answers, both can be
# right on at least max(0, a + b - n) clips; then they differ on $D = a + b - 2 \max(0, a + b - n)$. That is the
# worst case: the most coin tosses behind the same gain.
#
# Would the worst case still leave the gain above zero?

# %%
sign = guess_choice(
    "11-zero",
    "Does the worst-case 95 % interval of your gain hold 0?",
    ["yes, it holds 0", "no, it lies above 0"],
)
sign

# %% [markdown] exercise="11.2" part="task" level=3
# ### Exercise 11.2: The worst-case interval
#
# Write `worst_interval(first, second, counts)` for **hits** (whole clips) of two rows: the pair (low, high) of
# the gain in WAR, in points. With $g_c$ the clips that class c gains, $D_c$ as above and N all clips:
#
# $$\text{gain} = \frac{\sum_c g_c}{N}, \qquad \text{standard error} = \frac1N \sqrt{\sum_c \Big(D_c - \frac{g_c^2}{n_c}\Big)}, \qquad \text{gain} \pm 1.96 \cdot \text{standard error}.$$
#
# <details><summary>Hint 1</summary>Turn the three lists into arrays; <code>np.maximum(0, a + b - n)</code>.</details>
# <details><summary>Hint 2</summary>Points: multiply both ends by 100 at last.</details>


# %% exercise="11.2" part="answer"
def worst_interval(first, second, counts):
    """Return (low, high), the widest 95 % interval of the gain in WAR, in points."""
    ### BEGIN SOLUTION
    a, b, n = (np.asarray(values, float) for values in (first, second, counts))
    differ = a + b - 2 * np.maximum(0, a + b - n)
    error = math.sqrt((differ - (b - a) ** 2 / n).sum()) / n.sum()
    gain = (b - a).sum() / n.sum()
    return 100 * (gain - 1.96 * error), 100 * (gain + 1.96 * error)
    ### END SOLUTION


# %% exercise="11.2" part="try"
low, high = worst_interval([80, 40], [86, 44], [100, 200])
print(f"10 clips more of 300: {low:+.2f} to {high:+.2f} points")

# %% exercise="11.2" part="check" points=1
with check("11.2"):
    expect(
        worst_interval,
        ([8, 4], [9, 10], [10, 20]),
        answer=[-2.0543627, 48.721029],
        mistakes={
            "This is the best case: the two agree as often as the hits allow. Asked for is the worst.": [
                8.578989,
                38.087677,
            ],
            "4 + 10 - 20 is below 0: how many clips can both have right at least?": [
                -10.67767,
                57.34434,
            ],
            "Under the root stands D - g² / n, class by class.": [-3.60429, 50.270968],
            "This takes the two rows for tests on different clips. They saw the same ones: use D.": [
                -1.25724,
                47.923907,
            ],
            "In points: times 100.": [-0.020543627, 0.48721029],
        },
    )

# %% exercise="11.2" part="hidden" points=3
### BEGIN HIDDEN TESTS
with check("11.2"):
    rng_ = np.random.default_rng(11)
    for counts_ in ((50, 20, 900), DFEW_COUNTS):
        n_ = np.array(counts_)
        a_, b_ = (rng_.integers(0, n_ + 1) for _ in range(2))
        wanted_ = audit.gain_interval(a_, b_, audit.overlaps(a_, b_, n_).fewest, "war", n_)
        value_ = worst_interval(a_.tolist(), b_.tolist(), list(counts_))
        for end_, given_, right_ in (
            ("low", value_[0], wanted_.low),
            ("high", value_[1], wanted_.high),
        ):
            assert abs(given_ - right_) < 2e-3, (
                f"{end_} end: expected {right_:.3f}, got {given_:.3f}"
            )
### END HIDDEN TESTS


# %% exercise="11.2" part="wrong" about="the best case: as many common clips as possible"
def worst_interval(first, second, counts):
    a, b, n = (np.asarray(values, float) for values in (first, second, counts))
    error = math.sqrt((abs(b - a) - (b - a) ** 2 / n).sum()) / n.sum()
    gain = (b - a).sum() / n.sum()
    return 100 * (gain - 1.96 * error), 100 * (gain + 1.96 * error)


# %% exercise="11.2" part="wrong" about="a negative number of common clips"
def worst_interval(first, second, counts):
    a, b, n = (np.asarray(values, float) for values in (first, second, counts))
    differ = a + b - 2 * (a + b - n)
    differ = np.where(a + b < n, 2 * n - a - b, differ)
    error = math.sqrt((differ - (b - a) ** 2 / n).sum()) / n.sum()
    gain = (b - a).sum() / n.sum()
    return 100 * (gain - 1.96 * error), 100 * (gain + 1.96 * error)


# %% exercise="11.2" part="wrong" about="forgets g^2 / n"
def worst_interval(first, second, counts):
    a, b, n = (np.asarray(values, float) for values in (first, second, counts))
    error = math.sqrt((a + b - 2 * np.maximum(0, a + b - n)).sum()) / n.sum()
    gain = (b - a).sum() / n.sum()
    return 100 * (gain - 1.96 * error), 100 * (gain + 1.96 * error)


# %% exercise="11.2" part="wrong" about="two tests on different clips"
def worst_interval(first, second, counts):
    n = sum(counts)
    p, q = sum(first) / n, sum(second) / n
    error = math.sqrt(p * (1 - p) / n + q * (1 - q) / n)
    return 100 * (q - p - 1.96 * error), 100 * (q - p + 1.96 * error)


# %% exercise="11.2" part="wrong" about="a share, not points"
def worst_interval(first, second, counts):
    a, b, n = (np.asarray(values, float) for values in (first, second, counts))
    differ = a + b - 2 * np.maximum(0, a + b - n)
    error = math.sqrt((differ - (b - a) ** 2 / n).sum()) / n.sum()
    gain = (b - a).sum() / n.sum()
    return gain - 1.96 * error, gain + 1.96 * error


# %% exercise="11.2" part="right" about="loops"
def worst_interval(first, second, counts):
    square = 0.0
    for a, b, n in zip(first, second, counts, strict=True):
        square += min(a + b, 2 * n - a - b) - (b - a) ** 2 / n
    gain = sum(second) - sum(first)
    half = 1.96 * square**0.5
    return [100 * (gain - half) / sum(counts), 100 * (gain + half) / sum(counts)]


# %%
sign.truth(
    "yes, it holds 0" if known.low <= 0 <= known.high else "no, it lies above 0",
    f"It reaches from {known.low:+.2f} to {known.high:+.2f} points.",
)

# %% [markdown]
# And the other five claims? Dots: the printed gain. Thick line: the best case, where the two rows agree as
# often as their hits allow. Thin line: the worst case.

# %% closed=true
rows = {}
for name, comparison in capstone.COMPARISONS.items():
    one, other = (audit.decode_hits(row.recalls) for row in (comparison.first, comparison.second))
    both = audit.overlaps(one, other)
    rows[name] = [audit.gain_interval(one, other, share) for share in (both.most, both.fewest)]
plots_table.bounded_gains(rows)

# %% [markdown]
# <details><summary>Think: the truth lies between the thick and the thin line. Which one would the authors need to
# publish so that you knew?</summary>The prediction of each clip, from both methods: then the clips on which they differ
# can be counted. It costs them one file.</details>
#
# ## Luck: could it be the training?
#
# The interval takes the two *networks* as given, and asks about the draw of clips. But a method is not a
# network: train it again, and the score changes. The paper plots one setting twice, for two networks; from
# these two pairs the standard deviation of one training is about 2.3 points (lesson 07). A row pools five
# folds, so five trainings.

# %%
chance = guess_number(
    "11-luck",
    "If the second method did nothing at all, how often would the two rows lie as far apart as printed, in percent?",
    0,
    100,
    unit="%",
)
chance

# %% [markdown] exercise="11.3" part="task" level=2
# ### Exercise 11.3: As far apart by luck
#
# Two methods without any difference are each trained `trainings` times, and their means are compared. A
# training's score has the standard deviation `sd`. Write `luck(gain, sd, trainings)`: the probability, 0..1,
# that the two means lie **at least** `gain` apart, in either direction (normal distribution).
#
# <details><summary>Hint 1</summary>The difference of two means has the standard deviation
# <code>sd * math.sqrt(2 / trainings)</code>.</details>
# <details><summary>Hint 2</summary>P(|Z| ≥ z) of a standard normal Z is <code>math.erfc(z / math.sqrt(2))</code>.</details>


# %% exercise="11.3" part="answer"
def luck(gain, sd, trainings):
    """Return P(the means of two equal methods lie at least gain apart), 0..1."""
    ### BEGIN SOLUTION
    spread = sd * math.sqrt(2 / trainings)
    return math.erfc(gain / spread / math.sqrt(2))
    ### END SOLUTION


# %% exercise="11.3" part="try"
for trainings in (1, 5, 25):
    print(
        f"{trainings:2d} trainings each: {luck(1.96, 2.3, trainings):.1%} are 1.96 points apart by luck"
    )

# %% exercise="11.3" part="check" points=1
with check("11.3"):
    expect(
        luck,
        (2.0, 1.5, 5),
        answer=0.03501498,
        mistakes={
            "In either direction: the second may lie below the first, too.": 0.01750749,
            "Both means have luck: where is the 2?": 0.002868,
            "The mean of five trainings spreads less than one training.": 0.3457786,
            "The mean of m trainings spreads by √m less, not by m.": 2.428e-06,
        },
    )

# %% exercise="11.3" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("11.3"):
    from scipy.stats import norm

    for gain_, sd_, m_ in ((1.53, 2.3, 5), (0.5, 1.0, 3), (3.0, 0.8, 2)):
        wanted_ = 2 * norm.sf(gain_, scale=sd_ * (2 / m_) ** 0.5)
        value_ = luck(gain_, sd_, m_)
        assert abs(value_ - wanted_) < 1e-6, (
            f"gain {gain_}, sd {sd_}, {m_} trainings: expected {wanted_:.4f}, got {value_:.4f}"
        )
### END HIDDEN TESTS


# %% exercise="11.3" part="wrong" about="one direction only"
def luck(gain, sd, trainings):
    return 0.5 * math.erfc(gain / (sd * math.sqrt(2 / trainings)) / math.sqrt(2))


# %% exercise="11.3" part="wrong" about="only one method has luck: no 2"
def luck(gain, sd, trainings):
    return math.erfc(gain / (sd * math.sqrt(1 / trainings)) / math.sqrt(2))


# %% exercise="11.3" part="wrong" about="ignores how often each was trained"
def luck(gain, sd, trainings):
    return math.erfc(gain / (sd * math.sqrt(2)) / math.sqrt(2))


# %% exercise="11.3" part="wrong" about="divides by the trainings, not by their root"
def luck(gain, sd, trainings):
    return math.erfc(gain / (sd * math.sqrt(2) / trainings) / math.sqrt(2))


# %% exercise="11.3" part="right" about="SciPy"
def luck(gain, sd, trainings):
    from scipy.stats import norm

    return 2 * norm.cdf(-abs(gain), scale=sd * np.sqrt(2 / trainings))


# %% closed=true
def equal_methods(sd=2.3, folds=5, claimed=1.53):
    """Draw gains of a method without effect; a score is the mean of `folds` trainings."""
    draw = np.random.default_rng(0)
    pairs = settings.choose(smoke=2000, quick=20000, full=200000)
    runs = draw.normal(0, sd / math.sqrt(folds), (pairs, 2))
    return plots_table.repeated_luck(runs[:, 1] - runs[:, 0], claimed, sd / math.sqrt(folds))


play(equal_methods, sd=(0.2, 4.0, 0.1), folds=(1, 10), claimed=(0.5, 4.0, 0.01))

# %%
gain = MINE.second.war - MINE.first.war
spread = audit.run_spread() * math.sqrt(2 / 5)
chance.truth(
    100 * math.erfc(abs(gain) / spread / math.sqrt(2)),
    f"That rests on a spread of {audit.run_spread():.1f} points, which two pairs of trainings give: itself very rough.",
)

# %% [markdown]
# ## Write: one honest paragraph
#
# Now the paragraph that the paper left out. A good one says
#
# 1. what was compared, on how many clips, and how many clips the gain is;
# 2. which class loses, if one does;
# 3. the interval, and which case it stands for;
# 4. what the table leaves out (trainings, people or films, single predictions), and what would settle it;
# 5. no more than that.

# %% [markdown] exercise="11.4" part="task" level=2
# ### Exercise 11.4: The paragraph
#
# Write `paragraph()`: it returns your text about `MINE`, 40 to 200 words. Numbers are checked: the clips
# gained, 11,697, and both ends of the worst-case interval in points (one digit after the point is enough). The
# words are checked roughly: it names a class that loses where one does, speaks of luck in training or of
# clips that are not independent, and does not say "proves" or "significant". A person reads the rest
# ([how](../docs/reading.md)).
#
# <details><summary>Hint 1</summary><code>capstone.facts(MINE)</code> has the numbers; exercises 11.1 and 11.2 gave
# them to you, too.</details>
# <details><summary>Hint 2</summary>Begin with "On the 11,697 clips of DFEW ...".</details>


# %% exercise="11.4" part="answer"
def paragraph():
    """Return one honest paragraph about MINE."""
    ### BEGIN SOLUTION
    return (
        "On the 11,697 clips of five DFEW test folds, 3D ResNet18 with EC-STFL is right on 179 clips "
        "more than without it (WAR 56.51 against 54.98). Neutral and Happy gain most; Angry, Surprise "
        "and Fear lose 82, 58 and 44. From the printed hits alone, a 95 % interval of the gain reaches "
        "in the worst case from -0.05 to +3.11 points, if clips were independent; clips of one film "
        "are not. Each row stands for one training a fold, without a spread: two trainings of one "
        "setting in the same paper lie 3.9 points apart. So the table suggests a gain and does not "
        "settle it. Several seeds and the predictions of single clips would."
    )
    ### END SOLUTION


# %% exercise="11.4" part="try"
print("still missing:", capstone.missing(paragraph(), MINE) or "nothing that can be counted")

# %% exercise="11.4" part="check" points=2
with check("11.4"):

    def lacking_(text):
        return capstone.missing(text, MINE)

    expect(
        paragraph,
        (),
        look=lacking_,
        answer=[],
        mistakes={
            "How many clips is the gain? Percentages hide it.": ["gain"],
            "On how many clips was it measured? 11,697.": ["clips"],
            "How sure is it? Give both ends of the worst-case interval, in points.": ["interval"],
            "A class loses, and you do not say which.": ["loser"],
            "What does the table leave out? Luck in training, or clips that hang together.": [
                "limit"
            ],
            "It claims more than two printed rows can carry: look for 'proves' or 'significant'.": [
                "too much"
            ],
            "40 to 200 words, please.": ["length"],
        },
    )

# %% exercise="11.4" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("11.4"):
    lacks_ = capstone.missing(paragraph(), MINE)
    assert not lacks_, f"to be mended: {', '.join(lacks_)}"
### END HIDDEN TESTS


# %% exercise="11.4" part="wrong" about="percentages instead of clips"
def paragraph():
    return (
        "On the 11,697 clips of DFEW, 3D ResNet18 with EC-STFL has WAR 56.51 and without it 54.98, a "
        "gain of 1.53 points. Angry, Surprise and Fear lose. In the worst case the 95 % interval reaches "
        "from -0.05 to +3.11 points. Each row is one training a fold, so the spread is not known, and "
        "several seeds would be needed to settle it."
    )


# %% exercise="11.4" part="wrong" about="no interval"
def paragraph():
    return (
        "On the 11,697 clips of DFEW, 3D ResNet18 with EC-STFL is right on 179 clips more than without "
        "it, which is 1.53 points of WAR. Neutral and Happy gain, and Angry, Surprise and Fear lose. "
        "Each row is one training a fold, so the spread is not known, and several seeds would be needed "
        "to settle it."
    )


# %% exercise="11.4" part="wrong" about="hides the classes that lose"
def paragraph():
    return (
        "On the 11,697 clips of DFEW, 3D ResNet18 with EC-STFL is right on 179 clips more than without "
        "it, which is 1.53 points of WAR. Neutral and Happy gain most. In the worst case the 95 % interval "
        "reaches from -0.05 to +3.11 points. Each row is one training a fold, so the spread is not known, "
        "and several seeds would be needed to settle it."
    )


# %% exercise="11.4" part="wrong" about="nothing about what the table leaves out"
def paragraph():
    return (
        "On the 11,697 clips of DFEW, 3D ResNet18 with EC-STFL is right on 179 clips more than without "
        "it, which is 1.53 points of WAR. Neutral and Happy gain most, and Angry, Surprise and Fear lose. "
        "In the worst case the 95 % interval reaches from -0.05 to +3.11 points, so that it holds zero, "
        "and the gain is open."
    )


# %% exercise="11.4" part="wrong" about="says that it proves something"
def paragraph():
    return (
        "On the 11,697 clips of DFEW, 3D ResNet18 with EC-STFL is right on 179 clips more than without "
        "it, which proves that the loss helps. Angry, Surprise and Fear lose, Neutral and Happy gain more. "
        "In the worst case the 95 % interval reaches from -0.05 to +3.11 points. Each row is one training "
        "a fold, and several seeds would make it even better."
    )


# %% exercise="11.4" part="right" about="other words, other digits"
def paragraph():
    return (
        "Jiang et al. report 3D ResNet18 before and after adding EC-STFL. Decoded, the second row has "
        "+179 right answers of 11697, among them −82 in Angry. Worst case, normal approximation: "
        "−0.0 to 3.1 points, so zero is not excluded. I would not build on it before somebody repeats "
        "the whole with other seeds, publishes every prediction, and draws films and not single clips."
    )


# %% [markdown]
# ## Read it as a stranger would
#
# Swap paragraphs with somebody, or put yours away for a day. Four lines, two points each:
#
# | | full | half | none |
# |---|---|---|---|
# | numbers | clips, of how many, both ends, the losers | one is missing | percentages only |
# | limits | training, dependence and choice of the epoch are named where they matter | one of them | none |
# | conclusion | says what the rows can carry, and what would settle it | either | "it works" or "it is luck" |
# | plain words | a student of another field can follow | needs a second look | formulas without words |
#
# <details><summary>Think: is your paragraph still right if the gain is real?</summary>It should be. "Not shown" is not
# "not true": a fair paragraph stays right whatever the next experiment finds.</details>
#
# **Another table?** `audit.decode_hits(percents, counts)` decodes any row whose class sizes you know, and
# refuses one that does not fit. The page [How to read a paper of this field, and what to try
# next](../docs/reading.md) goes on from here.
#
# ## Checkpoint

# %% part="quiz"
question(
    "A table prints 45.05 / 56.19 for two different networks. What do you do?",
    [
        "Nothing: such things happen",
        "Ask the authors, and use neither row until they answer",
        "Report that the results were made up",
    ],
    right=2,
    why=[
        "Two networks that agree on two scores to four digits are rare; a slip in copying is not.",
        "A slip is likely and harmless once mended; until then nobody knows which row is right.",
        "A copied line is the likely reason. An accusation needs more than that.",
    ],
)

# %% part="quiz"
question(
    "The worst-case interval of a gain lies above 0. What is shown?",
    [
        "The method is better",
        "These two networks differ by more than the draw of independent clips explains",
        "Nothing at all",
    ],
    right=2,
    why=[
        "A method is not one network a fold: training again may turn the sign.",
        "That is exactly what the interval is about; training and films are not in it.",
        "Something is: the draw of clips alone is a poor explanation.",
    ],
)

# %% part="quiz"
question(
    "Which file would answer most questions about a printed table?",
    ["The trained weights", "The prediction of each test clip by each method", "More digits"],
    right=2,
    why=[
        "They help if you have the data, which few people may have.",
        "Paired tests, intervals by film, recalls of any group: all follow from it, without any data.",
        "They decode to the same clips.",
    ],
)

# %%
progress()

# %% [markdown]
# ## Summary
#
# * Printed percentages are whole clips in disguise; those that are not are misprints.
# * Two rows bound their own difference from both sides; the truth needs the single predictions.
# * An interval over clips knows nothing of luck in training, and both belong into the paragraph.
# * An honest paragraph stays right whatever the next experiment finds.
#
# ## What can go wrong
#
# * Taking two tests on the same clips for two tests on different ones.
# * Reading "not shown" as "not true", or "p < 0.05" as "matters".
# * Choosing the claim after the computing: write down first which one you examine, as you did above.
#
# ## Further reading
#
# * [How to read a paper of this field, and what to try next](../docs/reading.md).
# * Brown and Heathers, *The GRIM test*, Social Psychological and Personality Science 2017: the same decoding, for means.
# * McNemar, *Note on the sampling error of the difference between correlated proportions*, Psychometrika 1947.
# * Bouthillier et al., *Accounting for variance in machine learning benchmarks*, MLSys 2021.
#
# This was the last lesson.
