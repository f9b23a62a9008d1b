# Text source of lesson 03. Build: make notebooks ARGS=03
# ruff: noqa: E501 (prose in tables)

# %% [markdown] part="header"
# # 03 · From any length to 16 frames
#
# One clip lasts half a second, another five. The network wants 16 frames from each. Which ones, or
# which mixture of them?
#
# **You will learn to** *choose* frames evenly, *interpolate* between frames, *see* what TIM does to a
# face, and, if you like, *derive* it.
#
# | | |
# |---|---|
# | Before this | lesson 00; for the optional part: eigenvectors and the singular value decomposition |
# | Time | {{minutes}} min to run (quick profile, two CPU cores); no GPU is used |
# | Memory | {{memory}} at the peak; no GPU memory |
# | Data | embedded clips: rendered faces, no person was filmed |
# | Source | CN112101119A claim 2 (2-4); Zhou, Zhao and Pietikäinen, CVPR 2011 |
# | Exercises | {{exercises}} |

# %% part="setup"
import numpy as np
from lessonkit import lessons, plots_frames
from lessonkit.checks import check, expect
from lessonkit.guess import guess_choice, guess_number, progress
from lessonkit.lessons import play
from lessonkit.pictures import playing
from scipy.linalg import eigh

from ecstfl.clips import temporal

settings = lessons.start("03")

# %% [markdown]
# ## Three ways, one clip
#
# Claim 2 asks for "the same number of frames" for each video, by interpolation or by choosing key
# frames. The paper takes 16, by an interpolation called [TIM](../docs/glossary.md#tim). Here is one
# rendered clip, made into 16 frames in three ways:
#
# * **uniform** takes frames that exist, at equal distances;
# * **linear** blends two neighbours;
# * **TIM** lays one smooth curve through all frames and reads it at 16 places.
#
# Before you look:

# %%
difference = guess_number(
    "03-difference",
    "How far are the TIM frames from the linear ones, on average over all pixels, in grey levels of 255?",
    0,
    30,
    digits=1,
)
difference

# %%
name, frames = lessons.embedded_clip("Surprise")
n, T = len(frames), 16
WAYS = {"uniform": "uniform", "linear": "linear", "TIM": "tim"}
three = {title: temporal.normalise_length(frames, T, way) for title, way in WAYS.items()}
playing(
    three,
    f"The same rendered face three times, side by side, with surprise coming and going: {n} frames made into {T} by uniform choice, by linear interpolation and by TIM. By eye they hardly differ.",
    fps=8,
)

# %%
apart = np.abs(three["TIM"].astype(float) - three["linear"].astype(float))
assert 0 < apart.mean() < 30
difference.truth(
    apart.mean(),
    f"The largest difference of a pixel is {apart.max():.0f}: it lies where the mouth moves.",
)

# %% [markdown]
# By eye the three hardly differ. Look at the mouth when it opens and shuts: a blend shows half a
# mouth there, which no frame of the video had.
#
# <details><summary>Think: which of the three would you give to a network that must tell a blink from closed
# eyes?</summary>A blink lasts two or three frames. Uniform may skip it, but what it keeps is real. Linear and TIM
# blend it with its neighbours: eyes half open, a little too long. None is right for all questions.</details>
#
# ## Choose: frames that exist

# %% [markdown] exercise="3.1" part="task" level=1
# ### Exercise 3.1: Evenly spaced
#
# Write `uniform(n, T)`: T indices into n frames (T at least 2), equally spaced from 0 to n - 1, each
# rounded to the nearest integer, **halves upwards**. With n < T frames repeat.
#
# <details><summary>Hint 1</summary><code>np.linspace(0, n - 1, T)</code> has both ends.</details>
# <details><summary>Hint 2</summary><code>np.round</code> sends 0.5 to 0 and 1.5 to 2; <code>np.floor(x + 0.5)</code>
# does not.</details>


# %% exercise="3.1" part="answer"
def uniform(n, T):
    """Return (T,) integer indices, equally spaced over n frames, halves rounded upwards."""
    ### BEGIN SOLUTION
    return np.floor(np.linspace(0, n - 1, T) + 0.5).astype(int)
    ### END SOLUTION


# %% exercise="3.1" part="try"
print(uniform(24, 16))
print(uniform(5, 8))

