# Text source of lesson 00. Build: make notebooks ARGS=00
# ruff: noqa: E501 (prose in tables)

# %% [markdown] part="header"
# # 00 · Start here
#
# A face shows an expression over a second or two. You look at one, say what you see, and hear what a
# model says. Then comes the question of this course: a loss that claims to help. Does it?
#
# **You will learn to** *judge* a model beside yourself, *doubt* a picture, *read* labels without being off
# by one, and *find* your way in this course.
#
# | | |
# |---|---|
# | Before this | one course on neural networks; Python; no PyTorch yet |
# | Time | {{minutes}} min to run (quick profile, two CPU cores); no GPU is used |
# | Memory | {{memory}} at the peak; no GPU memory |
# | Data | a few embedded clips (synthetic: rendered faces), landed features, the class sizes of DFEW |
# | Source | CN112101119A claims 1 to 5; Jiang et al., ACM MM 2020 |
# | Exercises | {{exercises}} |

# %% part="setup"
from IPython.display import Markdown
from lessonkit import claims, faces_first, lessons
from lessonkit.checks import check, expect
from lessonkit.guess import guess_choice, progress
from lessonkit.pictures import playing
from lessonkit.reference_results import reference_pairs
from lessonkit.stamp import stamp

from ecstfl.labels import CLASSES, DFEW_COUNTS
from ecstfl.metrics.clusters import cluster_measures

settings = lessons.start("00")

# %% [markdown]
# ## A face

# %%
face = faces_first.first_face("Fear")
print(face.about)
playing(
    {"What does it show?": faces_first.spread(face.frames, 20)},
    "A face; what does it show?",
    height=230,
)

# %%
seen = guess_choice("00-face", "What does this face show?", list(CLASSES))
seen

# %% [markdown]
# Now a model: a small network that comes with this course. It has never seen this person.

# %%
from ecstfl.predict.recognizer import Recognizer

recognizer = Recognizer()
answer = recognizer.recognize(face.source)
stamp(faces_first.said(answer.probabilities, face.label), recognizer.notes.run, fresh=False)

# %%
seen.truth(
    face.expression,
    "The clip was made to show it. How sure were you, and how sure was the model?",
)

# %% [markdown]
# The method behind it, in one line:
#
# > video → faces → aligned clips of 16 frames → C3D → cross-entropy + λ · EC-STFL → expression
#
# Words that you do not know: [glossary](../docs/glossary.md).
#
# Each arrow is a claim of a patent, a lesson of this course, and a function of the package `ecstfl`.
#
# ## Seven expressions

# %%
playing(faces_first.seven_faces(), "One rendered person shows seven expressions.", fps=8, height=96)

# %% [markdown]
# (One rendered person; SYNTHETIC.) A label names what a face *displays* to those who look at it, not what a
# person feels.

# %% [markdown] exercise="0.1" part="task" level=1
# ### Exercise 0.1: Right, wrong, or silent
#
# A model may answer "uncertain". Write `share_right(answers, shown)` for two lists of names: the share
# (0 to 1) of **all** clips for which the answer is what was shown. "Uncertain" is not right. Some files
# write `happy`, some `Happy`: ignore case.
#
# <details><summary>Hint 1</summary><code>zip(answers, shown)</code> gives pairs.</details>
# <details><summary>Hint 2</summary>Count the pairs that agree after <code>.lower()</code>, and divide by the number of clips.</details>


# %% exercise="0.1" part="answer"
def share_right(answers, shown):
    """Return the share (0..1) of clips whose answer is what was shown, ignoring case."""
    ### BEGIN SOLUTION
    right = [a.lower() == b.lower() for a, b in zip(answers, shown, strict=True)]
    return sum(right) / len(right)
    ### END SOLUTION


# %% exercise="0.1" part="try"
print(share_right(["Happy", "Sad", "uncertain", "Fear"], ["Happy", "Sad", "Sad", "Surprise"]))

# %% exercise="0.1" part="check" points=1
with check("0.1"):
    expect(
        share_right,
        (["Sad", "uncertain", "Fear", "Angry", "Sad"], ["sad", "Fear", "Fear", "Sad", "Happy"]),
        answer=0.4,
        mistakes={
            "A clip without an answer is a clip too: divide by all of them.": 0.5,
            "'Sad' and 'sad' are one expression: compare in small letters.": 0.2,
            "This is a number of clips; asked for is their share.": 2.0,
            "This is the share of those that are not right.": 0.6,
        },
    )

# %% exercise="0.1" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("0.1"):
    shown_ = ["Happy", "SAD", "neutral", "Fear", "Fear", "Disgust", "Angry", "Surprise"]
    for answers_, wanted_ in (
        (["happy", "sad", "Neutral", "fear", "Sad", "uncertain", "uncertain", "Fear"], 0.5),
        (["uncertain"] * 8, 0),
        (shown_[::-1], 0.25),
    ):
        value_ = share_right(answers_, shown_)
        assert abs(value_ - wanted_) < 1e-9, f"{answers_}: expected {wanted_}, got {value_}"
