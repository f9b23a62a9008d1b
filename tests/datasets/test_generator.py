"""The generator of the embedded data: same seed, same clip; bad input; interrupted runs."""

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.generator import pack as packing
from data.generator.__main__ import main
from data.generator.clip import FACELESS, render_clip
from data.generator.expression import (
    PROTOTYPES,
    UNIT_NAMES,
    UNITS,
    UNITS_SECOND,
    Manner,
    draw_style,
    perform,
    simulate_votes,
)
from data.generator.figure import unit_weights
from data.generator.geometry import load_head
from data.generator.identity import make_identity
from data.generator.scene import draw_scene
from ecstfl.datasets.embedded import load_truth, open_embedded, read_manifest
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, DFEW_COUNTS

STYLE = draw_style(np.random.default_rng(0))


@pytest.fixture(scope="module")
def person():
    return make_identity(load_head(), 3, seed=1)


def small(person, label="Happy", **options):
    return render_clip(person, label, 1, **{"frames": 8, "size": 96, "difficulty": 0.2, **options})


def test_same_seed_same_clip(person):
    first = small(person)
    again = small(make_identity(load_head(), 3, seed=1))
    difference = np.abs(first.frames.astype(int) - again.frames)
    assert difference.mean() < 0.5
    np.testing.assert_allclose(first.units, again.units, atol=1e-5)
    np.testing.assert_allclose(first.landmarks, again.landmarks, atol=0.05)
    assert first.info == again.info


def test_another_seed_label_or_take_is_another_clip(person):
    first = small(person).frames.astype(int)
    others = (
        render_clip(person, "Happy", 2, frames=8, size=96, difficulty=0.2),
        small(person, "Sad"),
        small(person, take=2),
    )
    for other in others:
        assert np.abs(first - other.frames).mean() > 5


def test_people_of_more_variety_differ_more_and_the_shipped_ones_are_as_they_were():
    head, numbers = load_head(), range(6)
    usual = [make_identity(head, n, seed=1) for n in numbers]
    varied = [make_identity(head, n, seed=1, variety=2.0) for n in numbers]
    same = make_identity(head, 3, seed=1, variety=1.0)
    np.testing.assert_array_equal(same.points, usual[3].points)
    np.testing.assert_array_equal(same.texture, usual[3].texture)
    assert (usual[3].colours[9] == 1).all()  # the shader's own teeth

    mouth, brows = slice(48, 60), slice(17, 27)
    for part in (mouth, brows):
        spread = [
            np.std([p.points[head.landmarks][part] for p in people], axis=0).mean()
            for people in (usual, varied)
        ]
        assert spread[1] > 1.3 * spread[0]
    assert all((p.colours[9] > 1).all() for p in varied)
    lips = [  # against the person's own skin, whose tone differs far more
        np.std([np.log(p.colours[0] / p.texture.mean((1, 2))) for p in people], axis=0)
        for people in (usual, varied)
    ]
    assert (lips[1] > lips[0]).all()
    for before, after in zip(usual, varied, strict=True):  # who they are stays the same
        assert before.params == after.params
        assert before.style == after.style


def _mouth(person, unit, parts):
    """How far the corners go out and up, in distances between the eyes, when a unit is full."""
    head = load_head()
    level = np.array([name == unit for name in UNIT_NAMES], np.float32)
    style = replace(person.style, asymmetry=dict.fromkeys(UNIT_NAMES, 0.0))
    moved = np.tensordot(unit_weights(head, style, level, parts), head.face_units, 1)
    still, after = (points[head.landmarks] for points in (person.points, person.points + moved))
    eyes = np.linalg.norm(still[36:42].mean(0) - still[42:48].mean(0))
    out = np.linalg.norm(after[54] - after[48]) - np.linalg.norm(still[54] - still[48])
    return out / eyes, (after[[48, 54], 1] - still[[48, 54], 1]).mean() / eyes


