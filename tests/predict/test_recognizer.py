"""The device: same clips and answers as the evaluation, any length."""

import dataclasses
import itertools
import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lessonkit.reference_results import find_reference_run
from media import write_video
from safetensors.torch import save_file
from scipy.special import softmax
from toy import toy_config, toy_data

from ecstfl.clips.config import PreprocessConfig
from ecstfl.clips.preprocess import preprocess_clip
from ecstfl.clips.preprocess_set import preprocess
from ecstfl.datasets.clipset import ClipSet
from ecstfl.datasets.embedded import open_embedded
from ecstfl.errors import UserError
from ecstfl.faces.detection import Detection
from ecstfl.labels import CLASSES
from ecstfl.models.backbones import build_backbone
from ecstfl.models.model_file import (
    MODEL_FORMAT,
    NOTES,
    ModelNotes,
    find_shipped,
    model_bytes,
    read_model,
)
from ecstfl.predict import windows as window_module
from ecstfl.predict.batch import recognize_many
from ecstfl.predict.checkpoint import default_model, load_checkpoint
from ecstfl.predict.prediction import UNCERTAIN, Prediction, Window
from ecstfl.predict.recognizer import Options, Recognizer
from ecstfl.predict.windows import Windower, WindowPlan
from ecstfl.runs.config import canonical_json, hash_clipset
from ecstfl.runs.run_folder import read_features, run_directory, save_model
from ecstfl.training.loop import train_run

SIDE, FACE = 64, 20

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SEVENTHS = (1 / 7,) * 7


class Squares:
    """A backend that finds the squares painted by :func:`picture`."""

    name, scheme = "squares", "points5"

    def detect(self, rgb):
        found = []
        for value in (255, 200):
            rows, columns = np.nonzero(rgb[..., 0] == value)
            if len(rows):
                box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], np.float32)
                low, side = box[:2], box[2] - box[0]
                shape = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.75], [0.65, 0.75]])
                points = (low + shape * side).astype(np.float32)
                found.append(Detection(box, 0.9, points, self.scheme, self.name))
        return sorted(found, key=lambda d: -d.area)


def picture(x=None, y=20, second=None, seed=0):
    """A frame with a square face at x (none when x is None), and a smaller one at ``second``."""
    frame = np.random.default_rng(seed).integers(0, 100, (SIDE, SIDE, 3)).astype(np.uint8)
    if second is not None:
        frame[y : y + 12, second : second + 12] = 200
    if x is not None:
        frame[y : y + FACE, x : x + FACE] = 255
    return frame


@pytest.fixture(scope="module")
def clipset():
    return toy_data()[0]


@pytest.fixture(scope="module")
def model_path(clipset, tmp_path_factory):
    """An untrained model that expects aligned faces of 16 pixels."""
    config = toy_config(clipset, preprocess=PreprocessConfig(frames=8, size=16))
    torch.manual_seed(0)
    network = build_backbone(config.backbone, config.augment.frames, config.augment.size)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, network, config)
    return path


def open_with(path, **options):
    recognizer = Recognizer(path, Options(**options))
    recognizer._backend = Squares()
    return recognizer


# --- the same as training ------------------------------------------------------------------------


def test_held_out_videos_get_the_evaluations_answers(tmp_path):
    """Videos -> preprocess -> train -> features, against Recognizer on the same videos."""
    toy, videos = toy_data(groups=4)
    clips = []
    for clip, video in zip(toy, videos, strict=True):
        path = tmp_path / f"{clip.id}.mp4"
        write_video(path, np.repeat(np.repeat(video, 4, 1), 4, 2))
        clips.append(dataclasses.replace(clip, source=path))
    clipset = ClipSet("toy", tuple(clips), synthetic=True)
    how = PreprocessConfig(frames=8, size=24, alignment="none")
    prepared = preprocess(clipset, how, tmp_path / "cache", workers=0, progress=False)
    config = toy_config(clipset, preprocess=how, epochs=8, data_hash=hash_clipset(clipset))
    run = train_run(config, clipset, prepared.clips, tmp_path)
    directory = run_directory(tmp_path, config)
    features = read_features(directory)
    recognizer = Recognizer(directory / "model.safetensors")
    by_id = {clip.id: clip for clip in clipset}
    answers = [recognizer.recognize(by_id[str(i)].source) for i in features["ids"]]
    assert [a.label for a in answers] == features["predictions"].tolist()
    right = np.mean(
        [a.label == by_id[str(i)].label for a, i in zip(answers, features["ids"], strict=True)]
    )
    assert right == pytest.approx(run["war"])
    logits = features["logits"].astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    # the features are stored as float16
    np.testing.assert_allclose([a.probabilities for a in answers], expected, atol=2e-3)


