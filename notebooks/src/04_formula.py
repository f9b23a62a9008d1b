# Text source of lesson 04. Build: make notebooks ARGS=04
# ruff: noqa: E501 (prose in tables)

# %% [markdown] part="header"
# # 04 · The EC-STFL formula
#
# Pull clips of one expression together, push different expressions apart: one fraction says it.
#
# **You will learn to** *compute* the loss by hand, *vectorise* it, *check* its gradient, *compare* the
# published definitions, and *watch* your own loss train a network.
#
# | | |
# |---|---|
# | Before this | lesson 00; PyTorch's autograd |
# | Time | {{minutes}} min to run (quick profile, two CPU cores); no GPU is used |
# | Memory | {{memory}} at the peak; no GPU memory |
# | Data | drawn points; 120 embedded clips (synthetic: rendered faces) |
# | Source | CN112101119A claim 3, [0020], [0042]; Jiang et al. 2020, Eqs. 6 to 9; released code of 2024 |
# | Exercises | {{exercises}} |

# %% part="setup"
import numpy as np
import torch
from lessonkit import formula, lessons, plots_formula
from lessonkit.checks import check, expect
from lessonkit.film import film, moment
from lessonkit.guess import guess_choice, progress
from lessonkit.lessons import play
from lessonkit.progress import falling_loss
from lessonkit.pull import pull, three_expressions

from ecstfl.labels import DFEW_COUNTS
from ecstfl.losses import naive as reference
from ecstfl.losses.ec_stfl import FORMS, ec_stfl_loss
from ecstfl.losses.report import batch_report

settings = lessons.start("04")

# %% [markdown]
# ## The fraction
#
# Clip $i$ of a batch of $n$ becomes a feature vector $x_i$; $d_{ij} = \lVert x_i - x_j \rVert$.
# $N_i$ are the clips of the batch with the label of $x_i$, **itself included**. Claim 3 reads
#
# $$L_{EC} = \sum_{i=1}^{n} \frac{a_i}{b_i}, \qquad
#   a_i = \sum_{j \in N_i} \frac{d_{ij}}{|N_i|}, \qquad
#   b_i = \sum_{j \notin N_i} \frac{d_{ij}}{|N_j|}.$$
#
# So $a_i$ is the mean distance to the own class, and $b_i$ the **sum, over the other classes, of the mean
# distance to each**. Four points on a line:

# %%
x4 = [[0.0], [1.0], [4.0], [5.0]]
y4 = [0, 0, 1, 1]

a_0 = (0 + 1) / 2  # own class, itself included
b_0 = (4 + 5) / 2  # the one other class
print(f"clip 0: a = {a_0}, b = {b_0}, ratio = {a_0 / b_0:.4f}")

# %% [markdown] exercise="4.1" part="task" level=1
# ### Exercise 4.1: Who is in $N_i$?
#
# Write `class_mates(y, i)`: the indices of all samples with the label of sample `i`, ascending.
#
# <details><summary>Hint 1</summary>Is $i$ in $N_i$?</details>
# <details><summary>Hint 2</summary>A list comprehension over <code>range(len(y))</code>.</details>


# %% exercise="4.1" part="answer"
def class_mates(y, i):
    """Return the indices j with y[j] == y[i], i itself included."""
    ### BEGIN SOLUTION
    return [j for j in range(len(y)) if y[j] == y[i]]
    ### END SOLUTION


# %% exercise="4.1" part="try"
print(class_mates([3, 1, 3, 0], 0))
print(class_mates([3, 1, 3, 0], 1))

# %% exercise="4.1" part="check" points=1
with check("4.1"):
    expect(
        class_mates,
        ([3, 1, 3, 0, 3], 2),
        answer=[0, 2, 4],
        mistakes={
            "Sample 2 itself is missing: is i one of N_i?": [0, 4],
            "Sample 0 has label 3 too: look at all samples, the earlier ones as well.": [2, 4],
            "These are the samples of the other classes.": [1, 3],
            "i is the number of a sample; its label is y[i].": [],
        },
    )

# %% exercise="4.1" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("4.1"):
    assert list(class_mates([3, 1, 3, 0], 1)) == [1], "a sample alone in its class has itself"
    assert list(class_mates([5, 5, 5], 2)) == [0, 1, 2], "itself is included, in order"
    assert list(class_mates([0, 1, 0, 1, 0], 4)) == [0, 2, 4], "all samples of the class, in order"
### END HIDDEN TESTS


# %% exercise="4.1" part="wrong" about="leaves the sample itself out"
def class_mates(y, i):
    return [j for j in range(len(y)) if y[j] == y[i] and j != i]