# %% exercise="3.1" part="check" points=1
with check("3.1"):
    expect(
        uniform,
        (11, 5),
        answer=[0, 3, 5, 8, 10],
        mistakes={
            "The step is a whole number here, so the last frame is never reached: must it be one?": 20.0,
            "2.5 must become 3: `astype(int)` cuts digits off.": [0, 2, 5, 7, 10],
            "2.5 must become 3, but `np.round` goes to the even neighbour.": [0, 2, 5, 8, 10],
            "The last index must be n - 1 = 10: T points leave T - 1 gaps.": [0, 2, 4, 7, 9],
        },
    )
    expect(
        uniform,
        (3, 4),
        answer=[0, 1, 1, 2],
    )

# %% exercise="3.1" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("3.1"):
    for n, T in ((24, 16), (5, 8), (16, 16), (100, 7), (2, 3), (1, 4)):
        value = list(uniform(n, T))
        wanted = list(temporal.uniform_indices(n, T))
        assert value == wanted, f"{T} of {n} frames: expected {wanted}, got {value}"
### END HIDDEN TESTS


# %% exercise="3.1" part="wrong" about="the first T frames"
def uniform(n, T):
    return np.minimum(np.arange(T) * ((n - 1) // (T - 1)), n - 1)


# %% exercise="3.1" part="wrong" about="cuts digits off"
def uniform(n, T):
    return np.linspace(0, n - 1, T).astype(int)


# %% exercise="3.1" part="wrong" about="halves to the even neighbour"
def uniform(n, T):
    return np.round(np.linspace(0, n - 1, T)).astype(int)


# %% exercise="3.1" part="wrong" about="never reaches the last frame"
def uniform(n, T):
    return np.floor(np.arange(T) * n / T + 0.5).astype(int)


# %% exercise="3.1" part="right" about="whole numbers only"
def uniform(n, T):
    return [(2 * t * (n - 1) + T - 1) // (2 * (T - 1)) for t in range(T)]


# %% [markdown]
# The package knows more ways to choose: `change_indices` takes the frames that differ most from the one
# before (key frames), `segment_indices` draws one from each of T equal stretches, at random in training.
#
# ## Mix: linear interpolation
#
# Or blend two neighbours. Counting places from 0, the new frame at place 2.25 is three quarters of
# frame 2 and a quarter of frame 3. All T blends together are one matrix: new = old @ A.

# %% [markdown] exercise="3.2" part="task" level=2
# ### Exercise 3.2: The matrix of linear interpolation
#
# Write `linear_matrix(n, T)`: A of shape (n, T) for n, T at least 2, with the new frames at
# `np.linspace(0, n - 1, T)`. Column t holds the shares of the old frames in new frame t.
#
# <details><summary>Hint 1</summary>A column has at most two entries that are not 0, and sums to 1.</details>
# <details><summary>Hint 2</summary>The lower neighbour of place p is <code>int(p)</code>, but the last place,
# n - 1, has none above it.</details>
# <details><summary>Hint 3</summary>One line does it too: the share of frame i at place p is
# <code>max(0, 1 - abs(p - i))</code>.</details>


# %% exercise="3.2" part="answer"
def linear_matrix(n, T):
    """Return (n, T): shares of n old frames in T new ones."""
    ### BEGIN SOLUTION
    where = np.linspace(0, n - 1, T)
    return np.maximum(0, 1 - np.abs(where[None, :] - np.arange(n)[:, None]))
    ### END SOLUTION


# %% exercise="3.2" part="try"
print(linear_matrix(3, 5))

# %% exercise="3.2" part="check" points=1
with check("3.2"):
    expect(
        linear_matrix,
        (3, 4),
        look=lambda A: np.asarray(A)[:, 3],
        answer=[0, 0, 1],
        mistakes={
            "At the last place, the last frame has everything: have the two shares changed places?": [
                0,
                1,
                0,
            ],
            "The last new frame must be the last old one: do the places reach n - 1?": [
                0,
                0.5,
                0.5,
            ],
        },
    )
    expect(
        linear_matrix,
        (3, 4),
        look=lambda A: np.asarray(A)[:, 1],
        answer=[1 / 3, 2 / 3, 0],
        mistakes={
            "Each new frame is one old frame: that is the nearest one, nothing is blended.": 1.0,
            "Half and half, whatever the distance: place 2/3 is nearer to frame 1.": [0.5, 0.5, 0],
        },
    )
    expect(
        linear_matrix,
        (3, 4),
        answer=[[1, 1 / 3, 0, 0], [0, 2 / 3, 2 / 3, 0], [0, 0, 1 / 3, 1]],
    )

# %% exercise="3.2" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("3.2"):
    for n, T in ((3, 5), (24, 16), (16, 24), (5, 5), (2, 2), (40, 3)):
        A = np.asarray(linear_matrix(n, T))
        assert A.shape == (n, T), f"n = {n}, T = {T}: expected shape {(n, T)}, got {A.shape}"
        wanted = temporal.linear_matrix(n, T)
        assert np.allclose(A, wanted, atol=1e-9), (
            f"n = {n}, T = {T}: the shares differ from np.interp"
        )
### END HIDDEN TESTS


# %% exercise="3.2" part="wrong" about="takes the nearest frame"
def linear_matrix(n, T):
    A = np.zeros((n, T))
    A[np.floor(np.linspace(0, n - 1, T) + 0.5).astype(int), np.arange(T)] = 1
    return A


# %% exercise="3.2" part="wrong" about="swaps the two shares"
def linear_matrix(n, T):
    where = np.linspace(0, n - 1, T)
    low = np.minimum(where.astype(int), n - 2)
    A = np.zeros((n, T))
    A[low, np.arange(T)] = where - low
    A[low + 1, np.arange(T)] = 1 - (where - low)
    return A


# %% exercise="3.2" part="wrong" about="stops short of the last frame"
def linear_matrix(n, T):
    where = np.linspace(0, n - 1, T, endpoint=False)
    return np.maximum(0, 1 - np.abs(where[None, :] - np.arange(n)[:, None]))


# %% exercise="3.2" part="wrong" about="always blends half and half"
def linear_matrix(n, T):
    where = np.linspace(0, n - 1, T)
    A = (np.abs(where[None, :] - np.arange(n)[:, None]) < 1).astype(float)
    return A / A.sum(axis=0)


# %% exercise="3.2" part="right" about="np.interp"
def linear_matrix(n, T):
    where = np.linspace(0, n - 1, T)
    return [np.interp(where, np.arange(n), row) for row in np.eye(n)]


# %% [markdown]
# ## Bend: TIM
#
# Linear interpolation has a corner at each frame. TIM lays a **smooth** curve through the frames
# instead. How it finds the curve is the optional part below. What comes out is again **one matrix** that
# depends on the two lengths only, not on the clip, so that all three ways are of one kind: new = old @ A.
#
# Follow one pixel, the one that changes most, through time. A smooth curve through given points may
# swing beyond them. How far?

# %%
beyond = guess_number(
    "03-overshoot",
    "How far does TIM leave the range of this pixel's frames, in grey levels of 255?",
    0,
    60,
)
beyond

# %% closed=true
step = settings.choose(smoke=8, quick=4, full=2)
small = frames[:, ::step, ::step]
flat = small.reshape(n, -1).astype(float)
pixel = flat[:, flat.std(axis=0).argmax()]
fine = 8 * (n - 1) + 1
when = np.linspace(1, n, fine)
curves = {
    "linear": (when, pixel @ temporal.linear_matrix(n, fine)),
    "TIM": (when, pixel @ temporal.tim_matrix(n, fine)),
}
overshoot = max(curves["TIM"][1].max() - pixel.max(), pixel.min() - curves["TIM"][1].min(), 0)
plots_frames.interpolated_pixel(
    pixel, curves, f"TIM is smooth and overshoots by up to {overshoot:.0f} of 255 grey levels"
)

# %%
beyond.truth(overshoot, "A value of 258 must be cut off at 255: in eight bits it would become 2.")

# %% [markdown]
# ## Try it
#
# Make the clip shorter or longer. With `first` near the end few frames are left: what do the three make
# of them?


# %% closed=true
def strip(T=16, first=0):
    """Show T frames by each method, at most 12 of them."""
    rows = {}
    for title, way in WAYS.items():
        shown = temporal.normalise_length(frames[first:], T, way)
        rows[title] = shown[np.linspace(0, T - 1, min(T, 12)).round().astype(int)]
    return plots_frames.filmstrip(
        rows, f"{len(frames) - first} rendered frames made into {T}, three ways"
    )


play(strip, T=(2, 48), first=(0, n - 4))

# %% [markdown]
# ## Does it matter for the score?

# %%
cause = guess_choice(
    "03-score",
    "ResNet18 + LSTM scores 53.08 on DFEW with TIM frames (Jiang et al. 2020), and 63.85 in a later rerun on raw frames (Former-DFER, 2021). Is TIM to blame?",
    ["yes", "no", "these two numbers cannot tell"],
)
cause

# %%
cause.truth("these two numbers cannot tell", "Other things changed between the two papers, too.")

# %% [markdown]
# Only a run that changes *one* thing can tell, and the package lets you: `PreprocessConfig(temporal=...)`.
# How to read such a pair of numbers: [How to read a paper of this field](../docs/reading.md).

# %% [markdown] closed=true
# ## Optional: the mathematics of TIM
#
# Each frame is a point in a space with as many axes as pixels; n frames are n beads on a string, and a
# string has well-known shapes of vibration: sines,
#
# $$f_k(t) = \sin\!\Big(\pi k t + \frac{\pi (n - k)}{2 n}\Big), \qquad k = 1, \dots, n - 1,$$
#
# with frame $i$ at $t = i / n$. They are the eigenvectors of the string's Laplacian $L$. TIM finds the
# linear map that turns the frames into these sines, reads the sines at any $t$, and maps back.

# %% [markdown] exercise="3.3" part="task" level=3
# ### Exercise 3.3: The shapes of a string
#
# Write `curve(t, n)`: the values $f_k(t)$ as an array of shape (n - 1, len(t)), row k - 1 for k = 1 to n - 1.
#
# <details><summary>Hint 1</summary><code>k = np.arange(1, n)[:, None]</code> makes a column that meets a row of times.</details>
# <details><summary>Hint 2</summary>The phase is $\pi (n - k) / (2 n)$: it has k in it, so it belongs inside, row by row.</details>


# %% exercise="3.3" part="answer"
def curve(t, n):
    """Return f_k(t), k = 1..n-1: shape (n - 1, len(t))."""
    ### BEGIN SOLUTION
    k = np.arange(1, n)[:, None]
    return np.sin(np.pi * k * np.asarray(t) + np.pi * (n - k) / (2 * n))
    ### END SOLUTION


# %% exercise="3.3" part="try"
print(curve(np.array([0.25, 0.5, 0.75, 1.0]), 4).round(3))

# %% exercise="3.3" part="check" points=1
with check("3.3"):
    expect(
        curve,
        (np.array([1 / 3, 2 / 3, 1.0]), 3),
        answer=[[0.8660254, 0, -0.8660254], [0.5, -1, 0.5]],
        mistakes={
            "Row 0 belongs to k = 1, the slowest wave: yours begins with k = 0.": 3.0,
            "The phase is missing: at t = 1/3 the slowest wave is at cos(30°) = 0.866.": 1.7321,
            "The phase has k in it, so it differs from row to row.": 0.0,
            "The phase is π (n - k) / (2 n): the 2 is missing.": -1.7321,
        },
    )

# %% exercise="3.3" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("3.3"):
    for n in (2, 5, 24):
        t = np.arange(1, n + 1) / n
        value = np.asarray(curve(t, n))
        k = np.arange(1, n)[:, None]
        wanted = np.cos(np.pi * k * (np.arange(1, n + 1) - 0.5) / n)
        assert value.shape == wanted.shape, f"expected shape {wanted.shape}, got {value.shape}"
        assert np.allclose(value, wanted, atol=1e-9), "at the frames the shapes are cosines"
    value = np.asarray(curve(np.array([0.33]), 4))[:, 0]
    wanted = [np.sin(np.pi * j * 0.33 + np.pi * (4 - j) / 8) for j in (1, 2, 3)]
    assert np.allclose(value, wanted), "between the frames too"
### END HIDDEN TESTS


# %% exercise="3.3" part="wrong" about="counts k from 0"
def curve(t, n):
    k = np.arange(n - 1)[:, None]
    return np.sin(np.pi * k * t + np.pi * (n - k) / (2 * n))


# %% exercise="3.3" part="wrong" about="forgets the phase"
def curve(t, n):
    k = np.arange(1, n)[:, None]
    return np.sin(np.pi * k * t)


# %% exercise="3.3" part="wrong" about="the same phase for every wave"
def curve(t, n):
    k = np.arange(1, n)[:, None]
    return np.sin(np.pi * k * t + np.pi * (n - 1) / (2 * n))


# %% exercise="3.3" part="wrong" about="a phase of pi (n - k) / n"
def curve(t, n):
    k = np.arange(1, n)[:, None]
    return np.sin(np.pi * k * t + np.pi * (n - k) / n)


# %% exercise="3.3" part="right" about="loops"
def curve(t, n):
    phase = [np.pi * (n - k) / (2 * n) for k in range(1, n)]
    return [[np.sin(np.pi * k * s + phase[k - 1]) for s in t] for k in range(1, n)]


# %% [markdown]
# Now TIM as published, step by step, on a small version of the clip: mean off, SVD, Laplacian,
# generalised eigenproblem, sines, and back.


# %%
def tim_by_hand(frames, T):
    """TIM step by step; frames (n, ...) -> (T, ...)."""
    n = len(frames)
    X = frames.reshape(n, -1).T.astype(float)  # (pixels, n)
    mean = X.mean(axis=1, keepdims=True)
    U, s, Vt = np.linalg.svd(X - mean, full_matrices=False)
    U, Y = U[:, : n - 1], (s[:, None] * Vt)[: n - 1]  # n - 1 directions are left
    path = np.eye(n, k=1) + np.eye(n, k=-1)
    L = np.diag(path.sum(axis=1)) - path
    W = eigh(Y @ L @ Y.T, Y @ Y.T)[1]
    k = np.arange(1, n)[:, None]
    sines = lambda t: np.cos(np.pi * k * (t - 1 / (2 * n)))  # noqa: E731  f_k, written as cosines
    m = (W.T @ Y)[:, :1] / sines(np.array([1 / n]))  # fixed by the first frame
    new = U @ np.linalg.solve(W.T, m * sines(np.linspace(1 / n, 1, T))) + mean
    return new.T.reshape(T, *frames.shape[1:])


by_hand = tim_by_hand(small, T)
gap_published = np.abs(by_hand - temporal.tim_published(small, T)).max()
gap_package = np.abs(by_hand - temporal.tim(small, T)).max()
gap_same = np.abs(temporal.tim(small, n) - small).max()
print(f"by hand against the package, as published: {gap_published:.0e} of 255 grey levels")
print(f"by hand against the package, one matrix:   {gap_package:.0e}")
print(f"n frames to n frames gives them back:      {gap_same:.0e}")
assert gap_published < 1e-3
assert gap_package < 1e-3
assert gap_same < 1e-9

# %% [markdown]
# "One matrix"? Written out, nearly everything cancels: the map to the sines and the map back meet, and
# what is left depends on n and T only, not on the clip:
#
# $$A = \tfrac{1}{n} + \tfrac{2}{n} F^\top f(t), \qquad F_{ki} = \cos\frac{\pi k (i - \frac12)}{n}.$$
#
# It is the inverse of a cosine transform, read between the lines. No SVD, no eigenproblem, and repeated
# frames are no trouble:

# %%
repeated = np.concatenate([small[:1], small])
try:
    temporal.tim_published(repeated, T)
except ValueError as error:
    print("as published:", error)
print("one matrix:  ", temporal.tim(repeated, T).shape, "without complaint")
A = temporal.tim_matrix(n, T)
assert np.allclose(A.sum(axis=0), 1)

# %% [markdown]
# ## Checkpoint

# %% part="quiz"
question(
    "TIM takes a clip of 16 frames to 16 frames. What comes out?",
    ["The same frames", "Smoother frames", "The frames in another order"],
    right=1,
    why=[
        "The curve passes through every frame, and it is read exactly there.",
        "The curve is smooth between the frames, but it passes through each of them.",
        "Time runs from 1/n to 1 and never back.",
    ],
)

# %% part="quiz"
question(
    "A clip of 10 frames is made into 16 by 'uniform'. What happens?",
    ["An error", "Some frames appear twice", "Blends of neighbours are made up"],
    right=2,
    why=[
        "Nothing forbids taking a frame twice.",
        "Equal spacing with fewer frames than places must repeat some.",
        "That is interpolation; uniform only chooses frames that exist.",
    ],
)

# %%
progress()

# %% [markdown]
# ## Summary
#
# * Choosing keeps real frames; interpolating makes new ones.
# * By eye the three ways hardly differ; whether a network cares is a question for a run that changes one thing.
# * TIM is a cosine interpolation: one fixed matrix for each pair (n, T), whose columns sum to 1.
# * Published formulas can be simplified. Keep the published version to check against.
#
# ## What can go wrong
#
# * Sorting frame files by name: 1, 10, 11, ..., 2. Sort by number.
# * TIM as published on a clip with repeated frames: its eigenproblem has no solution.
# * Rounding without clipping: an overshoot to 258 becomes 2 in eight bits.
#
# ## Further reading
#
# * Zhou, Zhao and Pietikäinen, *Towards a practical lipreading system*, CVPR 2011.
# * Wang et al., *Temporal segment networks*, ECCV 2016: one frame from each stretch.
# * `ecstfl/clips/temporal.py`: the derivation in ten lines.
#
# Next: 04, the formula.