def test_a_short_video_reaches_the_network_exactly_as_in_training(model_path, monkeypatch):
    recognizer = open_with(model_path)
    frames = [picture(10 + i, seed=i) for i in range(20)]
    seen = []
    original = recognizer.probabilities
    monkeypatch.setattr(recognizer, "probabilities", lambda c: seen.append(c) or original(c))
    prediction = recognizer.recognize(frames)
    alone = preprocess_clip(frames, recognizer.config.preprocess, Squares())
    assert len(prediction.windows) == 1
    np.testing.assert_array_equal(seen[0][0], alone.frames)


def test_windows_of_a_long_video_are_cut_as_training_clips_are(model_path, monkeypatch):
    recognizer = open_with(model_path, window=0.4, step=0.2)
    frames = [picture(5 + min(i, 60 - i), seed=i) for i in range(43)]
    seen = []
    original = recognizer.probabilities
    monkeypatch.setattr(recognizer, "probabilities", lambda c: seen.extend(c) or original(c))
    prediction = recognizer.recognize(frames)
    starts = [round(w.start * 25) for w in prediction.windows]
    assert starts == [0, 5, 10, 15, 20, 25, 30, 33]  # the last one ends with the video
    for start, clip in zip(starts, seen, strict=True):
        alone = preprocess_clip(frames[start : start + 10], recognizer.config.preprocess, Squares())
        np.testing.assert_array_equal(clip, alone.frames)


def test_the_models_own_preprocessing_is_used(model_path, monkeypatch):
    recognizer = open_with(model_path)
    used = []

    def spy(frames, config, backend=None):
        used.append(config)
        return preprocess_clip(frames, config, backend)

    monkeypatch.setattr(window_module, "preprocess_clip", spy)
    recognizer.recognize([picture(10)] * 9)
    saved = json.loads(read_model(model_path, MODEL_FORMAT)[1]["config"])["preprocess"]
    assert len(used) == 1
    assert used[0].options == PreprocessConfig(**saved).options


# --- faces ---------------------------------------------------------------------------------------


def test_no_face_is_told_and_three_frames_are_uncertain(model_path):
    recognizer = open_with(model_path, threshold=0.0)
    with pytest.raises(UserError, match="no face found in 12 frames"):
        recognizer.recognize([picture()] * 12)
    prediction = recognizer.recognize([picture(10 if i in (4, 5, 6) else None) for i in range(12)])
    assert prediction.outcome == UNCERTAIN
    assert prediction.total.why == "face in 3 of 12 frames"
    assert prediction.expression in CLASSES
    assert prediction.coverage == pytest.approx(0.25)


def test_low_probability_is_uncertain_and_says_so(model_path):
    frames = [picture(10)] * 9
    sure = open_with(model_path, threshold=0.0).recognize(frames)
    unsure = open_with(model_path, threshold=1.0).recognize(frames)
    assert sure.outcome == sure.expression
    assert unsure.outcome == UNCERTAIN
    assert "below 1.00" in unsure.total.why
    assert unsure.probabilities == sure.probabilities