# %% exercise="4.1" part="wrong" about="looks only at later samples"
def class_mates(y, i):
    return [j for j in range(i, len(y)) if y[j] == y[i]]


# %% exercise="4.1" part="wrong" about="returns the other classes"
def class_mates(y, i):
    return [j for j in range(len(y)) if y[j] != y[i]]


# %% exercise="4.1" part="wrong" about="takes i for the label"
def class_mates(y, i):
    return [j for j in range(len(y)) if y[j] == i]


# %% exercise="4.1" part="right" about="NumPy"
def class_mates(y, i):
    return np.flatnonzero(np.asarray(y) == y[i])


# %% [markdown] exercise="4.2" part="task" level=2
# ### Exercise 4.2: One term of the sum
#
# Write `ratio(x, y, i)`: $a_i / b_i$ in plain Python. `x` is a list of feature vectors (lists of
# numbers), `y` the labels, distances are Euclidean. There is a second class in the batch.
#
# <details><summary>Hint 1</summary>Two sums: over the clips of the class, and over all others.</details>
# <details><summary>Hint 2</summary>Two counts: above $|N_i|$; below $|N_j|$, the size of <em>the other</em>
# clip's class.</details>
# <details><summary>Hint 3</summary>For clip 0 of <code>x4</code> the answer is 0.5 / 4.5.</details>


# %% exercise="4.2" part="answer"
def ratio(x, y, i):
    """Return a_i / b_i of claim 3 for sample i."""
    ### BEGIN SOLUTION
    a = b = 0.0
    for j in range(len(x)):
        d = sum((p - q) ** 2 for p, q in zip(x[i], x[j], strict=True)) ** 0.5
        if y[j] == y[i]:
            a += d / y.count(y[i])
        else:
            b += d / y.count(y[j])
    return a / b
    ### END SOLUTION


# %% exercise="4.2" part="try"
for i in range(4):
    print(f"clip {i}: {ratio(x4, y4, i):.4f}")

# %% exercise="4.2" part="check" points=1
with check("4.2"):
    points_ = [[0.0, 0.0], [3.0, 4.0], [6.0, 0.0], [0.0, 8.0], [8.0, 6.0]]
    classes_ = [0, 0, 1, 1, 2]
    expect(
        ratio,
        (points_, classes_, 0),
        answer=2.5 / 17,
        mistakes={
            "The mean above is over all of N_0, the clip itself included: by how many do you divide?": 0.29412,
            "Below, d is divided by |N_j|, the size of the other clip's class, not of the own one.": 0.20833,
            "One mean over all others. Class 1 has two clips and class 2 has one: each class gives its own mean.": 0.3125,
            "These are squared distances: take the root.": 0.083333,
            "The way along the axes is 7 to point 1; the straight way is 5.": 0.16667,
        },
    )

# %% exercise="4.2" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("4.2"):
    points = [[0.0, 0.0], [3.0, 4.0], [0.0, 1.0], [6.0, 8.0], [1.0, 0.0], [2.0, 2.0]]
    marks = [0, 0, 1, 1, 1, 2]
    for i in range(6):
        wanted = reference.numerator(points, marks, i, 2) / reference.denominator(
            points, marks, i, 2
        )
        value = ratio(points, marks, i)
        assert abs(value - wanted) < 1e-9, (
            f"classes of sizes 3, 2, 1: expected {wanted}, got {value}"
        )
### END HIDDEN TESTS


# %% exercise="4.2" part="wrong" about="divides the pull by |N_i| - 1, leaving the clip itself out"
def ratio(x, y, i):
    a = b = 0.0
    for j in range(len(x)):
        d = sum((p - q) ** 2 for p, q in zip(x[i], x[j], strict=True)) ** 0.5
        if y[j] == y[i]:
            a += d / max(y.count(y[i]) - 1, 1)
        else:
            b += d / y.count(y[j])
    return a / b


# %% exercise="4.2" part="wrong" about="divides the push by the size of the clip's own class"
def ratio(x, y, i):
    a = b = 0.0
    for j in range(len(x)):
        d = sum((p - q) ** 2 for p, q in zip(x[i], x[j], strict=True)) ** 0.5
        if y[j] == y[i]:
            a += d / y.count(y[i])
        else:
            b += d / y.count(y[i])
    return a / b


# %% exercise="4.2" part="wrong" about="one mean over all negatives instead of a sum of class means"
def ratio(x, y, i):
    a = b = 0.0
    others = sum(label != y[i] for label in y)
    for j in range(len(x)):
        d = sum((p - q) ** 2 for p, q in zip(x[i], x[j], strict=True)) ** 0.5
        if y[j] == y[i]:
            a += d / y.count(y[i])
        else:
            b += d / others
    return a / b