def test_corrected_mouths_tighten_without_a_smile_and_smile_less_steeply(person):
    for unit in ("AU23", "AU24"):
        wide, raised = _mouth(person, unit, UNITS)  # the shipped clips: nearly a smile
        assert wide > 0.12
        assert raised > 0.03
        wide, raised = _mouth(person, unit, UNITS_SECOND)
        assert abs(wide) < 0.05
        assert raised < 0.03
    (wide, raised), (wide2, raised2) = (_mouth(person, "AU12", p) for p in (UNITS, UNITS_SECOND))
    assert wide2 == pytest.approx(wide, rel=0.15)
    assert 0.5 * raised < raised2 < 0.8 * raised
    for unit in set(UNIT_NAMES) - {"AU12", "AU23", "AU24"}:
        assert _mouth(person, unit, UNITS) == _mouth(person, unit, UNITS_SECOND)


def test_corrected_mouths_reach_the_clip_and_the_usual_ones_are_as_shipped(person):
    usual, same = small(person, "Angry"), small(person, "Angry", manner=Manner(units=1))
    np.testing.assert_array_equal(usual.frames, same.frames)
    other = small(person, "Angry", manner=Manner(units=2))
    np.testing.assert_array_equal(usual.units, other.units)  # the same performance
    assert np.abs(usual.landmarks - other.landmarks)[:, 48:].max() > 1


def test_every_third_frame_of_the_same_performance(person):
    options = {"frames": 25, "difficulty": 0.0, "faceless": "black"}
    whole, third = small(person, **options), small(person, every=3, **options)
    for name in ("units", "landmarks", "landmarks_seen", "box", "pose", "visible"):
        np.testing.assert_array_equal(getattr(third, name), getattr(whole, name)[::3])
    # frames differ by the sensor's noise and the blur of motion only
    difference = np.abs(third.frames.astype(int) - whole.frames[::3])
    assert difference.mean() < 1
    assert third.info["frames"] == len(third.frames) == 9
    assert third.info["faceless_frames"] == (third.frames.max((1, 2, 3)) == 0).sum() >= 1
    same = {"frames", "faceless_frames"}
    assert {k: v for k, v in third.info.items() if k not in same} == {
        k: v for k, v in whole.info.items() if k not in same
    }


def test_landmarks_lie_where_ibug_says(person):
    clip = small(person, "Neutral", faceless="none", occluder="none", difficulty=0.0)
    for points in clip.landmarks[clip.visible]:
        x, y = points.T
        assert x[0] < x[8] < x[16]  # jaw from image left to image right, chin between
        assert y[8] == y.max()
        assert x[36] < x[39] < x[42] < x[45]  # eye corners
        assert (y[17:27] < y[36:48].min()).all()  # brows above eyes
        assert y[37:39].mean() < y[40:42].mean()  # upper lid above lower lid
        assert y[30] < y[51] < y[57] < y[8]  # nose tip, upper lip, lower lip, chin
        assert x[48] < x[51] < x[54]
    inner = clip.landmarks[:, [61, 62, 63]][..., 1] - clip.landmarks[:, [67, 66, 65]][..., 1]
    assert (inner < 2.5).all()  # upper inner lip not below the lower one


def test_landmarks_stay_on_the_face_when_it_turns(person):
    clip = small(person, faceless="none", occluder="none")
    mid = clip.landmarks.mean(1)
    eyes = 0.5 * (clip.landmarks[:, 36:42].mean(1) + clip.landmarks[:, 42:48].mean(1))
    assert (eyes[:, 1] < mid[:, 1]).all()
    box = clip.box[clip.visible]
    assert ((box[:, 2] - box[:, 0]) > 15).all()
    assert ((box[:, 3] - box[:, 1]) > 15).all()


def test_faceless_frames_are_clean(person):
    for kind in FACELESS:
        clip = small(person, faceless=kind, frames=12)
        hidden = clip.frames[~clip.visible]
        assert clip.info["faceless_frames"] >= 2
        assert len(hidden) >= clip.info["faceless_frames"]
        assert np.isnan(clip.box[~clip.visible]).all()
        if kind == "black":
            assert hidden.max() == 0
        if kind == "away":
            assert (np.abs(clip.pose[~clip.visible][:, 0]) > 120).all()