def test_the_largest_face_is_followed_and_kept(model_path):
    frames = [picture(38 if i < 30 else None, second=4 + i % 5, seed=i) for i in range(30)]
    prediction = open_with(model_path, window=0.4).recognize(frames, track=True)
    assert prediction.total.faces == 30
    assert prediction.track.boxes[:, 0].min() >= 38


# --- length --------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_video(model_path):
    config = load_checkpoint(model_path)[0].preprocess

    def peak(n):
        windower = Windower(config, WindowPlan(0.8, 0.4, 1.6))
        tracemalloc.start()
        count = 0
        for i in range(n):
            frame = np.zeros((128, 128, 3), np.uint8)  # 49 kB, whole frame needed
            points = np.array([[10, 10], [110, 10], [60, 60], [20, 100], [100, 100]], np.float32)
            face = Detection(np.array([0, 0, 127, 127], np.float32), 1, points, "points5")
            count += sum(1 for _ in windower.add(i / 25, frame, face))
        count += sum(1 for _ in windower.finish())
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most, count

    short, few = peak(100)
    long, many = peak(1500)  # 74 MB of frames
    assert few == 9
    assert many == 149
    assert long < 1.2 * short + 100_000
    assert long < 8_000_000


def spans_of(times, plan):
    """(first frame, frame after the last, start, end) of the windows of frames at these times."""
    windower = Windower(PreprocessConfig(alignment="none"), plan)
    frame = np.zeros((8, 8, 3), np.uint8)
    windows = [w for t in times for w in windower.add(t, frame, None)]
    windows += windower.finish()
    index = {t: i for i, t in enumerate(times)}
    return [
        (index[w.moments[0].start], index[w.moments[-1].start] + 1, w.start, w.end) for w in windows
    ]


@patient
@given(
    n=st.integers(1, 200),
    length=st.integers(1, 40),
    step=st.integers(1, 40),
    whole=st.integers(0, 80),
    fps=st.sampled_from((25.0, 24000 / 1001, 30.0, 59.94)),
    digits=st.sampled_from((3, 9)),
)
def test_windows_of_a_constant_rate_hold_the_same_number_of_frames(
    n, length, step, whole, fps, digits
):
    """Also where the container rounds timestamps to milliseconds."""
    if step > length:
        with pytest.raises(UserError, match="skip frames"):
            WindowPlan(length, step, whole)
        return
    times = [round(i / fps, digits) for i in range(n)]
    plan = WindowPlan(length / fps, step / fps, whole / fps)
    spans = [(a, b) for a, b, _, _ in spans_of(times, plan)]
    if n <= whole:
        assert spans == [(0, n)]
        return
    assert {i for a, b in spans for i in range(a, b)} == set(range(n))
    assert spans == sorted(set(spans))
    if n >= length:
        assert all(b - a == length for a, b in spans)
        assert all(a % step == 0 for a, _ in spans[:-1])


@patient
@given(st.lists(st.floats(0.002, 3), min_size=1, max_size=80), st.floats(0.1, 3), st.floats(0.1, 1))
def test_windows_of_any_rate_reach_every_frame_and_last_no_longer_than_asked(gaps, length, share):
    times = [0.0, *np.cumsum(gaps).round(6).tolist()]
    spans = spans_of(times, WindowPlan(length, share * length))
    assert {i for a, b, _, _ in spans for i in range(a, b)} == set(range(len(times)))
    for a, b, start, end in spans:
        assert start == times[a]
        assert times[b - 1] < end
        assert times[b - 1] - start <= length + 1e-6


def test_a_pause_is_a_pause(model_path):
    """A browser's recording of two seconds that stood still for eight."""
    times = [i / 25 + (8 if i >= 25 else 0) for i in range(50)]
    spans = spans_of(times, WindowPlan(1.0, 0.5))
    assert [(a, b) for a, b, _, _ in spans] == [(0, 25), (25, 50)]
    assert [round(end, 2) for _, _, _, end in spans] == [1.0, 10.0]