# %% exercise="4.2" part="wrong" about="squared distances"
def ratio(x, y, i):
    a = b = 0.0
    for j in range(len(x)):
        d = sum((p - q) ** 2 for p, q in zip(x[i], x[j], strict=True))
        if y[j] == y[i]:
            a += d / y.count(y[i])
        else:
            b += d / y.count(y[j])
    return a / b


# %% exercise="4.2" part="wrong" about="city-block distance"
def ratio(x, y, i):
    a = b = 0.0
    for j in range(len(x)):
        d = sum(abs(p - q) for p, q in zip(x[i], x[j], strict=True))
        if y[j] == y[i]:
            a += d / y.count(y[i])
        else:
            b += d / y.count(y[j])
    return a / b


# %% exercise="4.2" part="right" about="class by class"
def ratio(x, y, i):
    import math

    far = {}
    for point, label in zip(x, y, strict=True):
        far.setdefault(label, []).append(math.dist(x[i], point))
    mean = {label: sum(ways) / len(ways) for label, ways in far.items()}
    return mean.pop(y[i]) / sum(mean.values())


# %% [markdown]
# ## From loops to matrices
#
# A loop is too slow for training. With the matrix `d` of all distances, and `same`, true where two labels
# agree, each $a_i$ and each $b_i$ is a row sum:

# %%
print(f"sum of the four ratios: {reference.patent(x4, y4):.6f}")
x, y = plots_formula.toy_points(separation=2.0, spread=0.6, per_class=3)
d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
same = y[:, None] == y
print("who belongs together (1) in a batch of nine:")
print(same.int().numpy())

# %% [markdown] exercise="4.3" part="task" level=2
# ### Exercise 4.3: No loop
#
# Write `patent_loss(x, y)` for tensors `x` (n, d) and `y` (n,): the whole sum, without a Python loop.
# Take `torch.cdist` as above. Classes may differ in size.
#
# <details><summary>Hint 1</summary><code>size = same.sum(1)</code> is $|N_i|$ for every i at once.</details>
# <details><summary>Hint 2</summary><code>d / size</code> divides column j by <code>size[j]</code>, which is
# $|N_j|$.</details>
# <details><summary>Hint 3</summary><code>(d * ~same / size).sum(1)</code> is b.</details>


# %% exercise="4.3" part="answer"
def patent_loss(x, y):
    """Return the loss of claim 3 as a scalar tensor."""
    ### BEGIN SOLUTION
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    same = y[:, None] == y
    size = same.sum(dim=1)
    a = (d * same).sum(dim=1) / size
    b = (d * ~same / size).sum(dim=1)
    return (a / b).sum()
    ### END SOLUTION


# %% exercise="4.3" part="try"
print(f"{patent_loss(x, y):.6f}")
print(f"{patent_loss(torch.tensor(x4), torch.tensor(y4)):.6f}")

# %% exercise="4.3" part="check" points=1
with check("4.3"):
    points_ = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 0.0], [0.0, 8.0], [8.0, 6.0]])
    classes_ = torch.tensor([0, 0, 1, 1, 2])
    expect(
        patent_loss,
        (points_, classes_),
        answer=1.1497059,
        within=1e-5,
        mistakes={
            "Below, d is divided by size[j], the other clip's class, inside a row sum: yours takes the own class, or sums columns.": 1.5812,
            "This is one ratio of two sums, the paper's Eq. 9. Claim 3 is a sum of ratios.": 0.2176,
            "This is the mean of the ratios. Claim 3 adds them up.": 0.22994,
            "The own class stands in the denominator too: j must not be in N_i.": 0.87262,
        },
    )

# %% exercise="4.3" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("4.3"):
    draw = torch.Generator().manual_seed(7)
    points = torch.randn(11, 5, generator=draw, dtype=torch.float64)
    marks = torch.tensor([2, 2, 2, 2, 2, 0, 0, 0, 4, 4, 6])
    wanted = reference.patent(points.tolist(), marks.tolist())
    value = float(patent_loss(points, marks))
    assert abs(value - wanted) < 1e-9, (
        f"classes of sizes 5, 3, 2, 1: expected {wanted}, got {value}"
    )
    shuffled = torch.randperm(11, generator=draw)
    value = float(patent_loss(points[shuffled], marks[shuffled]))
    assert abs(value - wanted) < 1e-9, "the order of the clips in a batch must not matter"
### END HIDDEN TESTS


# %% exercise="4.3" part="wrong" about="divides the push by the size of the row's class"
def patent_loss(x, y):
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    same = y[:, None] == y
    size = same.sum(dim=1)
    a = (d * same).sum(dim=1) / size
    b = (d * ~same).sum(dim=1) / size
    return (a / b).sum()