def test_a_hand_hides_what_it_covers(person):
    free = small(person, occluder="none", faceless="none", frames=16)
    covered = small(person, occluder="hand", faceless="none", frames=16)
    assert covered.landmarks_seen.min() < free.landmarks_seen.min() - 0.05


def test_mouth_opens_and_brows_rise_in_surprise(person):
    def opening(clip):
        k = int(clip.units.sum(1).argmax())
        p = clip.landmarks[k]
        scale = np.linalg.norm(p[27] - p[8])
        brow = p[36:48, 1].mean() - p[17:27, 1].mean()
        return (p[66, 1] - p[62, 1]) / scale, brow / scale

    options = {"faceless": "none", "occluder": "none", "difficulty": 0.0, "size": 128}
    surprised, calm = small(person, "Surprise", **options), small(person, "Neutral", **options)
    assert opening(surprised)[0] > opening(calm)[0] + 0.08
    assert opening(surprised)[1] > opening(calm)[1] + 0.02


@pytest.mark.parametrize("label", CLASSES)
def test_core_units_move_at_difficulty_zero(label):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        play = perform(rng, draw_style(rng), label, 24, 0.0)
        peaks = dict(zip(UNIT_NAMES, play.tracks.max(0), strict=True))
        core = PROTOTYPES[label][0]
        assert play.intensity == 1.0
        assert play.second == ""
        for unit in core:
            assert peaks[unit] > 0.12
        if label == "Neutral":
            assert max(v for u, v in peaks.items() if u != "AU45") <= 0.5


def test_the_shipped_clips_are_what_the_generator_still_draws():
    """Options that came later draw no number by default: units as in truth.npz."""
    rows = {row["clip"]: row for row in read_manifest()}
    truth = load_truth()
    for name in ("c0003_happy", "c0050_neutral", "c0120_angry", "w1004_surprise"):
        row = rows[name]
        number, difficulty = int(row["identity"]), float(row["difficulty"])
        key = [2021, number, CLASSES.index(row["label"]), round(1000 * difficulty), 1]
        rng = np.random.default_rng(key)
        draw_scene(rng, 224, difficulty)
        style = make_identity(load_head(), number, 2021).style
        play = perform(rng, style, row["label"], int(row["frames"]), difficulty)
        np.testing.assert_allclose(play.tracks, truth[name].units, atol=1e-3)


def unit(play, name):
    return play.tracks[:, UNIT_NAMES.index(name)]


@pytest.mark.parametrize("label", CLASSES)
def test_a_held_expression_is_there_from_the_first_frame_to_the_last(label):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        play = perform(rng, draw_style(rng), label, 24, 0.0, Manner(hold=1.0))
        for name in PROTOTYPES[label][0]:
            assert unit(play, name).min() > 0.75 * unit(play, name).max() > 0.1


def test_talking_moves_the_mouth_and_leaves_the_rest_of_the_expression():
    moved = np.zeros(2)
    for seed in range(10):
        quiet, talks = (
            perform(np.random.default_rng(seed), STYLE, "Happy", 48, 0.0, Manner(share, hold=1.0))
            for share in (0.0, 1.0)
        )
        assert (quiet.speech, talks.speech) == (False, True)
        for name in ("AU6", "AU12"):
            np.testing.assert_array_equal(unit(talks, name), unit(quiet, name))
        steps = [np.abs(np.diff(unit(play, "AU26"))) for play in (quiet, talks)]
        moved += [step.sum() for step in steps]
        assert steps[1].max() < 0.5  # no jaw jumps from frame to frame
    assert moved[1] > 5 * moved[0]


def test_how_many_talk_and_hold():
    def share(manner, of):
        plays = (
            perform(np.random.default_rng(s), STYLE, "Sad", 24, 0.3, manner) for s in range(300)
        )
        return np.mean([of(play) for play in plays])

    assert share(Manner(talk=0.3), lambda p: p.speech) == pytest.approx(0.3, abs=0.08)
    first = UNIT_NAMES.index("AU15")
    held = share(Manner(hold=0.4), lambda p: p.tracks[0, first] > 0.25)
    assert held == pytest.approx(
        0.4 + 0.6 * share(Manner(), lambda p: p.tracks[0, first] > 0.25), abs=0.1
    )