@patient
@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0.1, 5)), max_size=12), st.floats(0.5, 30))
def test_segments_lie_end_to_end(raw, duration):
    spans = sorted((min(s, duration), min(s + d, duration)) for s, d in raw)
    windows = tuple(Window(a, b, 10, 10, SEVENTHS, "Sad") for a, b in spans if b > a)
    total = Window(0, duration, 10, 10, SEVENTHS, "Sad")
    segments = Prediction(Path("v"), duration, 10, total, windows).segments()
    assert segments[0][0] == pytest.approx(0)
    assert segments[-1][1] == pytest.approx(duration, abs=1e-5)
    for (_, end, _), (start, _, _) in itertools.pairwise(segments):
        assert start == pytest.approx(end)
    assert all(end > start for start, end, _ in segments)


def test_the_json_of_a_prediction_says_what_it_holds(model_path):
    prediction = open_with(model_path, window=0.4).recognize([picture(9)] * 30)
    told = json.loads(json.dumps(prediction.as_dict()))
    assert told["duration"] == pytest.approx(30 / 25)
    assert told["fps"] == pytest.approx(25)
    assert told["probabilities"] == dict(zip(CLASSES, prediction.probabilities, strict=True))
    spans = [(w["start"], w["end"]) for w in told["windows"]]
    assert spans == [(w.start, w.end) for w in prediction.windows]


@pytest.mark.parametrize(
    "options", [{"window": 0}, {"step": -1}, {"threshold": 2}, {"device": "tpu"}]
)
def test_bad_options_are_told(options):
    with pytest.raises(UserError, match=r"must be|unknown device"):
        Options(**options)


# --- model files ---------------------------------------------------------------------------------


def rewritten(model_path, tmp_path, **changes):
    """The model with another header, and a checksum that fits it."""
    tensors, header = read_model(model_path, MODEL_FORMAT)
    path = tmp_path / "other.safetensors"
    path.write_bytes(model_bytes(tensors, header | changes))
    return path


def test_a_changed_byte_is_noticed(model_path, tmp_path):
    content = bytearray(model_path.read_bytes())
    content[-5] ^= 1
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged or changed"):
        Recognizer(path)


def test_an_edited_header_is_noticed(model_path, tmp_path):
    content = model_path.read_bytes().replace(b"Disgust", b"Dislike", 1)
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged or changed"):
        Recognizer(path)


def test_other_classes_versions_and_networks_are_refused(model_path, tmp_path):
    six = rewritten(model_path, tmp_path, classes=json.dumps(CLASSES[:6]))
    with pytest.raises(UserError, match="knows other classes"):
        Recognizer(six)
    old = rewritten(model_path, tmp_path, format="ecstfl-0")
    with pytest.raises(UserError, match="of this version"):
        Recognizer(old)
    config = json.loads(read_model(model_path, MODEL_FORMAT)[1]["config"])
    newer = rewritten(model_path, tmp_path, config=canonical_json(config | {"colour": 1}))
    with pytest.raises(UserError, match="no setting 'colour'"):
        Recognizer(newer)
    config["backbone"]["width"] = 100_000  # a terabyte, if it were built
    huge = rewritten(model_path, tmp_path, config=canonical_json(config))
    with pytest.raises(UserError, match="does not fit its own description"):
        Recognizer(huge)
    hot = rewritten(model_path, tmp_path, **{NOTES: json.dumps({"temperature": -1})})
    with pytest.raises(UserError, match="temperature"):
        Recognizer(hot)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a model file was unpickled",))