# %% exercise="4.3" part="wrong" about="one ratio of two sums: the paper's Eq. 9"
def patent_loss(x, y):
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    same = y[:, None] == y
    size = same.sum(dim=1)
    a = (d * same).sum(dim=1) / size
    b = (d * ~same / size).sum(dim=1)
    return a.sum() / b.sum()


# %% exercise="4.3" part="wrong" about="the mean of the ratios instead of their sum"
def patent_loss(x, y):
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    same = y[:, None] == y
    size = same.sum(dim=1)
    a = (d * same).sum(dim=1) / size
    b = (d * ~same / size).sum(dim=1)
    return (a / b).mean()


# %% exercise="4.3" part="wrong" about="sums over a dimension too early: columns instead of rows"
def patent_loss(x, y):
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    same = y[:, None] == y
    size = same.sum(dim=1)
    a = (d * same).sum(dim=0) / size
    b = (d * ~same / size).sum(dim=0)
    return (a / b).sum()


# %% exercise="4.3" part="wrong" about="the denominator runs over all clips"
def patent_loss(x, y):
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    same = y[:, None] == y
    size = same.sum(dim=1)
    a = (d * same).sum(dim=1) / size
    b = (d / size).sum(dim=1)
    return (a / b).sum()


# %% exercise="4.3" part="right" about="NumPy, and the mean of each class"
def patent_loss(x, y):
    x, y = np.asarray(x), np.asarray(y)
    d = np.sqrt(((x[:, None] - x) ** 2).sum(-1))
    means = np.stack([d[:, y == c].mean(1) for c in np.unique(y)], axis=1)
    own = y[:, None] == np.unique(y)
    return (means[own] / np.where(own, 0, means).sum(1)).sum()


# %% [markdown]
# Loop and package (`ec_stfl_loss`) must agree to the last digits:

# %%
for form, gap in formula.loop_and_package(settings.choose(smoke=24, quick=60, full=120)).items():
    print(f"{form:9s} form, loop against package: largest difference {gap:.0e}")
    assert gap < 1e-10

# %% [markdown]
# ## The gradient: who pulls whom?
#
# Training moves $x_i$ against the gradient. To estimate it, move one coordinate a little to both sides:
#
# $$\frac{\partial L}{\partial x} \approx \frac{L(x + h) - L(x - h)}{2h}.$$

# %% [markdown] exercise="4.4" part="task" level=3
# ### Exercise 4.4: A gradient without calculus
#
# Write `finite_difference(f, x, h=1e-5)`: the central difference of the scalar function `f` at the
# tensor `x`, for every entry. Leave `x` as it was.
#
# <details><summary>Hint 1</summary>A loop over <code>x.numel()</code>, with <code>step.view(-1)[k] = h</code> on a
# tensor of zeros.</details>
# <details><summary>Hint 2</summary><code>f(x + step) - f(x - step)</code> leaves x alone.</details>


# %% exercise="4.4" part="answer"
def finite_difference(f, x, h=1e-5):
    """Return the central difference of f at x, in the shape of x."""
    ### BEGIN SOLUTION
    gradient = torch.zeros_like(x)
    for k in range(x.numel()):
        step = torch.zeros_like(x)
        step.view(-1)[k] = h
        gradient.view(-1)[k] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient
    ### END SOLUTION


# %% exercise="4.4" part="try"
print(
    finite_difference(
        lambda t: (t**2).sum(), torch.tensor([[1.0, 2.0], [3.0, 0.0]], dtype=torch.float64)
    )
)

# %% exercise="4.4" part="check" points=1
with check("4.4"):
    at_ = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    expect(
        finite_difference,
        (lambda t: (t**3).sum(), at_, 0.1),
        answer=[[3.01, 12.01]],
        within=1e-4,
        mistakes={
            "You go to one side only: with h = 0.1 the central difference is off by h² = 0.01, yours by 0.31 and more.": 15.92,
            "From x - h to x + h it is a way of 2 h.": [[6.02, 24.02]],
            "The second entry has the first one's step in it: begin each step with zeros.": 18.03,
        },
    )