@given(st.integers(0, 10_000), st.sampled_from(CLASSES), st.floats(0.1, 1))
def test_ten_raters_vote(seed, label, intensity):
    votes = simulate_votes(np.random.default_rng(seed), label, intensity, "", 0.0)
    assert votes.shape == (7,)
    assert votes.sum() == 10
    assert (votes >= 0).all()


def test_raters_agree_more_on_stronger_expressions():
    rng = np.random.default_rng(0)
    k = CLASSES.index("Fear")
    weak = np.mean([simulate_votes(rng, "Fear", 0.2, "", 0)[k] for _ in range(300)])
    strong = np.mean([simulate_votes(rng, "Fear", 0.95, "", 0)[k] for _ in range(300)])
    assert strong > weak + 2


@settings(deadline=None, max_examples=30)
@given(st.integers(5, 60), st.integers(0, 1000))
def test_folds_split_people_and_keep_the_classes_balanced(people, seed):
    rng = np.random.default_rng(seed)
    rows = [
        {"identity": i, "label": c, "gender": float(g), "melanin": float(m)}
        for i, (g, m) in enumerate(rng.random((people, 2)))
        for c in CLASSES
    ]
    packing.assign_folds(rows, seed)
    fold_of = {}
    for row in rows:
        assert fold_of.setdefault(row["identity"], row["fold"]) == row["fold"]
    sizes = Counter(fold_of.values())
    assert set(sizes) == {1, 2, 3, 4, 5}
    assert max(sizes.values()) - min(sizes.values()) <= 1
    tail = Counter(r["label"] for r in rows if r["longtail"])
    for label, count in zip(CLASSES, DFEW_COUNTS, strict=True):
        assert tail[label] == max(1, round(people * count / max(DFEW_COUNTS)))
    disgust = Counter(r["fold"] for r in rows if r["longtail"] and r["label"] == "Disgust")
    assert max(disgust.values()) - min(disgust.get(f, 0) for f in range(1, 6)) <= 1


# --- the command line and interrupted runs -------------------------------------------------------

TINY = ["--identities", "1", "--classes", "Happy,Sad", "--frames", "8", "--size", "64"]


def render(root, *options):
    return main(["render", "--root", str(root), "--workers", "1", *TINY, *options])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--classes", "Happy,Bored"], "unknown expression 'Bored'"),
        (["--split", "tame"], "unknown split 'tame'"),
        (["--frames", "3"], "frames is 3-3"),
        (["--frames", "a-b"], "give one number or LOW-HIGH"),
        (["--size", "65"], "size is 65"),
        (["--difficulty", "0.5-2"], "difficulty is 0.5-2.0"),
        (["--identities", "-4"], "identities is -4"),
        (["--clips", "0"], "clips is 0"),
        (["--talk", "1.5"], "talk is 1.5"),
        (["--hold", "-1"], "hold is -1.0"),
        (["--variety", "4"], "variety is 4.0"),
        (["--variety", "nan"], "variety is nan"),
        (["--units", "3"], "units is 3: use 1 (as shipped) or 2"),
        (["--every", "0"], "every is 0"),
        (["--every", "2"], "every is 2: of 8 frames, at least 8 must be drawn"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_bad_options_are_told_in_one_sentence(tmp_path, capsys, options, said):
    assert render(tmp_path / "new", *options) == 2
    message = capsys.readouterr().err.strip()
    assert said in message
    assert message.startswith("error: ")
    assert "\n" not in message
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label": "Bored"}, "unknown expression"),
        ({"frames": 2}, "frames is 2"),
        ({"size": 10}, "size is 10"),
        ({"difficulty": 1.5}, "difficulty is 1.5"),
        ({"occluder": "cat"}, "unknown occluder 'cat'"),
        ({"faceless": "fog"}, "unknown kind of face-less frames 'fog'"),
        ({"frames": 24, "every": 4}, "every is 4: of 24 frames, at least 8"),
    ],
)
def test_bad_arguments_of_a_clip(person, options, said):
    with pytest.raises(UserError, match=said):
        small(person, **options)


