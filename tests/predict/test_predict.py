"""The predict command, annotated videos, the webcam helper: what the user sees."""

import argparse
import csv
import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from lessonkit.webcam import open_source, watch
from media import numbered, portrait_clip, real
from media import write_video as make_video
from test_recognizer import SIDE, Squares, picture
from toy import toy_config, toy_data

from ecstfl.cli import predict
from ecstfl.cli.main import main
from ecstfl.clips.config import PreprocessConfig
from ecstfl.datasets.embedded import open_embedded
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES
from ecstfl.models.backbones import build_backbone
from ecstfl.models.model_file import find_shipped
from ecstfl.predict import annotate
from ecstfl.predict.annotate import annotate_video, draw, write_video
from ecstfl.predict.checkpoint import HONESTY, load_checkpoint
from ecstfl.predict.familiar import familiar
from ecstfl.predict.prediction import Window
from ecstfl.predict.recognizer import Options, Recognizer
from ecstfl.runs.config import hash_clipset
from ecstfl.runs.run_folder import save_model
from ecstfl.video.reading import read_frames, read_timed


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """An untrained model that takes whole frames for faces."""
    config = toy_config(
        toy_data()[0], preprocess=PreprocessConfig(frames=8, size=16, alignment="none")
    )
    torch.manual_seed(0)
    network = build_backbone(config.backbone, config.augment.frames, config.augment.size)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, network, config)
    return path