# %% exercise="4.4" part="hidden" points=3
### BEGIN HIDDEN TESTS
with check("4.4"):
    at = torch.tensor([[0.5, -1.0, 2.0], [3.0, 0.1, -0.7]], dtype=torch.float64)
    kept = at.clone()
    value = torch.as_tensor(finite_difference(lambda t: (t**3).sum(), at, 1e-3), dtype=at.dtype)
    assert value.shape == at.shape, "the result has the shape of x"
    assert torch.allclose(value, 3 * kept**2, atol=1e-5), (
        "central: the error shrinks with h squared"
    )
    assert torch.equal(at, kept), "x must stay as it was"
    weighted = lambda t: (t.abs() * torch.arange(6.0).view(2, 3)).sum()  # noqa: E731
    value = torch.as_tensor(finite_difference(weighted, at, 1e-4), dtype=at.dtype)
    assert torch.allclose(value, kept.sign() * torch.arange(6.0, dtype=torch.float64).view(2, 3)), (
        "every entry has its own derivative"
    )
### END HIDDEN TESTS


# %% exercise="4.4" part="wrong" about="one-sided difference"
def finite_difference(f, x, h=1e-5):
    gradient = torch.zeros_like(x)
    for k in range(x.numel()):
        step = torch.zeros_like(x)
        step.view(-1)[k] = h
        gradient.view(-1)[k] = (f(x + step) - f(x)) / h
    return gradient


# %% exercise="4.4" part="wrong" about="divides by h, not by the way of 2 h"
def finite_difference(f, x, h=1e-5):
    gradient = torch.zeros_like(x)
    for k in range(x.numel()):
        step = torch.zeros_like(x)
        step.view(-1)[k] = h
        gradient.view(-1)[k] = (f(x + step) - f(x - step)) / h
    return gradient


# %% exercise="4.4" part="wrong" about="steps pile up: entries already visited stay moved"
def finite_difference(f, x, h=1e-5):
    gradient = torch.zeros_like(x)
    step = torch.zeros_like(x)
    for k in range(x.numel()):
        step.view(-1)[k] = h
        gradient.view(-1)[k] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


# %% exercise="4.4" part="wrong" about="moves x itself and does not put it back"
def finite_difference(f, x, h=1e-5):
    gradient = torch.zeros_like(x)
    for k in range(x.numel()):
        x.view(-1)[k] += h
        above = f(x)
        x.view(-1)[k] -= 2 * h
        gradient.view(-1)[k] = (above - f(x)) / (2 * h)
    return gradient


# %% exercise="4.4" part="right" about="NumPy's index"
def finite_difference(f, x, h=1e-5):
    out = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        up, down = x.clone(), x.clone()
        up[place] += h
        down[place] -= h
        out[place] = (f(up) - f(down)) / (2 * h)
    return out


# %% [markdown]
# Three ways to one gradient: yours, autograd, and the package's closed form
# ([derived here](../docs/loss.md)).

# %%
gaps = formula.gradients(*plots_formula.toy_points(per_class=4))
for way, gap in gaps.items():
    print(f"{way:18s} against the closed form: largest difference {gap:.0e}")
assert gaps["autograd"] < 1e-12
assert gaps["finite differences"] < 1e-7

# %% [markdown]
# Each arrow shows where the loss moves a point:

# %% closed=true
play(
    plots_formula.loss_field,
    separation=(0.0, 4.0, 0.25),
    spread=(0.1, 1.5, 0.1),
    form=list(FORMS),
    seed=(0, 9),
)

# %% [markdown]
# A far point is pulled about as hard as a near one: the slope of a distance is a unit vector.
#
# ## One name, several definitions
#
# Three [forms](../docs/glossary.md#form) of the loss were published:
#
# | form | formula | norm | where |
# |---|---|---|---|
# | patent | $\sum_i a_i / b_i$ | plain, taken as L2 | claim 3, [0020] |
# | paper | $\sum_i a_i \,/\, \sum_i b_i$ | plain, taken as L2 | Eq. 9 |
# | released | $\frac{1}{n^2} \sum_i a_i \cdot \frac{\sum_{j \notin N_i} 1/(d_{ij} + 10^{-6})}{\text{negatives of } i + 1}$ | L1 | code of 2024 |
#
# The paper's Eqs. 6 to 8, read literally, turn the fraction upside down: training would *mix* the expressions.
# Its Eq. 9 does not: an erratum.
#
# The forms differ in size. Random features, 24 clips, seven classes, the paper's $\lambda = 10$:

# %% closed=true
draw = torch.Generator().manual_seed(0)
labels = torch.arange(24) % 7
batches = [torch.randn(24, 512, generator=draw) for _ in range(20)]
sizes = {f: float(np.mean([ec_stfl_loss(b, labels, f).item() for b in batches])) for f in FORMS}
assert abs(sizes["patent"] / sizes["paper"] - 24) < 0.5
plots_formula.form_sizes(sizes, 10, float(np.log(7)))

# %% [markdown]
# **A λ without its form and its batch size means nothing.** With equal spreads every ratio is about
# $\frac{d_{within}}{(C-1)\, d_{between}}$ with $C$ classes in the batch; the patent adds up $n$ of them, the
# paper has one.