def test_interrupted_render_leaves_nothing_half_written(tmp_path, monkeypatch, capsys):
    pytest.importorskip("av")
    real, calls = packing.encode, []

    def encode(frames, fps=25):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(frames, fps)

    monkeypatch.setattr(packing, "encode", encode)
    assert render(tmp_path) == 130
    assert "run the same command again" in capsys.readouterr().err
    videos = sorted(p.name for p in (tmp_path / "clips").iterdir())
    assert videos == ["c0000_happy.mp4"]
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "manifest.csv").exists()

    before = (tmp_path / "clips/c0000_happy.mp4").read_bytes()
    assert render(tmp_path) == 0
    assert len(calls) == 3  # the finished clip was not rendered again
    assert (tmp_path / "clips/c0000_happy.mp4").read_bytes() == before
    clips = open_embedded(tmp_path)
    truth = load_truth(tmp_path)
    assert clips.ids == ("c0000_happy", "c0000_sad") == truth.clips
    clip = render_clip(0, "Happy", 2021, 8, 64, float(_row(tmp_path, "c0000_happy")["difficulty"]))
    np.testing.assert_allclose(truth["c0000_happy"].landmarks, clip.landmarks, atol=0.07)
    np.testing.assert_allclose(truth["c0000_happy"].units, clip.units, atol=2e-3)
    decoded = _decode(tmp_path / "clips/c0000_happy.mp4")
    assert decoded.shape == clip.frames.shape
    assert np.abs(decoded.astype(int) - clip.frames).mean() < 8


def test_clips_of_fewer_frames_take_as_long(tmp_path):
    av = pytest.importorskip("av")
    assert render(tmp_path, "--frames", "16", "--every", "2", "--classes", "Happy") == 0
    row = _row(tmp_path, "c0000_happy")
    assert (row["frames"], row["fps"]) == ("8", "12.5")
    with av.open(str(tmp_path / row["file"])) as video:
        (stream,) = video.streams.video
        assert float(stream.average_rate) == 12.5
        assert float(stream.duration * stream.time_base) == pytest.approx(16 / 25)


def test_other_options_for_an_unfinished_pack_are_refused(tmp_path, capsys):
    pytest.importorskip("av")
    assert render(tmp_path) == 0
    for other in (["--seed", "5"], ["--talk", "0.5"], ["--units", "2"], ["--variety", "2"]):
        assert render(tmp_path, *other) == 2
        assert "unfinished pack with other options" in capsys.readouterr().err


def test_a_pack_begun_before_there_were_options_goes_on(tmp_path):
    pytest.importorskip("av")
    assert render(tmp_path) == 0
    file = tmp_path / ".parts/options-default.json"
    options = json.loads(file.read_text())
    for later in (("manner", "units"), ("manner",), ("variety",), ("every",)):
        (options[later[0]] if later[1:] else options).pop(later[-1])
        file.write_text(json.dumps(options))
        assert render(tmp_path) == 0
        assert json.loads(file.read_text())["manner"]["units"] == 1
    assert render(tmp_path, "--variety", "2") == 2


def test_a_finished_pack_is_not_overwritten_unasked(tmp_path, capsys):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/c0009_happy.mp4").write_bytes(b"kept")
    (tmp_path / "manifest.csv").write_text("clip\n")
    assert render(tmp_path) == 2
    assert "holds a finished pack" in capsys.readouterr().err
    assert (tmp_path / "clips/c0009_happy.mp4").read_bytes() == b"kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips", "manifest.csv"]


def test_no_disk_space(tmp_path, monkeypatch, capsys):
    class Usage:
        free = 1000

    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: Usage)
    assert render(tmp_path) == 2
    assert "not enough disk space" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.mp4"))


def test_disk_full_while_writing(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="the disk is full"):
        packing._write(tmp_path / "x.mp4", b"1")
    assert not list(tmp_path.iterdir())


