# Text source of lesson 02. Build: make notebooks ARGS=02
# ruff: noqa: E501 (prose in tables)

# %% [markdown] part="header"
# # 02 · Faces: find them, align them
#
# Every face is found, and brought to the same place, size and angle. What is lost on the way?
#
# **You will learn to** *compare* boxes, *drop* frames without a face, *fit* an alignment by least
# squares, *measure* landmarks against the truth, and *judge* what alignment does to the mouth.
#
# | | |
# |---|---|
# | Before this | lesson 01; least squares |
# | Time | {{minutes}} min to run (quick profile, two CPU cores); no GPU is used |
# | Memory | {{memory}} at the peak; no GPU memory |
# | Data | embedded clips: rendered faces, no person was filmed |
# | Source | CN112101119A claim 2 (2-2), (2-3); Umeyama, PAMI 1991; Deng et al., CVPR 2019 and 2020 |
# | Exercises | {{exercises}} |

# %% part="setup"
import math

import numpy as np
from lessonkit import lessons, mouth, plots_faces
from lessonkit.checks import check, expect
from lessonkit.guess import guess_choice, guess_number, progress
from lessonkit.lessons import play

from ecstfl.clips.config import PreprocessConfig
from ecstfl.clips.preprocess import preprocess_clip
from ecstfl.datasets.embedded import load_truth, open_embedded, read_manifest
from ecstfl.faces import align
from ecstfl.faces.detection import overlap
from ecstfl.faces.retinaface import RetinaFace
from ecstfl.faces.track import choose, track
from ecstfl.labels import CLASSES
from ecstfl.video.reading import read_frames

settings = lessons.start("02")

# %% [markdown]
# ## Find
#
# RetinaFace gives for each face a box, a score and five points: eyes, nose, corners of the mouth (left and
# right are those of the image). Here are the hardest clips that we have, the *wild* split:

# %%
detector = RetinaFace()
truth = load_truth()
wild = list(open_embedded(split="wild", verify=False))[4::37]
pictures, found, boxes = [], [], []
for clip in wild:
    t = int(np.flatnonzero(truth[clip.id].visible)[-1] // 2)
    while not truth[clip.id].visible[t]:
        t += 1
    pictures.append(list(read_frames(clip.source))[t])
    found.append(choose(detector.detect(pictures[-1]), None))
    boxes.append(truth[clip.id].box[t])
print(
    "first frame:",
    found[0].scheme,
    "score",
    round(found[0].score, 3),
    "box",
    found[0].bbox.round(0),
)

# %% [markdown]
# Two boxes are compared by their **[intersection over union](../docs/glossary.md#iou)** (IoU): the area that
# both share over the area that either covers.

# %% [markdown] exercise="2.1" part="task" level=1
# ### Exercise 2.1: How much do two boxes share?
#
# Write `iou(a, b)` for two boxes `(x0, y0, x1, y1)` with x0 < x1 and y0 < y1.
#
# <details><summary>Hint 1</summary>The shared box reaches from the larger x0 to the smaller x1.</details>
# <details><summary>Hint 2</summary>If the boxes are apart, that width is negative: cut it off at 0.</details>
# <details><summary>Hint 3</summary>In the sum of both areas the shared one is counted twice.</details>


# %% exercise="2.1" part="answer"
def iou(a, b):
    """Return intersection over union of two boxes, 0..1."""
    ### BEGIN SOLUTION
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)
    ### END SOLUTION


# %% exercise="2.1" part="try"
print(f"half shifted: {iou((0, 0, 2, 2), (1, 0, 3, 2)):.4f}")
print(f"apart:        {iou((0, 0, 1, 1), (2, 2, 3, 3)):.4f}")

# %% exercise="2.1" part="check" points=1
with check("2.1"):
    expect(
        iou,
        ((1, 1, 3, 3), (2, 1, 4, 3)),
        answer=1 / 3,
        mistakes={
            "The shared area is in both areas: in the union it counts once.": 0.25,
            "You divide by the smaller box. The union holds both.": 0.5,
            "(x0, y0, x1, y1) are two corners: x1 is a place, not a width.": 0.4,
        },
    )
    expect(
        iou,
        ((0, 0, 2, 2), (5, 5, 6, 6)),
        answer=0,
        mistakes={
            "These boxes are apart. Minus times minus is plus: what is a width below 0 worth?": -2.25,
        },
    )