# %% [markdown] exercise="4.5" part="task" level=2
# ### Exercise 4.5: A number that can be compared
#
# Write `size_free(loss, n, classes)`: turn a *patent-form* loss of `n` clips of `classes` classes into an
# estimate of $d_{within} / d_{between}$.
#
# <details><summary>Hint 1</summary>Set the loss equal to $n$ such ratios.</details>


# %% exercise="4.5" part="answer"
def size_free(loss, n, classes):
    """Return the estimate of d_within / d_between behind a patent-form loss."""
    ### BEGIN SOLUTION
    return loss * (classes - 1) / n
    ### END SOLUTION


# %% exercise="4.5" part="try"
for n, classes in ((24, 7), (48, 7), (24, 3)):
    batch = torch.randn(n, 512, generator=torch.Generator().manual_seed(1))
    loss = ec_stfl_loss(batch, torch.arange(n) % classes).item()
    print(f"n = {n}, C = {classes}: loss {loss:6.3f}, size-free {size_free(loss, n, classes):.3f}")

# %% exercise="4.5" part="check" points=1
with check("4.5"):
    expect(
        size_free,
        (3.5, 14, 7),
        answer=1.5,
        mistakes={
            "A clip has C - 1 other classes, its own is not among them.": 1.75,
            "More classes make b larger: where is C - 1?": 0.25,
            "Solve L = n / (C - 1) · ratio for the ratio: C - 1 comes to the other side.": 0.041667,
            "The batch has n = 14 clips, not 24.": 0.875,
        },
    )

# %% exercise="4.5" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("4.5"):
    draw = torch.Generator().manual_seed(3)
    for n, classes in ((16, 2), (70, 7), (30, 3)):
        batch = torch.randn(n, 64, generator=draw)
        marks = torch.arange(n) % classes
        report = batch_report(batch, marks)
        value = size_free(report.loss, n, classes)
        assert abs(value - report.size_free) < 1e-5, (
            f"n = {n}, C = {classes}: expected {report.size_free}, got {value}"
        )
### END HIDDEN TESTS


# %% exercise="4.5" part="wrong" about="counts the clip's own class among the others"
def size_free(loss, n, classes):
    return loss * classes / n


# %% exercise="4.5" part="wrong" about="forgets the classes"
def size_free(loss, n, classes):
    return loss / n


# %% exercise="4.5" part="wrong" about="divides where it should multiply"
def size_free(loss, n, classes):
    return loss / (n * (classes - 1))


# %% exercise="4.5" part="wrong" about="forgets the batch size"
def size_free(loss, n, classes):
    return loss * (classes - 1) / 24


# %% [markdown]
# Patent and paper do not change when all features are moved, turned or scaled: only the *shape* counts.
#
# ## Where NaN hides
#
# A clip's distance to itself is 0, where the slope of $\sqrt{t}$ is infinite:

# %%
x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [4.0, 0.0]], requires_grad=True)
square = ((x[:, None] - x) ** 2).sum(-1)
naive = square.sqrt().sum()
naive.backward()
print(
    f"value {naive.item():.1f}, gradient {x.grad[0].tolist()}: nan after the first step of training"
)
assert torch.isfinite(naive)
assert torch.isnan(x.grad).all()

# %% [markdown] exercise="4.6" part="task" level=3
# ### Exercise 4.6: Distances that can be differentiated
#
# Write `safe_distances(x)`: all Euclidean distances (n, n) of the rows of `x`. For two equal points, distance
# and gradient are **exactly 0**. Change no other distance.
#
# <details><summary>Hint 1</summary><code>torch.where(square > 0, square.sqrt(), 0)</code> is not enough: the other
# branch is differentiated too, and 0 times infinity is NaN.</details>
# <details><summary>Hint 2</summary>Replace zeros by 1 <em>before</em> the square root, and the result by 0
# <em>after</em> it.</details>


# %% exercise="4.6" part="answer"
def safe_distances(x):
    """Return (n, n) distances, exactly 0 for equal points, with finite gradients."""
    ### BEGIN SOLUTION
    square = ((x[:, None] - x) ** 2).sum(dim=-1)
    apart = square > 0
    return torch.where(apart, torch.where(apart, square, 1).sqrt(), 0)
    ### END SOLUTION


# %% exercise="4.6" part="try"
x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]], requires_grad=True)
distances = safe_distances(x)
distances.sum().backward()
print(distances.detach().numpy())
print(x.grad.numpy())