def test_finish_notices_a_broken_clip(tmp_path, capsys):
    pytest.importorskip("av")
    assert render(tmp_path, "--no-finish") == 0
    (tmp_path / "clips/c0000_sad.mp4").write_bytes(b"x")
    assert main(["finish", "--root", str(tmp_path)]) == 2
    assert "c0000_sad.mp4 does not match" in capsys.readouterr().err
    assert not (tmp_path / "manifest.csv").exists()


def test_finish_without_clips(tmp_path, capsys):
    assert main(["finish", "--root", str(tmp_path)]) == 2
    assert "nothing to finish" in capsys.readouterr().err


def test_joined_packs_train_on_both_and_test_on_the_first(tmp_path, capsys, monkeypatch):
    pytest.importorskip("av")
    first, second, out = (tmp_path / name for name in ("first", "second", "out"))
    for folder, seed, people in ((first, "1", "5"), (second, "2", "6")):
        options = ["--classes", "Happy", "--frames", "8", "--size", "64", "--workers", "1"]
        more = ["--identities", people, "--seed", seed]
        assert main(["render", "--root", str(folder), *options, *more]) == 0
    with monkeypatch.context() as stopped:  # leaves nothing, and can be started again

        def copyfile(source, target):
            if target.name.startswith("x"):
                raise KeyboardInterrupt
            return real(source, target)

        real = packing.shutil.copyfile
        stopped.setattr(packing.shutil, "copyfile", copyfile)
        assert main(["join", str(first), str(second), str(out)]) == 130
        assert "run the same command again" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]
    assert main(["join", str(first), str(second), str(out)]) == 0
    assert f"11 clips in {out}" in capsys.readouterr().out
    joined, alone, others = (open_embedded(folder) for folder in (out, first, second))
    assert [(c.id, c.group, c.fold) for c in joined][:5] == [(c.id, c.group, c.fold) for c in alone]
    more = list(joined)[5:]
    assert [c.sha256 for c in more] == [c.sha256 for c in others]
    assert {c.fold for c in more} == {2, 3, 4, 5}
    assert len({c.group for c in joined}) == 11  # no two people share a number
    assert not {c.id for c in more} & {c.id for c in alone}

    assert main(["join", str(first), str(second), str(out)]) == 2
    assert "is not an empty folder: name a new one" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["join", str(first), str(second), str(tmp_path / "file")]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert main(["join", str(first), str(first), str(tmp_path / "new")]) == 2
    assert "both rendered with seed 1 and show the same people" in capsys.readouterr().err
    third, fourth = tmp_path / "third", tmp_path / "fourth"
    for folder, seed in ((third, "3"), (fourth, "4")):
        more = ["--identities", "1", "--seed", seed]
        assert main(["render", "--root", str(folder), *options, *more]) == 0
    assert main(["join", str(third), str(out), str(tmp_path / "new")]) == 2
    assert "give the pack that is joined already first" in capsys.readouterr().err
    assert main(["join", str(out), str(third), str(tmp_path / "three")]) == 0
    three = list(open_embedded(tmp_path / "three"))
    assert [(c.id, c.group) for c in three][:11] == [(c.id, c.group) for c in joined]
    assert three[11].sha256 == next(iter(open_embedded(third))).sha256
    assert len({c.group for c in three}) == 12
    assert main(["join", str(tmp_path / "three"), str(third), str(tmp_path / "new")]) == 2
    assert "both rendered with seed 3" in capsys.readouterr().err
    monkeypatch.setattr("data.generator.join.LETTERS", "xy")
    again = ["join", str(tmp_path / "three"), str(fourth), str(tmp_path / "new")]
    assert main(again) == 2
    assert "holds 3 packs already" in capsys.readouterr().err
    assert main(["join", str(first), str(tmp_path / "nowhere"), str(tmp_path / "new")]) == 2
    assert "no embedded data in" in capsys.readouterr().err
    (second / "clips/c0003_happy.mp4").write_bytes(b"x")
    assert main(["join", str(first), str(second), str(tmp_path / "new")]) == 2
    assert "c0003_happy.mp4 is damaged" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def _row(root, clip):
    from ecstfl.datasets.embedded import read_manifest

    return next(r for r in read_manifest(root) if r["clip"] == clip)


def _decode(path):
    import av

    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
