# Text source of lesson 00. Build: make notebooks ARGS=00
# ruff: noqa: E501 (prose in tables)

# %% [markdown] part="header"
# # 00 · Start here
#
# A face shows an expression over a second or two. This course follows one method that reads it from
# video, from the patent's words to a table of numbers, and asks at the end: does it help?
#
# **You will learn to** *check* your machine, *find* the code of every claim, *choose* a profile, and
# *read* labels and scores without being fooled.
#
# | | |
# |---|---|
# | Before this | one course on neural networks; Python; no PyTorch yet |
# | Time | {{minutes}} min to run (quick profile, two CPU cores); no GPU is used |
# | Memory | {{memory}} at the peak; no GPU memory |
# | Data | the class sizes of DFEW (printed in its paper) |
# | Source | CN112101119A claims 1 to 5; Jiang et al., ACM MM 2020 |
# | Exercises | {{exercises}} |

# %% part="setup"
from IPython.display import Markdown
from lessonkit import claims, lessons
from lessonkit.checks import check, expect

from ecstfl.labels import CLASSES, DFEW_COUNTS

settings = lessons.start("00")

# %% [markdown]
# ## Is everything here?
#
# `ecstfl doctor` looks at your machine and says in a line each what it found. `OK` is good, `--` is an
# extra that you may do without, and behind `FAIL` stands what to do. These are the lines that matter
# for the lessons:

# %%
for line in lessons.doctor():
    print(line)

# %% [markdown]
# ## The method in one breath
#
# > video → faces → aligned clips of 16 frames → C3D → cross-entropy + λ · EC-STFL → table
#
# Every arrow is a claim of the patent, a function of the package and a test that holds the function
# against something independent. The next table is made from the code itself; a test fails when one of
# its links goes stale.

# %%
Markdown(claims.markdown())

# %% [markdown] exercise="0.1" part="task" level=1
# ### Exercise 0.1: Find the code
#
# Write `code_for(where)`: the list of the functions (as `"package.module.name"`) behind a claim, in the order of
# the table. `claims.LINKS` holds the rows; each has `where` and `code`. A row belongs to the claim when
# the text `where` occurs in its own `where`, **ignoring case**.
#
# <details><summary>Hint 1</summary>A list comprehension over <code>claims.LINKS</code>.</details>
# <details><summary>Hint 2</summary><code>where.lower() in link.where.lower()</code></details>


# %% exercise="0.1" part="answer"
def code_for(where):
    """Return ["package.module.name", ...] of the links whose `where` contains the text."""
    ### BEGIN SOLUTION
    return [link.code for link in claims.LINKS if where.lower() in link.where.lower()]
    ### END SOLUTION


# %% exercise="0.1" part="try"
print(code_for("claim 4"))
print(code_for("Table 1"))

# %% exercise="0.1" part="check" points=1
with check("0.1"):
    table_ = [link.code for link in claims.find("table 1")]
    described_ = [link.code for link in claims.LINKS if "frames" in link.what]
    expect(
        code_for,
        ("frames",),
        answer=[],
        mistakes={
            "No claim is called 'frames', only descriptions speak of them: which field do you search?": described_
        },
    )
    expect(
        code_for,
        ("TABLE 1",),
        answer=table_,
        mistakes={
            "The table writes 'Table 1': do you compare small letters with small letters?": [],
            "There is more than one row of Table 1: does your loop end at the first?": table_[:1],
        },
    )
    expect(
        code_for,
        ("claim 3",),
        answer=[link.code for link in claims.find("claim 3")],
        mistakes={
            "'claim 3 (3-2), [0040]' belongs to claim 3 as well: is the text equal, or a part?": [],
        },
    )

# %% exercise="0.1" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("0.1"):
    for where in ("claim 2 (2-4)", "claim 2", "paper", "TABLE 1"):
        wanted = [link.code for link in claims.find(where)]
        value = list(code_for(where))
        assert value == wanted, f"{where}: expected {wanted}, got {value}"
    assert list(code_for("claim 99")) == [], "no such claim: an empty list"
### END HIDDEN TESTS


# %% exercise="0.1" part="wrong" about="wants the whole text, not a part of it"
def code_for(where):
    return [link.code for link in claims.LINKS if link.where.lower() == where.lower()]


# %% exercise="0.1" part="wrong" about="minds upper and lower case"
def code_for(where):
    return [link.code for link in claims.LINKS if where in link.where]


# %% exercise="0.1" part="wrong" about="stops at the first row"
def code_for(where):
    for link in claims.LINKS:
        if where.lower() in link.where.lower():
            return [link.code]
    return []


# %% exercise="0.1" part="wrong" about="searches the description instead of the claim"
def code_for(where):
    return [link.code for link in claims.LINKS if where.lower() in link.what.lower()]


# %% [markdown]
# ## Seven labels, two countings
#
# The seven expressions stand everywhere in the order of DFEW, the data set of the patent. Its files
# count them 1 to 7; PyTorch wants 0 to 6, and so does this package. Some copies of DFEW's lists are
# counted from 0 under the same header. Being one off gives no error message, only bad results.

# %%
for k, name in enumerate(CLASSES):
    print(f"DFEW {k + 1}   here {k}   {name:9s} {DFEW_COUNTS[k]:5d} clips")
assert sum(DFEW_COUNTS) == 11697

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
# ## Profiles: one lesson, three prices
#
# The environment variable `ECSTFL_PROFILE` decides how much a lesson computes; the cells stay the same.
#
# | profile | meant for |
# |---|---|
# | `smoke` | a test that everything runs; its numbers mean nothing |
# | `quick` | two CPU cores, a few minutes (this is the default) |
# | `full` | patience, or a GPU |
#
# Set it before you start JupyterLab: `ECSTFL_PROFILE=full make lab`.

# %%
print("This notebook runs in the profile", settings.profile)
print("repetitions it would use:", settings.choose(smoke=10, quick=1000, full=100_000))

# %% [markdown]
# ## What this course does not say
#
# * The clips that come with it are **rendered**. They make every step run; they say nothing about real
#   faces. Every table and figure made from them says so.
# * A label such as *Angry* names what a face displays to an annotator, not what a person feels.
# * The patent prints one table, without spread. We take it apart in lesson 07.
#
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
# * The doctor says what is missing, and what to do.
# * Every claim has a function, a test and a lesson.
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