### END HIDDEN TESTS


# %% exercise="0.1" part="wrong" about="leaves clips without an answer out"
def share_right(answers, shown):
    pairs = [(a.lower(), b.lower()) for a, b in zip(answers, shown, strict=True)]
    told = [a == b for a, b in pairs if a != "uncertain"]
    return sum(told) / max(len(told), 1)


# %% exercise="0.1" part="wrong" about="minds upper and lower case"
def share_right(answers, shown):
    return sum(a == b for a, b in zip(answers, shown, strict=True)) / len(shown)


# %% exercise="0.1" part="wrong" about="a number instead of a share"
def share_right(answers, shown):
    return sum(a.lower() == b.lower() for a, b in zip(answers, shown, strict=True))


# %% exercise="0.1" part="wrong" about="the share of wrong answers"
def share_right(answers, shown):
    return sum(a.lower() != b.lower() for a, b in zip(answers, shown, strict=True)) / len(shown)


# %% [markdown]
# ## One to seven, or nought to six?
#
# The expressions stand everywhere in the order of DFEW, the data set of the patent. Its files count them 1
# to 7; PyTorch wants 0 to 6, and so does this package. Some copies of DFEW's lists count from 0 under the
# same header. Being one off gives no error message, only bad results.

# %%
for k, name in enumerate(CLASSES):
    print(f"DFEW {k + 1}   here {k}   {name:9s} {DFEW_COUNTS[k]:5d} clips")

# %% [markdown] exercise="0.2" part="task" level=2
# ### Exercise 0.2: Which counting is it?
#
# Write `read_labels(numbers)`: turn the label column of **one whole list** (integers) into labels 0..6.
# A list that holds a 7 counts from 1; a list that holds a 0 counts from 0. If it holds neither, or both,
# or anything outside 0..7, nobody can tell: raise `ValueError`.
#
# <details><summary>Hint 1</summary>Decide once for the whole list, not for each number.</details>
# <details><summary>Hint 2</summary><code>0 in numbers</code> and <code>7 in numbers</code> must differ.</details>


# %% exercise="0.2" part="answer"
def read_labels(numbers):
    """Return labels 0..6 of a whole list that counts from 0 or from 1.

    Raises:
        ValueError: the counting cannot be told, or a number is outside 0..7.
    """
    ### BEGIN SOLUTION
    if min(numbers) < 0 or max(numbers) > 7 or (0 in numbers) == (7 in numbers):
        raise ValueError(f"cannot tell the counting of labels {sorted(set(numbers))}")
    first = 0 if 0 in numbers else 1
    return [number - first for number in numbers]
    ### END SOLUTION


# %% exercise="0.2" part="try"
print(read_labels([1, 7, 3]))
print(read_labels([1, 0, 3]))
try:
    read_labels([1, 2, 3])
except ValueError as error:
    print("ValueError:", error)

# %% exercise="0.2" part="check" points=1
with check("0.2"):
    expect(
        read_labels,
        ([3, 0, 6],),
        answer=[3, 0, 6],
        mistakes={
            "A 0 occurs, so this list counts from 0 already. Do you always subtract 1?": 6.0,
        },
    )
    expect(
        read_labels,
        ([6, 7, 2],),
        answer=[5, 6, 1],
        mistakes={
            "The smallest number of a list need not be its first label: what if nobody is Happy (1)?": 9.0,
            "A 7 is Fear, counted from 1, and becomes 6. Do the other labels move too?": [6, 0, 2],
        },
    )
    expect(
        read_labels,
        ([1, 2, 3],),
        answer=ValueError,
        mistakes={
            "No 0 and no 7: it may be either counting. What does a wrong guess cost?": [0, 1, 2],
        },
    )
    expect(
        read_labels,
        ([0, 7],),
        answer=ValueError,
    )

# %% exercise="0.2" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("0.2"):
    assert list(read_labels([3, 0, 6])) == [3, 0, 6], "a 0 occurs: this list counts from 0"
    assert list(read_labels([6, 1, 7, 6])) == [5, 0, 6, 5], "a 7 occurs: this list counts from 1"
    assert list(read_labels([6, 7])) == [5, 6], "a list need not hold every label"
    for numbers in ([1, 2, 3], [0, 7], [1, 8], [7, -1]):
        try:
            value = read_labels(numbers)
        except ValueError:
            continue
        raise AssertionError(f"{numbers}: expected a ValueError, got {value}")
### END HIDDEN TESTS


# %% exercise="0.2" part="wrong" about="always counts from 1"
def read_labels(numbers):
    return [number - 1 for number in numbers]


