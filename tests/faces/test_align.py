"""Affine normalisation against scikit-image, brute force and its own symmetries."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from ecstfl.faces import align

UMEYAMA = getattr(SimilarityTransform, "from_estimate", None)


def skimage_similarity(source, target):
    if UMEYAMA is not None:
        return UMEYAMA(source, target).params[:2]
    transform = SimilarityTransform()
    assert transform.estimate(source, target)
    return transform.params[:2]


@given(seed=st.integers(0, 2**32 - 1), count=st.sampled_from([2, 3, 5, 13, 68]))
@settings(max_examples=60, deadline=None)
def test_similarity_is_scikit_images(seed, count):
    rng = np.random.default_rng(seed)
    source = rng.normal(0, 50, (count, 2)) + rng.normal(0, 300, 2)
    angle, scale = rng.uniform(-3.1, 3.1), rng.uniform(0.1, 5)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = source @ turn.T + rng.normal(0, 100, 2) + rng.normal(0, 5, (count, 2))
    ours = align.similarity(source, target)
    np.testing.assert_allclose(ours, skimage_similarity(source, target), rtol=1e-7, atol=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_no_other_similarity_fits_better(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(0, 30, (5, 2)), rng.normal(0, 30, (5, 2))
    best = align.similarity(source, target)

    def error(a, b, x, y):
        matrix = np.array([[a, -b, x], [b, a, y]])
        return ((align.transform_points(source, matrix) - target) ** 2).sum()

    start = np.array([best[0, 0], best[1, 0], best[0, 2], best[1, 2]])
    for _ in range(30):
        assert error(*start) <= error(*(start + rng.normal(0, [0.01, 0.01, 1, 1]))) + 1e-9


def test_similarity_never_mirrors_and_is_vectorised():
    rng = np.random.default_rng(0)
    source = rng.normal(0, 20, (7, 5, 2))
    mirrored = source * [-1, 1]
    matrices = align.similarity(source, mirrored)
    assert matrices.shape == (7, 2, 3)
    assert (np.linalg.det(matrices[:, :, :2]) >= 0).all()
    one = align.similarity(source[3], mirrored[3])
    np.testing.assert_allclose(matrices[3], one, atol=1e-12)
    same = np.ones((5, 2))
    assert np.isfinite(align.similarity(same, source[0])).all()
    with pytest.raises(ValueError, match="K >= 2"):
        align.similarity(np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"got \(5, 2\) and \(68, 2\)"):
        align.similarity(np.zeros((5, 2)), np.zeros((68, 2)))


def test_template_is_arcfaces_at_112_and_follows_size_margin_and_shift():
    known = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366]]
    known += [[41.5493, 92.3655], [70.7299, 92.2041]]
    np.testing.assert_allclose(align.template(112), known)
    # pixel centres: halving the crop halves distances between pixel edges
    np.testing.assert_allclose(align.template(56) + 0.5, (np.array(known) + 0.5) / 2)
    wide = align.template(112, margin=1.0)
    np.testing.assert_allclose(wide - 55.5, (np.array(known) - 55.5) / 2)
    np.testing.assert_allclose(align.template(112, shift=0.25), np.array(known) - [0, 28])
    # the shift counts in sides of the reference, whatever the margin
    both = align.template(112, margin=1.0, shift=0.25)
    np.testing.assert_allclose(both, wide - [0, 14])


def ibug_face(rng, points5):
    """68 points whose five-point view is ``points5``; the rest is anywhere plausible."""
    landmarks = rng.normal(0, 20, (68, 2)) + points5.mean(0)
    for eye, centre in ((slice(36, 42), points5[0]), (slice(42, 48), points5[1])):
        landmarks[eye] += centre - landmarks[eye].mean(0)
    landmarks[[30, 48, 54]] = points5[2:]
    return landmarks


def test_points5_of_68():
    rng = np.random.default_rng(0)
    five = align.template(200)
    landmarks = np.stack([ibug_face(rng, five + k) for k in range(3)])
    np.testing.assert_allclose(align.points5(landmarks), [five, five + 1, five + 2], atol=1e-9)
    assert align.points5(five) is five
    with pytest.raises(ValueError, match=r"got \(7, 2\)"):
        align.points5(np.zeros((7, 2)))


@pytest.mark.parametrize("alignment", ["points5", "eyes", "rigid68"])
def test_alignments_undo_any_similarity(alignment):
    rng = np.random.default_rng(3)
    face = ibug_face(rng, align.template(112))
    n = 6
    angles, scales = rng.uniform(-1, 1, n), rng.uniform(0.5, 3, n)
    moved = []
    for angle, scale in zip(angles, scales, strict=True):
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved.append(face @ turn.T + rng.uniform(-200, 200, 2))
    matrices = align.alignment_matrices(np.stack(moved), 64, 0.2, alignment, 0.1)
    there = align.transform_points(np.stack(moved), matrices)
    np.testing.assert_allclose(there, there[:1].repeat(n, 0), atol=1e-8)
    np.testing.assert_allclose(
        align.scale_of(matrices) * scales, align.scale_of(matrices)[0] * scales[0]
    )
    goal = align.template(64, 0.2, 0.1)
    np.testing.assert_allclose(align.points5(there)[0], goal, atol=1e-8)


def jaw_drop(n=5):
    rng = np.random.default_rng(5)
    five = align.template(112)
    face = ibug_face(rng, five)
    clip = np.repeat(face[None], n, 0)
    clip[:, 48:68, 1] += np.linspace(0, 10, n)[:, None]  # the mouth sinks by ten pixels
    return clip


def test_eyes_and_rigid68_keep_the_motion_of_the_mouth_that_points5_absorbs():
    clip = jaw_drop()
    kept = {}
    for alignment in ("points5", "eyes", "rigid68"):
        matrices = align.alignment_matrices(clip, 112, 0.0, alignment)
        mouth = align.transform_points(clip, matrices)[:, 48:68].mean(1)
        kept[alignment] = (mouth[-1, 1] - mouth[0, 1]) / 10
    assert kept["points5"] < 0.6
    assert kept["eyes"] == pytest.approx(1, abs=1e-6)
    # its scale comes from the clip's mean face, whose mouth is five pixels lower
    assert kept["rigid68"] == pytest.approx(1, abs=0.1)


def test_rigid68_needs_68_points_and_unknown_names_are_named():
    five = align.template(112)[None]
    with pytest.raises(ValueError, match="expected 68 landmarks, got 5"):
        align.alignment_matrices(five, alignment="rigid68")
    with pytest.raises(ValueError, match="unknown alignment 'affine'"):
        align.alignment_matrices(five, alignment="affine")


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_points_map_there_and_back(seed):
    rng = np.random.default_rng(seed)
    matrices = align.similarity(rng.normal(0, 40, (4, 5, 2)), align.template(64))
    matrices[:, :, :2] += 0.05 * np.eye(2)
    points = rng.normal(0, 100, (4, 9, 2))
    there = align.transform_points(points, matrices)
    np.testing.assert_allclose(
        align.transform_points(there, align.invert(matrices)), points, atol=1e-6
    )


def test_smoothing_is_a_gaussian_and_gaps_count():
    rng = np.random.default_rng(0)
    landmarks, times = rng.normal(size=(6, 5, 2)), np.array([0, 1, 2, 9, 10, 30])
    smooth = align.smooth_landmarks(landmarks, times, 1.5)
    for i in range(6):
        weights = [np.exp(-0.5 * ((times[i] - t) / 1.5) ** 2) for t in times]
        expected = sum(w * p for w, p in zip(weights, landmarks, strict=True)) / sum(weights)
        np.testing.assert_allclose(smooth[i], expected, atol=1e-12)
    np.testing.assert_allclose(smooth[5], landmarks[5], atol=1e-12)  # nobody near: unchanged
    np.testing.assert_array_equal(align.smooth_landmarks(landmarks, times, 0), landmarks)
    still = np.repeat(landmarks[:1], 6, 0)
    np.testing.assert_allclose(align.smooth_landmarks(still, times, 3), still, atol=1e-12)


def picture(height=240, width=320):
    """A smooth picture: resampling it hardly loses anything."""
    y, x = np.mgrid[:height, :width]
    layers = [127 + 100 * np.sin(x / 17 + k) * np.cos(y / 23 - k) for k in range(3)]
    return np.stack(layers, -1).astype(np.uint8)


@pytest.mark.parametrize("oversample", [1, 2, 3, 4])
def test_warp_puts_points_where_the_matrix_says(oversample):
    image = picture()
    matrix = align.similarity(align.template(112) * 1.3 + [60, 20], align.template(64))
    crop = align.warp(image, matrix, 64, oversample)
    assert crop.shape == (64, 64, 3)
    assert crop.dtype == np.uint8
    grid = np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1).reshape(-1, 2)
    where = align.transform_points(grid.astype(float), align.invert(matrix)).astype(np.float32)
    expected = cv2.remap(image, where[:, 0], where[:, 1], cv2.INTER_LINEAR).reshape(64, 64, 3)
    inside = expected.min(-1) > 0
    difference = np.abs(crop.astype(int) - expected)[inside]
    assert difference.mean() < 1.0
    assert np.quantile(difference, 0.99) <= 4


def test_shrinking_averages_and_does_not_alias():
    checks = ((np.indices((400, 400)).sum(0) % 2) * 255).astype(np.uint8)
    image = np.repeat(checks[..., None], 3, -1)
    matrix = align.fit_matrix(400, 400, 50)
    oversample = align.supersampling(matrix[None])
    assert oversample == 8
    crop = align.warp(image, matrix, 50, oversample)
    assert np.abs(crop.astype(int) - 127).max() <= 2  # a grey area, no pattern
    assert np.abs(align.warp(image, matrix, 50, 1).astype(int) - 127).max() <= 128


def test_oversampling_follows_the_median_scale():
    def factor(scale):
        return align.supersampling(np.array([[[scale, 0, 0], [0, scale, 0]]]))

    assert [factor(s) for s in (3, 1, 0.85, 0.5, 0.3, 0.001)] == [1, 1, 1, 2, 4, 16]


@pytest.mark.parametrize(("height", "width"), [(100, 200), (224, 224), (37, 11), (1, 1)])
def test_fit_matrix_centres_the_whole_frame(height, width):
    matrix = align.fit_matrix(height, width, 64)
    corners = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])  # outer pixel edges
    there = align.transform_points(corners, matrix)
    np.testing.assert_allclose(there.mean(0), [31.5, 31.5], atol=1e-9)
    assert (there[1] - there[0]).max() == pytest.approx(64)


def test_similarity_transforming_a_frame_leaves_the_crop_unchanged():
    image = picture(300, 300)
    points = align.template(112) + np.array([90, 80])
    crop = align.warp(image, align.similarity(points, align.template(64)), 64)
    for angle, scale in ((20, 1.0), (-35, 1.4), (90, 1.2)):
        move = cv2.getRotationMatrix2D((149.5, 149.5), angle, scale)
        moved = cv2.warpAffine(image, move, (300, 300), flags=cv2.INTER_CUBIC)
        matrix = align.similarity(align.transform_points(points, move), align.template(64))
        again = align.warp(moved, matrix, 64)
        assert np.abs(again.astype(int) - crop).mean() < 1.5


@pytest.mark.parametrize("scale", [2.0, 0.9, 0.45, 0.3, 0.12])
def test_warp_shrunk_shows_the_same_as_warp(scale):
    image = picture(400, 500)
    turn = cv2.getRotationMatrix2D((240, 190), 20, scale)
    turn[:, 2] += np.array([32, 32]) - [240, 190]
    exact = align.warp(image, turn, 64, align.supersampling(turn[None])).astype(int)
    quick = align.warp_shrunk(image, turn, 64).astype(int)
    inside = cv2.erode(exact.min(-1).astype(np.uint8), np.ones((7, 7))) > 0
    assert inside.mean() > 0.3
    assert np.abs(exact - quick)[inside].mean() < 3
    away = turn.copy()
    away[:, 2] += 10_000
    assert (align.warp_shrunk(image, away, 64) == 0).all()


def test_usable_landmarks():
    face = align.template(60) + 30
    assert align.usable(face)
    assert align.usable(np.repeat(face[:1], 68, 0) + np.arange(136).reshape(68, 2))
    for broken in (np.zeros((5, 2)), np.full((68, 2), 7.0), face * 1e-3, face * 1e6):
        assert not align.usable(broken)
    for value in (np.nan, np.inf, -np.inf):
        broken = face.copy()
        broken[4, 1] = value
        assert not align.usable(broken)
    profile = face.copy()
    profile[1] = profile[0] + 0.3  # both eyes in one place: the fit to all five still holds
    assert align.usable(profile, "points5")
    assert not align.usable(profile, "eyes")