@pytest.fixture(scope="module")
def face_model(tmp_path_factory):
    """An untrained model that looks for faces."""
    config = toy_config(toy_data()[0], preprocess=PreprocessConfig(frames=8, size=32))
    torch.manual_seed(0)
    network = build_backbone(config.backbone, config.augment.frames, config.augment.size)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, network, config)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "square.mp4"
    frames = [picture(10 + i // 2, seed=i) for i in range(60)]
    make_video(path, frames)
    return path


def run(*arguments):
    parser = argparse.ArgumentParser()
    predict.add_predict(parser)
    args = parser.parse_args(["--quiet", "--workers", "1", *map(str, arguments)])
    return args.run(args)


# --- command -------------------------------------------------------------------------------------


def test_the_table_and_the_files_say_the_same(model_path, video, tmp_path, capsys):
    out = tmp_path / "o.json", tmp_path / "o.csv"
    code = run(video, "--model", model_path, "--window", 0.8, "--threshold", 0,
               "--json", out[0], "--csv", out[1])  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    assert HONESTY in printed
    assert "rendered faces (synthetic)" in printed
    told = json.loads(out[0].read_text())
    rows = list(csv.DictReader(out[1].open()))
    (prediction,) = told["predictions"]
    windows = prediction["windows"]
    assert HONESTY in told["statement"]
    assert len(rows) == len(windows) == 5
    for row, window in zip(rows, windows, strict=True):
        assert float(row["start"]) == pytest.approx(window["start"], abs=1e-3)
        assert row["outcome"] == window["outcome"]
        p = [float(row[name]) for name in CLASSES]
        assert p == pytest.approx([window["probabilities"][name] for name in CLASSES], abs=1e-6)
        assert row["expression"] == window["expression"]  # p itself may tie in six digits
    assert prediction["expression"] in printed
    assert "100 % of the frames" in printed


def test_exit_codes_tell_all_some_and_none(model_path, video, tmp_path, capsys):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    assert run(video, "--model", model_path) == 0
    assert run(bad, video, tmp_path / "missing.mp4", "--model", model_path) == 1
    errors = capsys.readouterr().err
    assert "bad.mp4" in errors
    assert "missing.mp4" in errors
    assert run(bad, "--model", model_path) == 2
    with pytest.raises(UserError, match="missing, does not exist"):
        run(tmp_path / "missing", "--model", model_path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--threshold", "3"), "threshold"),
        (("--window", "0"), "window"),
        (("--checkpoint", "nowhere.safetensors"), "no model at"),
    ],
)
def test_bad_options_are_one_sentence(options, told, model_path, video):
    if "--checkpoint" not in options:
        options = (*options, "--model", model_path)
    with pytest.raises(UserError, match=told):
        run(video, *options)


def test_several_videos_are_annotated_into_a_folder_and_none_is_overwritten(
    model_path, video, tmp_path
):
    copy = tmp_path / "square.mp4"
    copy.write_bytes(video.read_bytes())
    with pytest.raises(UserError, match="several videos need a folder"):
        run(video, copy, "--model", model_path, "--annotate", tmp_path / "a.mp4")
    with pytest.raises(UserError, match="would overwrite"):
        run(copy, "--model", model_path, "--annotate", copy)
    with pytest.raises(UserError, match="is one of the videos"):
        run(copy, "--model", model_path, "--json", copy)
    assert copy.read_bytes() == video.read_bytes()
    assert run(video, copy, "--model", model_path, "--annotate", tmp_path / "out") == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["square-2.mp4", "square.mp4"]


def test_a_folder_is_searched_for_videos(model_path, video, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(video.read_bytes())
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "in", tmp_path / "empty", "--model", model_path) == 1
    captured = capsys.readouterr()
    assert "a.mp4" in captured.out
    assert "no video and no frame folder" in captured.err


def test_a_folder_is_read_whatever_the_endings_and_what_is_passed_over_is_counted(
    model_path, video, tmp_path, capsys
):
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    taken = ("a.mp4", "b.MP4", "c.MTS", "d.m2ts", "e.VOB", "f.mkv", "sub/g.mov", "h.3g2")
    for name in taken:
        (root / name).write_bytes(video.read_bytes())
    (root / "notes.docx").write_bytes(b"words")
    assert run(root, "--model", model_path, "--json", tmp_path / "o.json") == 1
    told = json.loads((tmp_path / "o.json").read_text())
    assert {p["source"] for p in told["predictions"]} == {str(root / name) for name in taken}
    captured = capsys.readouterr()
    assert "notes.docx" in captured.err
    assert f"{len(taken)} recognised; 1 not" in captured.out


def test_what_the_file_lacks_and_what_the_model_knows_stand_in_the_answer(tmp_path, capsys):
    """A download that broke off; and clips that the model was trained on, or that it was not."""
    clips = open_embedded(verify=False)
    known = next(clip for clip in clips if clip.fold == 3)
    new = next(clip for clip in clips if clip.fold == 1)
    renamed = tmp_path / "my own.mp4"
    renamed.write_bytes(Path(known.source).read_bytes())
    whole = make_video(tmp_path / "whole.mkv", portrait_clip(50))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    assert run(renamed, new.source, cut, "--json", tmp_path / "o.json") == 0
    said = capsys.readouterr().out
    first, second, third = json.loads((tmp_path / "o.json").read_text())["predictions"]
    assert "the model was trained on this person" in " ".join(first["problems"])
    assert "held out" in " ".join(second["problems"])
    assert "cut off" in " ".join(third["problems"])
    for prediction in (first, second, third):
        for sentence in prediction["problems"]:
            assert f"note: {sentence}" in said
    config, _, notes = load_checkpoint(find_shipped())
    assert "trained on this person" in familiar(known.source, config, notes.embedded)
    # a model of other rendered clips never saw these people, whatever their numbers
    other = dataclasses.replace(config, data_hash="0")
    assert familiar(known.source, other) == ""
    # one of these and others, joined, did
    joined = hash_clipset(open_embedded(verify=False))
    assert "trained on this person" in familiar(known.source, other, joined)


def test_no_debris_of_a_progress_bar_in_a_log(model_path, tmp_path, capfd):
    """What is no terminal gets no bar; errors have lines of their own."""
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    assert main(["predict", str(bad), str(bad), "--model", str(model_path)]) == 2
    assert [line[:7] for line in capfd.readouterr().err.splitlines()] == ["ecstfl:"]


def test_stretches_join_neighbours_and_weigh_by_time():
    class W:
        def __init__(self, outcome, p):
            self.outcome, self.probabilities, self.coverage = outcome, (p,), 1.0

    rows = predict.stretches([(0, 1, W("Sad", 0.5)), (1, 4, W("Sad", 0.9)), (4, 5, None)])
    assert rows[0][:3] == (0, 4, "Sad")
    assert rows[0][3] == pytest.approx(0.8)
    assert rows[1][:3] == (4, 5, "no face")


# --- annotated video -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames without loss, in which :class:`Squares` finds the face: at x = 5, 6, ..."""
    path = tmp_path_factory.mktemp("frames")
    for i in range(38):
        cv2.imwrite(str(path / f"{i}.png"), picture(5 + i, seed=i)[..., ::-1])
    return path


def test_box_and_inset_sit_on_the_face(face_model, folder):
    recognizer = Recognizer(face_model, Options(threshold=0.0))
    recognizer._backend = Squares()
    prediction = recognizer.recognize(folder, track=True)
    colour = annotate.colour_of(prediction.outcome)
    zoom = annotate.MIN_HEIGHT / SIDE
    images = list(draw(prediction, recognizer))
    assert len(images) == 38
    for i, image in enumerate(images):
        width = round(SIDE * zoom)
        row = image[round(30 * zoom), :width].astype(int)
        for side in (5 + i, 5 + i + 19):  # left and right edge of the square
            at = round((side + 0.5) * zoom)
            assert (abs(row[max(0, at - 4) : at + 4] - colour).max(1) < 12).any()
        inset = image[12 : 12 + annotate.INSET, width + 12 : width + 12 + annotate.INSET]
        assert inset[40:110, 30:100].mean() > 240  # the middle of the face, and not the noise


def test_the_annotated_video_is_h264_with_every_frame(model_path, video, tmp_path):
    import av

    recognizer = Recognizer(model_path)
    prediction = recognizer.recognize(video, track=True)
    out = tmp_path / "sub" / "out.mp4"
    annotate_video(prediction, recognizer, out)
    assert len(list(read_frames(out))) == prediction.frames == 60
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert float(stream.average_rate) == pytest.approx(25)
        assert (stream.width % 2, stream.height % 2) == (0, 0)
    assert [p.name for p in out.parent.iterdir()] == ["out.mp4"]
    with pytest.raises(UserError, match="track=True"):
        annotate_video(recognizer.recognize(video), recognizer, out)


@pytest.mark.parametrize(
    ("name", "gaps", "seconds"),
    [
        ("pause.mkv", [40] * 24 + [8040] + [40] * 24, 10.0),  # a browser's recording
        ("slow.mp4", [100] * 29, 3.0),  # slow motion: ten frames a second
        ("lapse.mkv", [5000] * 9, 50.0),  # time lapse
        ("phone.mkv", [33] * 30 + [66] * 30, 3.0),  # the light went, and the rate with it
    ],
)
def test_time_is_what_the_timestamps_say(name, gaps, seconds, model_path, tmp_path, capsys):
    times = [0, *np.cumsum(gaps).tolist()]
    source = make_video(tmp_path / name, numbered(len(times)), pts=times)
    out = tmp_path / "out.mp4"
    outputs = ("--json", tmp_path / "o.json", "--annotate", out)
    assert run(source, "--model", model_path, "--window", 1.0, *outputs) == 0
    (told,) = json.loads((tmp_path / "o.json").read_text())["predictions"]
    assert told["duration"] == pytest.approx(seconds, abs=0.05)
    assert told["fps"] == pytest.approx(len(times) / seconds, rel=0.02)
    assert f"{seconds:.0f}"[:2] in capsys.readouterr().out
    windows = told["windows"]
    assert windows[-1]["end"] == pytest.approx(seconds, abs=0.05)
    assert all(w["end"] - w["start"] < max(1.1, 1.1 * max(gaps) / 1000) for w in windows)
    drawn = [start for start, _ in read_timed(out)]
    assert drawn == pytest.approx([t / 1000 for t in times], abs=0.002)


def test_a_failed_video_leaves_nothing_behind(tmp_path):
    def frames():
        yield 0.0, np.zeros((32, 32, 3), np.uint8)
        raise UserError("the source broke")

    with pytest.raises(UserError, match="the source broke"):
        write_video(tmp_path / "o.mp4", frames())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("duration", [4.0, 75.0, 7205.0, 40_000.0])
def test_the_labels_of_the_timeline_are_whole(duration):
    """No ink at the edges of the picture, none of a name across the end of its stretch."""
    p = (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    long, short = (
        Window(0, 0.6 * duration, 9, 9, p, "Surprise"),
        Window(0.6 * duration, 0.64 * duration, 9, 9, p, "Disgust"),
    )
    line = [(w.start, w.end, w) for w in (long, short)]
    frame = np.zeros((336, 640, 3), np.uint8)
    image = annotate.compose(frame, None, None, None, line, duration, duration, "statement")
    strip = image[-annotate.STRIP : -annotate.STRIP + 32].astype(int)
    assert (strip[:, :3] == annotate._PAPER).all()
    assert (strip[:, -3:] == annotate._PAPER).all()
    assert (strip[12:24, :52] != annotate._PAPER).any()


@pytest.mark.parametrize(("seconds", "text"), [(3.14, "3.1 s"), (75, "1:15"), (7205, "2:00:05")])
def test_clock(seconds, text):
    assert annotate.clock(seconds) == text


# --- webcam --------------------------------------------------------------------------------------


def test_without_a_camera_the_file_is_watched(face_model, folder):
    recognizer = Recognizer(face_model, Options(window=0.8))
    recognizer._backend = Squares()
    shown = []
    windows = watch(
        recognizer, camera=-1, fallback=folder, seconds=1.4, show=shown.append, every=10
    )
    assert len(shown) == 4  # 1.4 s are 35 frames, of which each tenth
    assert all(image.shape == shown[0].shape for image in shown)
    assert [round(w.end * 25) for w in windows] == [20, 30, 35]
    assert recognizer.options == Options(window=0.8)  # watching changes nothing here


def test_neither_camera_nor_file_is_told():
    with pytest.raises(UserError, match="no camera"):
        open_source(camera=-1)


# --- real people ---------------------------------------------------------------------------------


def test_a_real_video_from_file_to_annotated_file(face_model, tmp_path, capsys):
    source = real("single_face")
    out = tmp_path / "out.mp4"
    assert run(source, "--model", face_model, "--annotate", out, "--window", 1.0) == 0
    assert "face in 100 % of the frames" in capsys.readouterr().out
    assert len(list(read_frames(out))) == 72


def test_a_real_video_that_loses_its_face(face_model, capsys):
    assert run(real("face_noface"), "--model", face_model, "--window", 1.0) == 0
    printed = capsys.readouterr().out
    assert "no face" in printed
    assert "face in 72 of 169 frames" in printed