# %% exercise="0.2" part="wrong" about="guesses 1 when it cannot tell"
def read_labels(numbers):
    first = 0 if 0 in numbers else 1
    if min(numbers) < 0 or max(numbers) - first > 6:
        raise ValueError("not a label")
    return [number - first for number in numbers]


# %% exercise="0.2" part="wrong" about="subtracts the smallest number"
def read_labels(numbers):
    if not set(numbers) <= set(range(8)) or (0 in numbers) == (7 in numbers):
        raise ValueError("cannot tell")
    return [number - min(numbers) for number in numbers]


# %% exercise="0.2" part="wrong" about="wraps a 7 around to 0"
def read_labels(numbers):
    if not set(numbers) <= set(range(8)) or (0 in numbers) == (7 in numbers):
        raise ValueError("cannot tell")
    return [number % 7 for number in numbers]


# %% [markdown]
# ## The question
#
# EC-STFL promises to pull clips of one expression together *inside* the network. Here are the features of
# two networks, for clips of people whom neither has seen. One was trained with EC-STFL, one without.
# All else is equal. Which is which?

# %% closed=true
plain, joint = reference_pairs()[0]
labels = plain.features["labels"].astype(int)
spaces = {"A": joint.features["embeddings"], "B": plain.features["embeddings"]}
stamp(
    faces_first.two_maps(spaces, labels, f"{len(labels)} clips, two networks (synthetic)"),
    plain.run,
    joint.run,
    fresh=False,
)

# %%
maps = guess_choice("00-maps", "Which map is that of EC-STFL?", ["A", "B"])
maps

# %% closed=true
tight = [cluster_measures(space, labels).within_between for space in spaces.values()]
right = [100 * one.run["war"] for one in (joint, plain)]
maps.truth(
    "A",
    f"Its distances within a class are {tight[0]:.2f} of those between classes (B: {tight[1]:.2f}); it "
    f"recognises {right[0]:.1f} % of the clips (B: {right[1]:.1f} %).",
)

# %% [markdown]
# Tighter classes: does that help to recognise anybody? And is one pair of networks enough to
# say so? The paper prints +1.96 points, without spread. **That is the question of this course**; lesson 07
# has the numbers.
#
# ## How to work here
#
# * Solve an exercise, run its check: it knows the usual mistakes. *Run All* goes on behind what is unsolved.
# * Guess before you look. The last lines of each lesson show how well you judge.
# * The clips are **rendered**. They make every step run, and say nothing about real faces. (With a network,
#   `ecstfl data get real-clips` fetches a few real ones; this lesson then begins with one of them.)
# * `ECSTFL_PROFILE=full make lab` computes more; `quick` is the default, `smoke` only proves that all runs.

# %%
print("This notebook runs in the profile", settings.profile)
progress()

# %% [markdown] closed=true
# ## If something is missing
#
# `ecstfl doctor` looks at your machine: `OK` is good, `--` is an extra, and `FAIL` comes with advice.

# %%
for line in lessons.doctor():
    print(line)

# %% [markdown] closed=true
# ## From claims to code
#
# Every step of the patent: the function that does it, the test that holds it to something independent, and
# the lesson that explains it.

# %%
Markdown(claims.markdown())

# %% [markdown]
# ## Checkpoint

# %% part="quiz"
question(
    "A file of DFEW says 3. Which expression is it, if the file counts as DFEW does?",
    ["Sad", "Neutral", "Angry"],
    right=2,
    why=[
        "Sad is 2 in DFEW's counting (and 1 here).",
        "DFEW counts from 1: Happy, Sad, Neutral.",
        "Angry is 4 in DFEW's counting (and 3 here).",
    ],
)

# %% part="quiz"
question(
    "A lesson shows 100 % accuracy on the clips of this repository. What does that tell about faces of people?",
    ["Nothing", "That the method works", "That people differ little"],
    right=1,
    why=[
        "The clips are rendered: they prove that the steps run, and nothing about people.",
        "It tells that every step runs. The clips are rendered, not filmed.",
        "No person was filmed for these clips.",
    ],
)

# %% [markdown]
# ## Summary
#
# * A model says how sure it is; whether that can be trusted is another question (lesson 10).
# * A guess about a picture is no evidence. Measure, and say how far to trust the number.
# * Labels are 0 to 6 here and 1 to 7 in DFEW.
#
# ## What can go wrong
#
# * A notebook is run from the middle: names are missing. *Run > Run All Above Selected Cell* helps.
# * A wrong profile name: the first cell says which ones there are.
# * The package was updated while a kernel runs: restart the kernel.
#
# ## Further reading
#
# * Patent CN112101119A, and Jiang et al., *DFEW: A Large-Scale Database for Recognizing Dynamic Facial
#   Expressions in the Wild*, ACM MM 2020, doi 10.1145/3394171.3413620.
# * Barrett et al., *Emotional expressions reconsidered*, Psychological Science in the Public Interest
#   2019: what a face can and cannot tell.
#
# Next: 01, the data, or straight to 04, the formula.