# %% exercise="4.6" part="check" points=1
with check("4.6"):
    twins_ = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])

    def slope_(point):
        at = twins_.clone().requires_grad_()
        safe_distances(at).sum().backward()
        return at.grad[point]

    expect(
        safe_distances,
        (twins_,),
        answer=[[0, 5, 0], [5, 0, 5], [0, 5, 0]],
        within=1e-7,
        mistakes={
            "The distance of a point to itself is not 0: a constant under the root moves every distance.": 20.005,
            "The distance of a point to itself is not 0: `clamp` puts a smallest value there.": 20.0,
        },
    )
    expect(
        slope_,
        (1,),
        answer=[2.4000001, 3.2],
        mistakes={
            "A zero reaches the root, where the slope is infinite. `where` behind it does not help: infinity times 0 is NaN.": np.nan,
            "There is no gradient: `detach` cuts it off.": [0, 0],
        },
    )
    expect(
        slope_,
        (0,),
        answer=[-1.2, -1.6],
        mistakes={
            "Points 0 and 2 are equal: is the diagonal the only place with a distance of 0?": np.nan,
        },
    )

# %% exercise="4.6" part="hidden" points=3
### BEGIN HIDDEN TESTS
with check("4.6"):
    draw = torch.Generator().manual_seed(11)
    at = torch.randn(40, 6, generator=draw) + 50
    at[7] = at[3]
    at[20] = at[3] + 1e-3
    at.requires_grad_()
    value = safe_distances(at)
    wanted = torch.cdist(at.detach().double(), at.detach().double()).float()
    exact = (at.detach().double()[:, None] - at.detach().double()).norm(dim=-1)
    assert (value.diagonal() == 0).all(), "the distance of a point to itself is exactly 0"
    assert value[3, 7] == 0, "the distance of two equal points is exactly 0"
    assert torch.allclose(value.double(), exact, rtol=1e-4, atol=0), "distances must not be biased"
    value.sum().backward()
    assert torch.isfinite(at.grad).all(), "the gradient must be finite, for equal points too"
    two = torch.tensor([[0.0], [2.0]], dtype=torch.float64, requires_grad=True)
    safe_distances(two)[0, 1].backward()
    assert torch.allclose(two.grad, torch.tensor([[-1.0], [1.0]], dtype=torch.float64)), "unit pull"
### END HIDDEN TESTS


# %% exercise="4.6" part="wrong" about="the square root of zero"
def safe_distances(x):
    return ((x[:, None] - x) ** 2).sum(dim=-1).sqrt()


# %% exercise="4.6" part="wrong" about="where after the square root: right value, NaN gradient"
def safe_distances(x):
    square = ((x[:, None] - x) ** 2).sum(dim=-1)
    return torch.where(square > 0, square.sqrt(), 0)


# %% exercise="4.6" part="wrong" about="a constant under the root: finite, but no distance is right"
def safe_distances(x):
    return (((x[:, None] - x) ** 2).sum(dim=-1) + 1e-6).sqrt()


# %% exercise="4.6" part="wrong" about="a matrix product: distances of a point to itself are not 0"
def safe_distances(x):
    square = (x * x).sum(1)
    return (square[:, None] + square - 2 * x @ x.T).clamp(min=1e-12).sqrt()


# %% exercise="4.6" part="wrong" about="masks the diagonal only: two equal clips still give NaN"
def safe_distances(x):
    square = ((x[:, None] - x) ** 2).sum(dim=-1)
    off = ~torch.eye(len(x), dtype=torch.bool)
    return torch.where(off, torch.where(off, square, 1).sqrt(), 0)


# %% exercise="4.6" part="wrong" about="finite, but the gradient is cut off everywhere"
def safe_distances(x):
    return ((x.detach()[:, None] - x.detach()) ** 2).sum(dim=-1).sqrt() + 0 * x.sum()


# %% exercise="4.6" part="right" about="PyTorch's norm, whose slope at 0 is 0"
def safe_distances(x):
    return torch.linalg.vector_norm(x[:, None] - x, dim=-1)


# %% [markdown]
# The other trap is a batch without a pair. DFEW has 145 Disgust clips in 11,697:

# %%
alone = batch_report(torch.randn(6, 4), torch.zeros(6, dtype=torch.long))
print(
    f"one class only: loss {alone.loss:g}, terms left out {alone.left_out}; no NaN in the package"
)
share = DFEW_COUNTS[5] / sum(DFEW_COUNTS)
none = (1 - share) ** 24
one = 24 * share * (1 - share) ** 23
print(f"Disgust in a batch of 24: none {none:.1%}   one {one:.1%}   a pair {1 - none - one:.1%}")
assert round(100 * (1 - none - one), 1) == 3.5

