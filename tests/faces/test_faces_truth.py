"""Detection and alignment against the true landmarks of the embedded data (rendered faces)."""

from pathlib import Path

import numpy as np
import pytest
from skimage.transform import SimilarityTransform

from ecstfl.clips import preprocess_set
from ecstfl.clips.config import PreprocessConfig
from ecstfl.datasets.embedded import load_truth, open_embedded
from ecstfl.faces import align
from ecstfl.faces.retinaface import RetinaFace
from ecstfl.faces.track import track
from ecstfl.video.reading import read_frames

DATA = Path(__file__).resolve().parents[2] / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "manifest.csv").exists(), reason="the pack is not in this checkout"
)


@pytest.fixture(scope="module")
def truth():
    return load_truth(DATA)


@pytest.fixture(scope="module")
def clips():
    """Seven clips over the whole set, one of each expression."""
    everything = open_embedded(DATA, verify=False)
    return everything.subset([i % 205 == 3 for i in range(len(everything))])


@pytest.fixture(scope="module")
def found(clips):
    backend = RetinaFace()
    return {clip.id: [d for _, _, d in track(read_frames(clip.source), backend)] for clip in clips}


def pairs(clips, truth, found):
    """Per clip: frame numbers, found and true five points, side of the true face box."""
    for clip in clips:
        known, seen = truth[clip.id], np.asarray(truth[clip.id].visible, bool)
        numbers = np.array([i for i, d in enumerate(found[clip.id]) if d is not None and seen[i]])
        ours = np.stack([found[clip.id][i].points5 for i in numbers]).astype(float)
        boxes = known.box[numbers].astype(float)
        side = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
        yield numbers, ours, align.points5(known.landmarks[numbers].astype(float)), side


def test_the_expressions_differ(clips):
    assert len(set(clips.labels.tolist())) >= 5


def test_every_visible_face_is_found(clips, truth, found):
    shown = hit = 0
    for clip in clips:
        seen = np.asarray(truth[clip.id].visible, bool)
        assert len(found[clip.id]) == len(seen)
        shown += seen.sum()
        hit += sum(d is not None for d, s in zip(found[clip.id], seen, strict=True) if s)
    assert shown > 100
    assert hit >= 0.99 * shown


def test_normalised_mean_error_of_landmarks_and_aligned_eyes(clips, truth, found):
    errors, eyes, unaligned = [], [], []
    for numbers, ours, true, side in pairs(clips, truth, found):
        errors.extend(np.linalg.norm(ours - true, axis=2).mean(1) / side)
        smooth = align.smooth_landmarks(ours, numbers, 1.0)
        there = align.transform_points(true, align.alignment_matrices(smooth, 64))
        goal = align.transform_points(true, align.alignment_matrices(true, 64))
        eyes.extend(np.linalg.norm(there - goal, axis=2)[:, :2].mean(1))
        still = align.transform_points(true, align.alignment_matrices(true[:1], 64))
        unaligned.extend(np.linalg.norm(still - goal, axis=2)[:, :2].mean(1))
    assert np.mean(errors) < 0.035  # of the face box
    assert np.mean(eyes) < 1.5  # pixels of a crop of 64
    assert np.mean(eyes) < 0.5 * np.mean(unaligned)  # the first frame's matrix for all


def test_similarities_of_true_landmarks_are_scikit_images(clips, truth, found):
    goal = align.template(64)
    for _, _, true, _ in pairs(clips, truth, found):
        ours = align.alignment_matrices(true, 64)
        for points, matrix in zip(true[::5], ours[::5], strict=True):
            if hasattr(SimilarityTransform, "from_estimate"):
                theirs = SimilarityTransform.from_estimate(points, goal).params[:2]
            else:
                theirs = SimilarityTransform()
                theirs.estimate(points, goal)
                theirs = theirs.params[:2]
            np.testing.assert_allclose(matrix, theirs, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("alignment", ["points5", "eyes", "rigid68"])
def test_true_landmarks_as_a_backend(clips, truth, tmp_path, alignment):
    """A perfect detector: faces exactly where they are, and the matrices lead back."""
    chosen = clips.subset([i < 3 for i in range(len(clips))])
    marks = tmp_path / "marks"
    marks.mkdir()
    for clip in chosen:
        known = truth[clip.id]
        points = np.where(known.visible[:, None, None], known.landmarks, np.float32(np.nan))
        np.save(marks / f"{clip.id}.npy", points.astype(np.float32))
    config = PreprocessConfig(
        backend="landmarks", landmarks=str(marks), alignment=alignment, smoothing=0
    )
    prepared = preprocess_set.preprocess(chosen, config, tmp_path / "c", 0, progress=False)
    assert prepared.report["backends"] == ["landmarks"]
    assert prepared.clipset.ids == chosen.ids
    goal = align.template(64)
    for row, clip in enumerate(prepared.clipset):
        known = truth[clip.id]
        track = prepared.track(row)
        numbers, matrices, points = track.kept, track.matrices, track.points
        np.testing.assert_array_equal(numbers, np.flatnonzero(known.visible))
        true = align.points5(known.landmarks[numbers].astype(float))
        np.testing.assert_allclose(points, true, atol=1e-3)
        there = align.transform_points(true, matrices)
        off = np.linalg.norm(there - goal, axis=2).mean(1)
        off_eyes = there[:, :2].mean(1) - goal[:2].mean(0)
        if alignment == "eyes":
            np.testing.assert_allclose(off_eyes, 0, atol=1e-3)
        else:
            assert off.mean() < 4  # of 64 pixels: faces differ from the template
        back = align.transform_points(there, align.invert(matrices))
        np.testing.assert_allclose(back, true, atol=1e-6)


def test_rigid68_holds_the_face_stiller_than_five_points(clips, truth):
    """Of the 68 points, those of nose and eye corners: their movement within the aligned clip."""
    wobble = {"points5": [], "rigid68": []}
    for clip in clips:
        known = truth[clip.id]
        landmarks = known.landmarks[np.asarray(known.visible, bool)].astype(float)
        for name, values in wobble.items():
            matrices = align.alignment_matrices(landmarks, 64, alignment=name)
            there = align.transform_points(landmarks[:, align.RIGID_68], matrices)
            values.append(np.linalg.norm(there - there.mean(0), axis=2).mean())
    assert np.mean(wobble["rigid68"]) < 0.9 * np.mean(wobble["points5"])
