"""What alignment does to the mouth: against a plain transcription, and against algebra."""

import numpy as np
import pytest
from lessonkit import mouth

from ecstfl.faces import align

FIVE = (slice(36, 42), slice(42, 48), 30, 48, 54)  # of 68 points


@pytest.fixture
def face():
    """68 points about the template, a face in a frame: twice the size, turned and shifted."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(68, 2)) * 20 + 56
    for place, where in zip(FIVE, align.TEMPLATE_112, strict=True):
        points[place] = where + rng.normal(size=points[place].shape)
    turn = 2 * np.array([[0.96, -0.28], [0.28, 0.96]])
    return points @ turn.T + [40, 10]


def plain_fit(points):
    """The least-squares similarity to the template by its normal equations, as a function."""
    x, y = points.T
    o, z = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate([np.stack([x, -y, o, z], 1), np.stack([y, x, z, o], 1)])
    a, b, c, d = np.linalg.lstsq(rows, align.template(112).T.ravel(), rcond=None)[0]
    return lambda p: p @ np.array([[a, -b], [b, a]]).T + [c, d]


def test_kept_share_is_the_plain_transcription(face):
    before, after = face.copy(), face.copy()
    after[48:] += [3, 17]
    own, other = (plain_fit(align.points5(p)) for p in (before, after))
    start = own(align.points5(before))[3:].mean(0)
    moved = np.linalg.norm(other(align.points5(after))[3:].mean(0) - start)
    still = np.linalg.norm(own(align.points5(after))[3:].mean(0) - start)
    share = mouth.kept_share(np.stack([before, after]))
    assert share == pytest.approx(moved / still, abs=1e-9)
    assert share < 0.4


@pytest.mark.parametrize("alignment", ["eyes", "rigid68"])
def test_fits_without_the_mouth_keep_its_motion(face, alignment):
    after = face.copy()
    after[48:] += [0, 20]
    share = mouth.kept_share(np.stack([face, after]), alignment)
    assert share == pytest.approx(1, abs=0.02 if alignment == "rigid68" else 1e-9)


def test_kept_share_refuses_what_it_cannot_say(face):
    with pytest.raises(ValueError, match="two frames"):
        mouth.kept_share(face[None])
    with pytest.raises(ValueError, match="does not move"):
        mouth.kept_share(np.stack([face, face]))


def test_path_opening_and_travel(face):
    clip = np.stack([face, face, face])
    clip[1, 66] += [0, 8]
    matrices = np.tile(np.array([[0.5, 0, 1], [0, 0.5, 2]]), (3, 1, 1))
    path = mouth.mouth_path(clip, matrices)
    np.testing.assert_allclose(path, [0.5 * (face[48] + face[54]) / 2 + [1, 2]] * 3)
    assert mouth.travel(path) == pytest.approx(0, abs=1e-12)
    assert mouth.travel(np.array([[0.0, 0], [6, 8]])) == pytest.approx(5)
    opening = mouth.mouth_opening(clip, matrices)
    assert opening[0] == pytest.approx(np.linalg.norm(face[66] - face[62]) / 2)
    assert opening[1] == pytest.approx(np.linalg.norm(face[66] + [0, 8] - face[62]) / 2)


def test_noise_gain_is_the_first_order_error(face):
    """The fit is linear in the target; swapping the noise to that side gives it in closed form."""
    five = align.points5(face)
    for alignment, rows in (("points5", slice(0, 5)), ("eyes", slice(0, 2))):
        # design of u = a x - b y + c, v = b x + a y + d at the template's points
        x, y = align.template(112)[rows].T
        o, z = np.ones_like(x), np.zeros_like(x)
        A = np.concatenate([np.stack([x, -y, o, z], 1), np.stack([y, x, z, o], 1)])
        covariance = np.linalg.inv(A.T @ A)
        total = 0.0
        for u, v in ((0, 0), (111, 0), (111, 111), (0, 111)):
            B = np.array([[u, -v, 1, 0], [v, u, 0, 1]])
            total += np.trace(B @ covariance @ B.T)
        gain = mouth.noise_gain(five, alignment, draws=4000)
        assert gain == pytest.approx(np.sqrt(total / 4), rel=0.05), alignment
    assert mouth.noise_gain(face, "rigid68", draws=500) < mouth.noise_gain(five, "points5")