# %% [markdown]
# In 96 of 100 batches nothing pulls Disgust together (more in lesson 06).
#
# ## Watch it pull
#
# **Your** `patent_loss` (exercise 4.3) trains a network on three expressions. It has **two features**: each
# clip is a point in the plane. Loss: cross-entropy + λ · your loss, with λ = 0, 0.1 and 1; at
# last the fraction upside down, with λ = 10.

# %%
louder = guess_choice(
    "04-louder",
    "λ = 1 instead of 0.1: what happens to the three expressions?",
    ["three tighter groups", "one flies off, two lie together", "all in one point"],
)
louder

# %%
faces = three_expressions(settings.choose(smoke=2, quick=8, full=12))
epochs = settings.choose(smoke=2, quick=30, full=40)
losses = {
    "cross-entropy alone": (patent_loss, 0),
    "your loss, λ = 0.1": (patent_loss, 0.1),
    "your loss, λ = 1": (patent_loss, 1),
    "upside down, λ = 10": (formula.upside_down, 10),
}
networks = {
    title: pull(loss, weight, faces, epochs=epochs, seed=1, progress=falling_loss(title))
    for title, (loss, weight) in losses.items()
}
film(networks)

# %%
for title, network in networks.items():
    print(
        f"{title:20s} within / between {network.ratio:.2f}   recognised: people it learned from "
        f"{network.seen:4.0%}, people it has never seen {network.unseen:4.0%}"
    )
gone = networks["your loss, λ = 1"].lonely
louder.truth(louder.options[1 if gone else 0], f"{gone or 'No expression'} flies off.")

# %% [markdown]
# In the third network one expression is far away, and the other two are one heap: one far class makes every
# $b_i$ large. The fourth mixes the expressions.
#
# Which λ would you take? Try other seeds too:

# %%
trained = {(network.weight, 1): network for network in list(networks.values())[:3]}


def your_pull(weight=0.1, epoch=epochs, seed=1):
    """Train with your loss at this weight (once), and show the points after an epoch."""
    if (weight, seed) not in trained:
        trained[weight, seed] = pull(patent_loss, weight, faces, epochs=epochs, seed=seed)
    return moment(trained[weight, seed], epoch)


play(your_pull, weight=[0, 0.03, 0.1, 0.3, 1, 3], epoch=(0, epochs), seed=[0, 1, 2])

# %% [markdown]
# **This is the easy case**: three expressions, and people that the network knows (hollow points: those that
# it does not). Lessons 06 to 08 take seven expressions and unseen people.

# %%
progress()

# %% [markdown]
# ## Checkpoint

# %% part="quiz"
question(
    "You add 7 to every feature of every clip. What does the patent's loss do?",
    ["It grows by 7", "It grows seven times", "Nothing"],
    right=3,
    why=[
        "Only differences of features enter the distances, and the 7 cancels in each of them.",
        "That would be so for a factor, if the loss saw scale. It does not, and this is a shift.",
        "Only differences of features enter, so a shift cancels in every distance.",
    ],
)

# %% part="quiz"
question(
    "You double the batch from 24 to 48 clips, still seven classes, and keep λ. With the patent's form, the weight of EC-STFL beside the cross-entropy ...",
    ["stays the same", "about doubles", "about halves"],
    right=2,
    why=[
        "The cross-entropy is a mean over clips, but the patent's form is a sum of n ratios.",
        "It is a sum of n ratios of the same size, while the cross-entropy is a mean.",
        "Think of how many terms the sum has.",
    ],
)

# %% part="quiz"
question(
    "A clip is alone with its label in the batch. What does it feel (patent's form)?",
    [
        "It is pushed away from the others by its own term",
        "Its own term is 0; it only feels the terms of the others",
        "The loss is NaN",
    ],
    right=2,
    why=[
        "Its numerator is 0 wherever it goes, so its own term is 0 and has no slope.",
        "Its numerator is 0, so its own term has no slope; but it stands in the denominators of others.",
        "A denominator of 0 would do that; here the numerator is 0.",
    ],
)

# %% [markdown]
# ## Summary
#
# * λ belongs to a form, a batch size and a number of classes.
# * Zero distances must not reach a square root.
# * A large λ sends one class away: a small fraction, and nothing is recognised better.
#
# ## What can go wrong
#
# * Comparing λ = 10 across forms; reading a small ratio as success.
#
# ## Further reading
#
# * [The loss](../docs/loss.md): the closed-form gradient, derived.
# * Jiang et al., *DFEW*, ACM MM 2020, doi 10.1145/3394171.3413620.
# * Qi and Su, *Contrastive-center loss*, 2017, arXiv 1707.07391: the nearest cousin.
#
# Next: 05, C3D.