@pytest.mark.parametrize(
    "what", ["missing", "folder", "empty", "text", "pickle", "torch", "foreign"]
)
def test_foreign_files_are_refused_in_one_sentence(what, model_path, tmp_path):
    path = tmp_path / "model.safetensors"
    if what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    elif what == "text":
        path.write_text("no model\n" * 50)
    elif what == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif what == "torch":
        torch.save({"a": Bomb()}, path)
    elif what == "foreign":
        save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(UserError) as caught:
        Recognizer(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_and_infinite_weights_are_refused(model_path, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(model_path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a readable safetensors"):
        Recognizer(path)
    tensors, header = read_model(model_path, MODEL_FORMAT)
    tensors["fc8.bias"][0] = float("nan")
    path.write_bytes(model_bytes(tensors, header))
    with pytest.raises(UserError, match="not finite"):
        Recognizer(path)


def test_temperature_changes_confidence_and_nothing_else(model_path, tmp_path):
    notes = json.dumps(dataclasses.asdict(ModelNotes(temperature=0.01, calibrated_on=3)))
    sharp = open_with(rewritten(model_path, tmp_path, **{NOTES: notes}))
    plain = open_with(model_path)
    frames = [picture(12)] * 9
    a, b = plain.recognize(frames), sharp.recognize(frames)
    assert np.argsort(a.probabilities).tolist() == np.argsort(b.probabilities).tolist()
    assert max(b.probabilities) > max(a.probabilities)
    assert b.calibrated
    assert "not calibrated" in plain.statement
    for recognizer in (plain, sharp):
        assert "rendered faces" in recognizer.statement
        assert "not feelings" in recognizer.statement


def test_the_shipped_checkpoint_is_found_and_a_named_folder_never_passed_over(
    model_path, tmp_path, monkeypatch
):
    monkeypatch.setenv("ECSTFL_MODELS", str(tmp_path))
    with pytest.raises(UserError, match="ECSTFL_MODELS"):
        find_shipped()
    (tmp_path / "ecstfl-small.safetensors").write_bytes(model_path.read_bytes())
    assert find_shipped() == tmp_path / "ecstfl-small.safetensors"
    assert Recognizer().path == find_shipped()
    assert default_model(tmp_path / "nowhere") == find_shipped()


def test_what_is_shipped_loads_and_is_small_and_calibrated():
    path = find_shipped()
    assert path is not None
    assert path.stat().st_size < 12_000_000
    config, _, notes = load_checkpoint(path)
    assert notes.calibrated
    assert config.evaluate == "test"
    assert config.hash == find_reference_run(notes.run).run["config_hash"]
    assert (path.parent / "MODEL_CARD.md").is_file()


def test_what_is_shipped_gives_the_answers_of_its_landed_run_from_the_videos():
    """The run was scored under bfloat16 and stored as float16; a video is read in float32."""
    recognizer = Recognizer(find_shipped())
    landed = find_reference_run(recognizer.notes.run)
    held_out = {clip.id: clip for clip in open_embedded(verify=False) if clip.fold == 1}
    assert set(landed.features["ids"]) == set(held_out)
    logits = landed.features["logits"].astype(float) / recognizer.notes.temperature
    for i in range(0, len(logits), 40):  # one clip of each expression
        clip = held_out[str(landed.features["ids"][i])]
        prediction = recognizer.recognize(clip.source)
        np.testing.assert_allclose(prediction.probabilities, softmax(logits[i]), atol=0.01)
        assert prediction.expression == CLASSES[landed.features["predictions"][i]]


# --- many videos ---------------------------------------------------------------------------------


def test_a_batch_goes_on_after_bad_videos(clipset, tmp_path):
    config = toy_config(clipset, preprocess=PreprocessConfig(frames=8, size=16, alignment="none"))
    network = build_backbone(config.backbone, config.augment.frames, config.augment.size)
    save_model(tmp_path / "m.safetensors", network, config)
    videos = [tmp_path / "bad.mp4", tmp_path / "good.mp4", tmp_path / "missing.mp4"]
    videos[0].write_bytes(b"not a video")
    write_video(videos[1], [picture(10, seed=i) for i in range(9)])
    results = dict(recognize_many(videos, tmp_path / "m.safetensors", processes=1))
    assert isinstance(results[0], str)
    assert "bad.mp4" in results[0]
    assert isinstance(results[2], str)
    here = Recognizer(tmp_path / "m.safetensors").recognize(videos[1])
    assert results[1].source == videos[1]
    np.testing.assert_allclose(results[1].probabilities, here.probabilities, atol=1e-6)