# %% exercise="2.1" part="hidden" points=1
### BEGIN HIDDEN TESTS
with check("2.1"):
    value = iou((0, 0, 1, 1), (2, 2, 4, 4))
    assert value == 0, f"boxes apart in both directions: expected 0, got {value}"
    value = iou((0, 0, 1, 1), (0, 5, 1, 6))
    assert value == 0, f"one above the other: expected 0, got {value}"
    assert abs(iou((1, 2, 5, 9), (1, 2, 5, 9)) - 1) < 1e-9, "a box with itself: 1"
    draw = np.random.default_rng(0)
    for _ in range(50):
        low = draw.uniform(0, 10, (2, 2))
        a, b = np.concatenate([low, low + draw.uniform(1, 8, (2, 2))], axis=1)
        wanted = float(overlap(a, b[None])[0])
        value = iou(a, b)
        assert abs(value - wanted) < 1e-9, (
            f"{a.round(2)} and {b.round(2)}: expected {wanted:.4f}, got {value:.4f}"
        )
### END HIDDEN TESTS


# %% exercise="2.1" part="wrong" about="two negative widths make a positive area"
def iou(a, b):
    shared = (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (areas - shared)


# %% exercise="2.1" part="wrong" about="the shared area is counted twice below"
def iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / areas


# %% exercise="2.1" part="wrong" about="over the smaller box: a small box inside a large one gets 1"
def iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = ((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return width * height / min(areas)


# %% exercise="2.1" part="wrong" about="takes x1, y1 for width and height"
def iou(a, b):
    width = max(0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    height = max(0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)


# %% exercise="2.1" part="right" about="NumPy"
def iou(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    shared = np.clip(np.minimum(a, b)[2:] - np.maximum(a, b)[:2], 0, None).prod()
    return shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


# %% closed=true
shared = [
    0.0 if face is None else float(overlap(face.bbox, box[None])[0])
    for face, box in zip(found, boxes, strict=True)
]
assert all(0 <= s <= 1 for s in shared)
assert sum(s > 0.3 for s in shared) == len(wild)
plots_faces.found_faces(pictures, found, boxes, shared)

# %% [markdown]
# Nobody draws the border of a face alike. So a face counts as found from an overlap of 0.3 or 0.5, never
# from 1.
#
# ## Drop: frames without a face
#
# Claim 2 drops frames without a face. The share that is left is the
# **[coverage](../docs/glossary.md#coverage)**. The paper keeps a clip when it is at least a half.

# %% [markdown] exercise="2.2" part="task" level=2
# ### Exercise 2.2: What is kept?
#
# Write `keep_frames(found, minimum=0.5)`. `found` has one entry for each frame: something, or `None` where
# no face was found. Return three things: the list of the numbers of the frames that are kept (from 0), the
# coverage, and whether the clip is kept. Exactly `minimum` is enough; a clip without any frame has coverage
# 0 and is not kept.
#
# <details><summary>Hint 1</summary><code>enumerate(found)</code> gives number and entry.</details>
# <details><summary>Hint 2</summary><code>is not None</code>: an entry may be 0 or empty and still be a face.</details>
# <details><summary>Hint 3</summary>Divide by <em>all</em> frames, and think of none.</details>


# %% exercise="2.2" part="answer"
def keep_frames(found, minimum=0.5):
    """Return (frame numbers with a face, coverage 0..1, whether the clip is kept)."""
    ### BEGIN SOLUTION
    kept = [number for number, face in enumerate(found) if face is not None]
    coverage = len(kept) / len(found) if found else 0.0
    return kept, coverage, bool(kept) and coverage >= minimum
    ### END SOLUTION


# %% exercise="2.2" part="try"
print(keep_frames(["face", None, "face", "face"]))
print(keep_frames([None, None, "face"]))

# %% exercise="2.2" part="check" points=1
with check("2.2"):
    expect(
        keep_frames,
        ([None, 0, "face", None, "face", None],),
        answer=[[1, 2, 4], 0.5, True],
        mistakes={
            "Frames are counted from 0.": [[2, 3, 5], 0.5, True],
            "Exactly the minimum is enough: `>` or `>=`?": [[1, 2, 4], 0.5, False],
            "Entry 1 is 0, and that is something: only `None` means that no face was found.": 6.3333,
            "A frame without a face is left out, and the search goes on behind it.": 0.0,
            "Coverage is a share of all frames, those before the first face too.": 8.75,
        },
    )
    expect(
        keep_frames,
        ([],),
        answer=[[], 0, False],
    )

# %% exercise="2.2" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("2.2"):
    kept, coverage, good = keep_frames([None, 0, None, 1])
    assert list(kept) == [1, 3], (
        f"0 is an entry like any other: expected frames 1 and 3, got {kept}"
    )
    assert coverage == 0.5, f"two of four: expected 0.5, got {coverage}"
    assert good, "exactly the minimum is enough"
    kept, coverage, good = keep_frames(["f", None, None, "f", None])
    assert list(kept) == [0, 3], f"a gap in the middle: expected frames 0 and 3, got {kept}"
    assert abs(coverage - 0.4) < 1e-9, f"two of five: expected 0.4, got {coverage}"
    assert not good, "0.4 is less than half"
    assert keep_frames(["f", None, None, "f", None], 0.4)[2], "0.4 is enough when 0.4 is asked"
    assert not keep_frames(["f"] * 3 + [None], 0.8)[2], "0.75 is less than 0.8"
    for nothing in ([], [None, None]):
        kept, coverage, good = keep_frames(nothing)
        assert list(kept) == [], f"nothing to keep, got {kept}"
        assert coverage == 0, f"coverage 0, got {coverage}"
        assert not good, "a clip without a face is not kept"
### END HIDDEN TESTS


# %% exercise="2.2" part="wrong" about="counts frames from 1"
def keep_frames(found, minimum=0.5):
    kept = [n for n, face in enumerate(found, start=1) if face is not None]
    coverage = len(kept) / max(1, len(found))
    return kept, coverage, bool(kept) and coverage >= minimum


# %% exercise="2.2" part="wrong" about="more than the minimum, not at least"
def keep_frames(found, minimum=0.5):
    kept = [n for n, face in enumerate(found) if face is not None]
    coverage = len(kept) / max(1, len(found))
    return kept, coverage, coverage > minimum


# %% exercise="2.2" part="wrong" about="an entry of 0 is taken for no face"
def keep_frames(found, minimum=0.5):
    kept = [n for n, face in enumerate(found) if face]
    coverage = len(kept) / max(1, len(found))
    return kept, coverage, bool(kept) and coverage >= minimum


# %% exercise="2.2" part="wrong" about="stops at the first gap"
def keep_frames(found, minimum=0.5):
    kept = []
    for n, face in enumerate(found):
        if face is None:
            break
        kept.append(n)
    coverage = len(kept) / max(1, len(found))
    return kept, coverage, bool(kept) and coverage >= minimum


# %% exercise="2.2" part="wrong" about="share of the frames from the first face to the last"
def keep_frames(found, minimum=0.5):
    kept = [n for n, face in enumerate(found) if face is not None]
    coverage = len(kept) / (kept[-1] - kept[0] + 1) if kept else 0.0
    return kept, coverage, bool(kept) and coverage >= minimum


# %% [markdown]
# Some embedded clips lose their face. The truth says where, so the detector can be marked:

# %% closed=true
rows = {row["clip"]: row for row in read_manifest() if row["split"] == "default"}
gone = {
    kind: [r for r in rows.values() if r["faceless"] == kind]
    for kind in ("black", "background", "away")
}
clips = {clip.id: clip for clip in open_embedded(verify=False)}
coverage = {}
for kind, chosen in gone.items():
    for row in sorted(chosen, key=lambda r: -int(r["faceless_frames"]))[:2]:
        clip = clips[row["clip"]]
        seen = [face for _, _, face in track(read_frames(clip.source), detector)]
        hit = np.array([face is not None for face in seen])
        coverage[f"{kind}: {clip.id}"] = (truth[clip.id].visible, hit)
assert all(0.5 < hit.mean() < 1 for _, hit in coverage.values())
plots_faces.coverage_rows(coverage)

# %% [markdown]
# A trap: after dropping, frames 6 and 12 stand side by side as if no time had passed. The package remembers
# their numbers.
#
# ## How good are the landmarks?
#
# On rendered faces every [landmark](../docs/glossary.md#landmark) is known.

# %%
tremble = guess_choice(
    "02-error",
    "Most of a landmark's error is ...",
    ["the same in all frames of a clip", "new in every frame"],
)
tremble

# %% closed=true
number = settings.choose(smoke=14, quick=42, full=280)
sample = list(clips.values())[:: len(clips) // number][:number]
errors, yaw, steady, jumps = [], [], [], {0.0: [], 1.0: []}
for clip in sample:
    known, offsets, times = truth[clip.id], [], []
    for t, _, face in track(read_frames(clip.source), detector):
        if face is not None and known.visible[t]:
            side = math.sqrt(np.prod(known.box[t][2:] - known.box[t][:2]))
            offsets.append(100 * (face.points5 - align.points5(known.landmarks[t])) / side)
            times.append(t)
            yaw.append(known.pose[t][0])
    errors.append(np.linalg.norm(offsets, axis=-1))
    steady.append(np.linalg.norm(np.mean(offsets, axis=0), axis=-1).mean())
    for sigma, values in jumps.items():
        smooth = align.smooth_landmarks(np.array(offsets), np.array(times), sigma)
        values.append(np.linalg.norm(np.diff(smooth, axis=0), axis=-1).mean())
errors = np.concatenate(errors)
jump = {sigma: np.mean(values) for sigma, values in jumps.items()}
print(f"{len(sample)} rendered clips, {len(errors)} frames, percent of the face's side:")
print(f"mean error                          {errors.mean():.2f}")
print(f"the part that is steady in a clip   {np.mean(steady):.2f}")
print(f"change of the error, frame to frame {jump[0.0]:.2f}, after smoothing {jump[1.0]:.2f}")
assert np.isfinite(errors).all()
assert 1 < errors.mean() < 4
assert jump[1.0] < 0.7 * jump[0.0] < 0.7 * np.mean(steady)
plots_faces.landmark_errors(errors, np.array(yaw))

# %%
tremble.truth(
    "the same in all frames of a clip", "The detector and the mesh mean slightly different spots."
)

# %% [markdown]
# A steady offset hurts nobody. What changes from frame to frame does: the network sees motion that nobody
# made. Smoothing over time halves it.
#
# ## Align: a fit by hand
#
# A **similarity** turns, scales and shifts. A point $(x, y)$ goes to
#
# $$u = a x - b y + c, \qquad v = b x + a y + d.$$
#
# Five points give ten equations for four unknowns: we take the least sum of squares. The targets are
# ArcFace's **template** in a crop of 112 x 112 pixels:

# %%
for name, (u, v) in zip(plots_faces.POINT_NAMES, align.template(112), strict=True):
    print(f"{name:12s} goes to {u:6.2f}, {v:6.2f}")

# %% [markdown] exercise="2.3" part="task" level=3
# ### Exercise 2.3: The least-squares similarity
#
# Write `similarity(source, target)`: the (2, 3) matrix `[[a, -b, c], [b, a, d]]` that takes `source` (K, 2)
# to `target` (K, 2) by least squares, K at least 2.
#
# <details><summary>Hint 1</summary>Write the equations as <code>A @ (a, b, c, d) = targets</code>: a row
# <code>[x, -y, 1, 0]</code> for each u, and a row <code>[y, x, 0, 1]</code> for each v.</details>
# <details><summary>Hint 2</summary><code>np.linalg.lstsq(A, values, rcond=None)[0]</code> solves them.</details>
# <details><summary>Hint 3</summary>Shorter: with centred points as complex numbers, a + ib is the sum of
# conj(z) w over the sum of |z|².</details>


# %% exercise="2.3" part="answer"
def similarity(source, target):
    """Return the (2, 3) least-squares similarity from source (K, 2) to target (K, 2)."""
    ### BEGIN SOLUTION
    x, y = np.asarray(source, float).T
    one, zero = np.ones_like(x), np.zeros_like(x)
    u_rows = np.stack([x, -y, one, zero], axis=1)
    v_rows = np.stack([y, x, zero, one], axis=1)
    values = np.asarray(target, float).T.ravel()
    a, b, c, d = np.linalg.lstsq(np.concatenate([u_rows, v_rows]), values, rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])
    ### END SOLUTION


# %% exercise="2.3" part="try"
print(similarity([[0, 0], [1, 0], [0, 1]], [[5, 5], [5, 7], [3, 5]]).round(3) + 0.0)

# %% exercise="2.3" part="check" points=1
with check("2.3"):
    expect(
        similarity,
        ([[0, 0], [1, 0], [0, 1]], [[5, 5], [5, 7], [3, 5]]),
        look=lambda M: M[0],
        answer=[0, -2, 5],
        mistakes={
            "A quarter turn the other way: look at the sign of b.": [0, 2, 3.6667],
            "The target is twice as large: a similarity scales, too.": [0, -1, 4.6667],
            "Turn and scale come from points centred on their means: yours turn about (0, 0).": 6.3333,
        },
    )
    expect(
        similarity,
        ([[0, 0], [2, 0], [0, 2]], [[0, 0], [2, 0], [0, 4]]),
        answer=[[1.5, 0.25, -0.5], [-0.25, 1.5, 0.5]],
        mistakes={
            "Six free numbers: an affine map, which shears. A similarity has four: a, b, c, d.": 3.0,
            "The way back, inverted, is not the nearest way there: fit source to target.": 3.0811,
        },
    )

# %% exercise="2.3" part="hidden" points=3
### BEGIN HIDDEN TESTS
with check("2.3"):
    draw = np.random.default_rng(1)
    for K in (2, 5, 68):
        source = draw.normal(size=(K, 2)) * 20 + 80
        target = draw.normal(size=(K, 2)) * 9 + 50
        M = np.asarray(similarity(source, target))
        wanted = align.similarity(source, target)
        assert M.shape == (2, 3), f"{K} points: expected shape (2, 3), got {M.shape}"
        assert abs(M[0, 0] - M[1, 1]) < 1e-7, "a similarity has the same a twice: no shear"
        assert abs(M[0, 1] + M[1, 0]) < 1e-7, "a similarity has b and -b: no mirroring"
        assert np.allclose(M, wanted, atol=1e-6), (
            f"{K} points that do not fit exactly: expected {wanted.round(3).tolist()}, got {M.round(3).tolist()}"
        )
### END HIDDEN TESTS


# %% exercise="2.3" part="wrong" about="six free numbers: an affine map, which shears faces"
def similarity(source, target):
    A = np.c_[np.asarray(source, float), np.ones(len(source))]
    return np.linalg.lstsq(A, np.asarray(target, float), rcond=None)[0].T


# %% exercise="2.3" part="wrong" about="turns the wrong way"
def similarity(source, target):
    z, w = (np.asarray(p, float) @ [1, 1j] for p in (source, target))
    q = ((z - z.mean()) * (w - w.mean()).conj()).sum() / (abs(z - z.mean()) ** 2).sum()
    s = w.mean() - q * z.mean()
    return np.array([[q.real, -q.imag, s.real], [q.imag, q.real, s.imag]])


# %% exercise="2.3" part="wrong" about="turns and shifts, but does not scale"
def similarity(source, target):
    z, w = (np.asarray(p, float) @ [1, 1j] for p in (source, target))
    q = ((z - z.mean()).conj() * (w - w.mean())).sum()
    q = q / abs(q)
    s = w.mean() - q * z.mean()
    return np.array([[q.real, -q.imag, s.real], [q.imag, q.real, s.imag]])


# %% exercise="2.3" part="wrong" about="does not centre: the fit turns about the corner of the picture"
def similarity(source, target):
    z, w = (np.asarray(p, float) @ [1, 1j] for p in (source, target))
    q = (z.conj() * w).sum() / (abs(z) ** 2).sum()
    s = w.mean() - q * z.mean()
    return np.array([[q.real, -q.imag, s.real], [q.imag, q.real, s.imag]])


# %% exercise="2.3" part="wrong" about="fits the way back, from target to source, and inverts it"
def similarity(source, target):
    z, w = (np.asarray(p, float) @ [1, 1j] for p in (source, target))
    q = (abs(w - w.mean()) ** 2).sum() / ((w - w.mean()).conj() * (z - z.mean())).sum()
    s = w.mean() - q * z.mean()
    return np.array([[q.real, -q.imag, s.real], [q.imag, q.real, s.imag]])


# %% exercise="2.3" part="right" about="complex numbers"
def similarity(source, target):
    z, w = (np.asarray(p, float) @ [1, 1j] for p in (source, target))
    q = ((z - z.mean()).conj() * (w - w.mean())).sum() / (abs(z - z.mean()) ** 2).sum()
    s = w.mean() - q * z.mean()
    return [[q.real, -q.imag, s.real], [q.imag, q.real, s.imag]]


# %% [markdown]
# By complex numbers and by the package, for the faces above:

# %%
gap = 0.0
for face in found:
    z, w = face.points5 @ [1, 1j], align.template(112) @ [1, 1j]
    turn = np.vdot(z - z.mean(), w - w.mean()) / np.vdot(z - z.mean(), z - z.mean()).real
    shift = w.mean() - turn * z.mean()
    by_hand = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    gap = max(gap, np.abs(by_hand - align.similarity(face.points5, align.template(112))).max())
print(f"by hand against ecstfl.faces.align.similarity: largest difference {gap:.0e}")
print(f"last face: turned by {np.degrees(np.angle(turn)):+.1f} degrees, scaled by {abs(turn):.2f}")
assert gap < 1e-4

# %% closed=true
people = settings.choose(smoke=12, quick=40, full=120)
neutral = [c for c in clips.values() if c.label == CLASSES.index("Neutral")]
whole, aligned = [], []
for clip in neutral[:: len(neutral) // people][:people]:
    frame = next(iter(read_frames(clip.source)))
    face = choose(detector.detect(frame), None)
    if face is not None:
        matrix = align.similarity(face.points5, align.template(112))
        whole.append(align.warp(frame, align.fit_matrix(*frame.shape[:2], 112), 112, 2))
        aligned.append(align.warp(frame, matrix, 112))
whole, aligned = np.stack(whole), np.stack(aligned)
assert len(aligned) >= 0.8 * people
assert plots_faces.contrast(aligned) > plots_faces.contrast(whole)
plots_faces.mean_faces(whole, aligned)

# %% [markdown]
# ## What alignment does to the mouth
#
# Two of the five points are corners of the mouth. When the jaw drops, the fit takes part of that for a
# motion of the *head*.

# %%
jaw = guess_number(
    "02-jaw", "How much of a jaw drop is left in the crop, in percent?", 0, 100, unit="%"
)
jaw

# %% [markdown] exercise="2.4" part="task" level=2
# ### Exercise 2.4: How much motion is kept?
#
# `before` and `after` are the five points (5, 2) of a face whose head stands still while its mouth moves.
# `fit(points)` returns the (2, 3) matrix of a frame. Write `kept(before, after, fit)`: how far the middle of
# the mouth (the mean of rows 3 and 4) moves **in the crop** when each frame has its own fit, divided by
# how far it moves there with the fit of `before` for both.
#
# <details><summary>Hint 1</summary><code>align.transform_points(points, matrix)</code> takes points into a crop.</details>
# <details><summary>Hint 2</summary>Three places: before with its fit, after with its own, after with that of
# before.</details>


# %% exercise="2.4" part="answer"
def kept(before, after, fit):
    """Return the share of the mouth's motion that is left when each frame has its own fit."""
    ### BEGIN SOLUTION
    middle = lambda points, matrix: align.transform_points(points, matrix)[3:].mean(axis=0)  # noqa: E731
    start = middle(before, fit(before))
    own = np.linalg.norm(middle(after, fit(after)) - start)
    still = np.linalg.norm(middle(after, fit(before)) - start)
    return own / still
    ### END SOLUTION


# %% exercise="2.4" part="try"
rest = 2 * align.template(112) + [30, 20]  # a face twice as large, somewhere in a frame
drop, smile = rest.copy(), rest.copy()
drop[3:] += [0, 20]
smile[3:] += [[-12, -10], [12, -10]]
five = lambda points: align.similarity(points, align.template(112))  # noqa: E731
eyes = lambda points: align.similarity(points[:2], align.template(112)[:2])  # noqa: E731
for what, moved in (("jaw drop", drop), ("smile", smile)):
    shares = [kept(rest, moved, fit) for fit in (five, eyes)]
    print(f"{what:8s} five points keep {shares[0]:.0%} of it, the eyes alone {shares[1]:.0%}")

# %% exercise="2.4" part="check" points=1
with check("2.4"):
    rest_ = 2 * align.template(112) + [30, 20]  # a face twice as large as its crop
    smile_ = rest_.copy()
    smile_[3:] += [[-12, -10], [20, -10]]

    def five_(points):
        return align.similarity(points, align.template(112))

    expect(
        kept,
        (rest_, smile_, five_),
        answer=0.77205535,
        mistakes={
            "You divide by the way in the frame. Both ways are asked for in the crop.": 0.38603,
            "Everything is kept, whatever the fit does: is the second frame fitted anew?": 1,
            "You average the ways of the two corners. Asked for is the way of their middle.": 0.81622,
            "This is the share that is lost.": 0.22794,
            "The middle of the mouth is the mean of rows 3 and 4, not of all five points.": 0,
        },
    )

# %% exercise="2.4" part="hidden" points=2
### BEGIN HIDDEN TESTS
with check("2.4"):
    draw = np.random.default_rng(2)
    fit5 = lambda points: align.similarity(points, align.template(112))  # noqa: E731
    fit2 = lambda points: align.similarity(points[:2], align.template(112)[:2])  # noqa: E731
    for _ in range(5):
        turn = draw.uniform(-0.5, 0.5)
        R = 3 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        base = align.template(112) @ R.T + 200 + draw.normal(size=(5, 2))
        moved = base.copy()
        moved[3:] += draw.normal(size=(2, 2)) * 15
        for alignment, fit in (("points5", fit5), ("eyes", fit2)):
            wanted = mouth.kept_share(np.stack([base, moved]), alignment)
            value = kept(base, moved, fit)
            assert abs(value - wanted) < 1e-6, (
                f"{alignment}, a face three times as large: expected {wanted:.4f}, got {value:.4f}"
            )
### END HIDDEN TESTS


# %% exercise="2.4" part="wrong" about="divides by the motion in the frame, not in the crop"
def kept(before, after, fit):
    middle = lambda p, m: align.transform_points(p, m)[3:].mean(axis=0)  # noqa: E731
    own = np.linalg.norm(middle(after, fit(after)) - middle(before, fit(before)))
    return own / np.linalg.norm((after - before)[3:].mean(axis=0))


# %% exercise="2.4" part="wrong" about="one fit for both: nothing is ever lost"
def kept(before, after, fit):
    middle = lambda p: align.transform_points(p, fit(before))[3:].mean(axis=0)  # noqa: E731
    return np.linalg.norm(middle(after) - middle(before)) / np.linalg.norm(
        middle(after) - middle(before)
    )


# %% exercise="2.4" part="wrong" about="the mean of the corners' ways instead of the way of their middle"
def kept(before, after, fit):
    place = lambda p, m: align.transform_points(p, m)[3:]  # noqa: E731
    start = place(before, fit(before))
    own = np.linalg.norm(place(after, fit(after)) - start, axis=1).mean()
    return own / np.linalg.norm(place(after, fit(before)) - start, axis=1).mean()


# %% exercise="2.4" part="wrong" about="the share that is lost"
def kept(before, after, fit):
    middle = lambda p, m: align.transform_points(p, m)[3:].mean(axis=0)  # noqa: E731
    start = middle(before, fit(before))
    own = np.linalg.norm(middle(after, fit(after)) - start)
    return 1 - own / np.linalg.norm(middle(after, fit(before)) - start)


# %% exercise="2.4" part="wrong" about="the middle of all five points"
def kept(before, after, fit):
    middle = lambda p, m: align.transform_points(p, m).mean(axis=0)  # noqa: E731
    start = middle(before, fit(before))
    own = np.linalg.norm(middle(after, fit(after)) - start)
    return own / np.linalg.norm(middle(after, fit(before)) - start)


# %%
known_jaw = np.array([[0, 0], [0, 0], [0, 0], [0, 20], [0, 20]]) + 2 * align.template(112)
jaw.truth(100 * mouth.kept_share(np.stack([2 * align.template(112), known_jaw]), "points5"))

# %% [markdown]
# Then why not align by the eyes alone? An error of a pixel at an eye swings the chin by several. A third way
# (`rigid68`) fits what neither mouth nor lids move. What each keeps, and what it makes of a pixel of noise:

# %% closed=true
known = truth["c0021_neutral"]
face68 = known.landmarks[int(np.abs(known.pose).sum(axis=1).argmin())].astype(float)
unit = 1 / align.scale_of(align.alignment_matrices(face68[None])[0])  # a crop pixel, in the frame
dropped, smiled = face68.copy(), face68.copy()
dropped[48:] += [0, 10 * unit]
smiled[48] += [-6 * unit, -5 * unit]
smiled[54] += [6 * unit, -5 * unit]
draws = settings.choose(smoke=2000, quick=4000, full=40000)
table = {}
for alignment in ("points5", "eyes", "rigid68"):
    points = face68 if alignment == "rigid68" else align.points5(face68)
    table[alignment] = (
        mouth.kept_share(np.stack([face68, dropped]), alignment),
        mouth.kept_share(np.stack([face68, smiled]), alignment),
        mouth.noise_gain(points, alignment, draws),
    )
assert 0.15 < table["points5"][0] < 0.35
assert min(table["eyes"][:2]) > 0.99
assert 1.9 < table["eyes"][2] / table["points5"][2] < 2.2
plots_faces.alignment_tradeoff(table)

# %% [markdown]
# In a whole clip the head moves as well. Dashed: the template's height of the mouth. Dot: its true middle.


# %% closed=true
def switch(alignment="points5", expression="Surprise", person=21, noise=0.0):
    """Show a clip in its crops by one alignment."""
    name, frames = lessons.embedded_clip(expression, person)
    return plots_faces.mouth_in_crop(frames, truth[name].landmarks, alignment, noise)


play(
    switch,
    alignment=list(align.ALIGNMENTS),
    expression=list(CLASSES),
    person=(0, 199),
    noise=(0.0, 4.0, 0.5),
)

# %% [markdown]
# Five points hold the *place* of the mouth still and leave its *shape*: a network can still read a jaw drop.
# Over many clips:


# %% closed=true
def motion(expression, alignment, most):
    """Mean travel and mean range of opening over clips in which the face is always seen."""
    values = []
    for clip in [c for c in clips.values() if c.label == CLASSES.index(expression)][:most]:
        known = truth[clip.id]
        if known.visible.all():
            M = align.alignment_matrices(known.landmarks, alignment=alignment)
            path = mouth.mouth_path(known.landmarks, M)
            values.append((mouth.travel(path), np.ptp(mouth.mouth_opening(known.landmarks, M))))
    return np.mean(values, axis=0)


most = settings.choose(smoke=200, quick=200, full=200)
print("pixels of a 112 crop           travel of the middle    range of the opening")
moved = {}
for expression in ("Surprise", "Neutral"):
    for alignment in ("points5", "eyes", "rigid68"):
        moved[expression, alignment] = motion(expression, alignment, most)
        travel, opening = moved[expression, alignment]
        print(f"{expression:10s} {alignment:10s} {travel:22.2f} {opening:23.2f}")
assert moved["Surprise", "points5"][0] < 0.4 * moved["Surprise", "eyes"][0]
assert moved["Surprise", "points5"][1] > 0.8 * moved["Surprise", "eyes"][1]

# %% [markdown]
# Neutral mouths travel too when the eyes alone are held: part of what five points take away was head
# motion. Which is better for recognition, only a run can tell: `PreprocessConfig(alignment=...)`.
#
# The claim says *affine*: two numbers more, and a better fit.

# %%
better = guess_choice(
    "02-affine",
    "Of a jaw drop, the better fit leaves ...",
    ["more than the similarity", "as much", "less than the similarity"],
)
better


# %% closed=true
def affine(points):
    """The least-squares affine map of five points to the template: six numbers."""
    return np.linalg.lstsq(np.c_[points, np.ones(5)], align.template(112), rcond=None)[0].T


rest = 2 * align.template(112) + [30, 20]
change = np.array([[0, 0], [0, 0], [0, 0], [0, 20], [0, 20]])
shares = {"affine": [], "similarity": []}
for name, fit in (
    ("affine", affine),
    ("similarity", lambda p: align.similarity(p, align.template(112))),
):
    start, end, still = (
        align.transform_points(p, m)[3:].mean(0)
        for p, m in (
            (rest, fit(rest)),
            (rest + change, fit(rest + change)),
            (rest + change, fit(rest)),
        )
    )
    shares[name] = np.linalg.norm(end - start) / np.linalg.norm(still - start)
    print(f"{name:10s} keeps {shares[name]:.0%} of a jaw drop")
assert shares["affine"] < 0.1 < shares["similarity"]

# %%
better.truth("less than the similarity", "It squeezes the open mouth to where the closed one was.")

# %% [markdown]
# The better the fit, the more of the expression it takes away. The package fits similarities.
#
# ## All of claim 2, in a call
#
# Find, drop, align, and bring to 16 frames (lesson 03):

# %%
clip = clips[sorted(gone["black"], key=lambda r: -int(r["faceless_frames"]))[0]["clip"]]
prepared = preprocess_clip(clip.source, PreprocessConfig(frames=16, size=64))
print(
    f"{clip.id}: {prepared.n_source} frames read, {len(prepared.kept)} kept, coverage {prepared.coverage:.0%}"
)
print(f"out comes {prepared.frames.shape} {prepared.frames.dtype}, by {prepared.backend}")
assert prepared.frames.shape == (16, 64, 64, 3)
assert prepared.coverage == np.mean(coverage[f"black: {clip.id}"][1])
dropped = sorted(set(range(prepared.n_source)) - set(prepared.kept.tolist()))
assert not truth[clip.id].visible[dropped].any()
print("dropped:", dropped)

# %% [markdown]
# ## Checkpoint

# %% part="quiz"
question(
    "A detector's landmarks sit 3 pixels too low in every frame of a clip. What does the aligned clip look like?",
    [
        "It trembles",
        "The face sits a little too high in the crop, steadily",
        "The mouth's motion is lost",
    ],
    right=2,
    why=[
        "Only what changes from frame to frame makes it tremble.",
        "A constant offset of all points shifts every crop alike.",
        "That is what fitting the corners of the mouth does, right or wrong by 3 pixels.",
    ],
)

# %% part="quiz"
question(
    "Why does aligning by the two eyes alone tremble more than by five points?",
    [
        "Eyes blink",
        "Two points near each other: their errors are not averaged and act on a short lever",
        "The template has the wrong eyes",
    ],
    right=2,
    why=[
        "That adds to it, but in the computation above nobody blinked.",
        "Scale and angle come from one short distance, so an error grows towards the chin.",
        "The template is the same for both.",
    ],
)

# %% part="quiz"
question(
    "In a clip of 30 frames a face is found in 14. The paper's rule says ...",
    ["keep the 14 frames", "leave the clip out", "fill the gaps by interpolation"],
    right=2,
    why=[
        "That would be right from 15 frames on.",
        "14 of 30 is less than half.",
        "Interpolation comes later, and only between frames of clips that are kept.",
    ],
)

# %%
progress()

# %% [markdown]
# ## Summary
#
# * IoU compares boxes; coverage says how much of a clip shows a face.
# * A similarity has four numbers. Steady landmark errors are harmless, trembling is not.
# * Fitting the mouth hides where it goes, not how wide it opens.
#
# ## What can go wrong
#
# * Left and right of the image, or of the person? Swapped points turn the face upside down.
# * BGR for RGB: detectors find faces a little worse, and nothing tells you.
# * Crops of training and test by different detectors: two data sets under one name.
#
# ## Further reading
#
# * [From video to aligned clips](../docs/faces.md): backends, options, and what was measured.
# * Deng et al., *RetinaFace*, CVPR 2020.
# * Umeyama, *Least-squares estimation of transformation parameters*, PAMI 1991.
# * Bulat and Tzimiropoulos, *How far are we from solving the 2D and 3D face alignment problem?*, ICCV 2017.
#
# Next: 03, frames.
