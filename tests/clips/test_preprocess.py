"""From videos to a set of prepared clips: cache, resumption, reports, bad input."""

import argparse
import csv
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import astronaut, numbered, portrait_clip, real, spoil, write_sound, write_video

from ecstfl.cli import preprocess as preprocesscli
from ecstfl.clips import cache, checksums, held_frames, preprocess, preprocess_set, temporal
from ecstfl.clips.cache import StoredClips
from ecstfl.clips.config import PreprocessConfig
from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.opening import clips_from_inputs
from ecstfl.errors import UserError
from ecstfl.faces import align
from ecstfl.faces.landmark_files import LandmarkTrack
from ecstfl.runs.config import hash_clipset
from ecstfl.video.files import content_sha256

SMALL = PreprocessConfig(frames=4, size=32)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three short portraits, one without a face, one that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    for k in range(3):
        write_video(folder / f"face{k}.mp4", portrait_clip(6 + k, seed=k))
    write_video(folder / "empty.mp4", np.zeros((5, 96, 96, 3), np.uint8))
    (folder / "broken.mp4").write_bytes(b"no video at all" * 50)
    return folder


def clipset(folder, names=("face0", "empty", "face1", "broken", "face2")):
    return ClipSet("test", tuple(Clip(n, folder / f"{n}.mp4", i % 7) for i, n in enumerate(names)))


# --- one clip -----------------------------------------------------------------------------------


def test_one_clip_from_file_and_from_frames(clips):
    config = PreprocessConfig(frames=8, size=48)
    from_file = preprocess.preprocess_clip(clips / "face1.mp4", config)
    assert from_file.frames.shape == (8, 48, 48, 3)
    assert from_file.frames.dtype == np.uint8
    assert from_file.aligned.shape == (7, 48, 48, 3)
    assert from_file.matrices.shape == (7, 2, 3)
    np.testing.assert_array_equal(from_file.kept, np.arange(7))
    assert (from_file.n_source, from_file.coverage) == (7, 1.0)
    assert from_file.backend == "retinaface"
    from ecstfl.video.reading import read_frames

    frames = list(read_frames(clips / "face1.mp4"))
    for source in (frames, np.stack(frames), iter(frames)):
        again = preprocess.preprocess_clip(source, config)
        np.testing.assert_array_equal(again.frames, from_file.frames)
    expected = temporal.normalise_length(from_file.aligned, 8)
    np.testing.assert_array_equal(from_file.frames, expected)


def test_the_crop_sits_on_the_face(clips):
    """The template's eyes and mouth are where the landmarks say, and the matrices map back."""
    config = PreprocessConfig(size=64, smoothing=0)
    clip = preprocess.preprocess_clip(clips / "face0.mp4", config)
    points = np.stack([d.points5 for d in clip.detections]).astype(float)
    there = align.transform_points(points, clip.matrices)
    assert np.abs(there - align.template(64)).mean() < 2.5
    back = align.transform_points(there, align.invert(clip.matrices))
    np.testing.assert_allclose(back, points, atol=1e-6)


def test_every_option_changes_the_clip_as_it_says(clips):
    source = clips / "face2.mp4"
    plain = preprocess.preprocess_clip(source, SMALL)
    for change in (
        {"margin": 0.4},
        {"shift": 0.2},
        {"alignment": "eyes"},
        {"alignment": "none"},
        {"smoothing": 5.0},
        {"temporal": "linear", "frames": 5},
        {"temporal": "uniform"},
        {"follow": False},
    ):
        config = replace(SMALL, **change)
        assert config.key != SMALL.key
        other = preprocess.preprocess_clip(source, config)
        assert other.frames.shape == (config.frames, 32, 32, 3)
        assert not np.array_equal(other.frames[:4], plain.frames)


def test_no_face_is_a_result(clips):
    clip = preprocess.preprocess_clip(clips / "empty.mp4", SMALL)
    assert clip.frames.shape == (0, 32, 32, 3)
    assert (clip.coverage, clip.n_source, len(clip.kept)) == (0, 5, 0)


def test_faceless_frames_are_dropped(clips):
    frames = list(portrait_clip(9))
    for gap in (0, 4, 5):
        frames[gap] = np.zeros_like(frames[gap])
    clip = preprocess.preprocess_clip(frames, SMALL)
    np.testing.assert_array_equal(clip.kept, [1, 2, 3, 6, 7, 8])
    assert clip.coverage == pytest.approx(6 / 9)
    assert clip.frames.mean() > 20  # no black frame among them


@pytest.mark.parametrize("n", [1, 16, 900])
def test_clips_of_1_16_and_900_frames(n):
    landmarks = np.repeat(align.template(90)[None], n, 0)
    backend = LandmarkTrack(landmarks)
    frames = numbered(250, 90, 90)[np.arange(n) % 250]
    clip = preprocess.preprocess_clip(iter(frames), SMALL, backend)
    assert clip.frames.shape == (4, 32, 32, 3)
    assert clip.n_source == n


def test_long_clips_are_read_twice_instead_of_kept(clips, monkeypatch):
    held = preprocess.preprocess_clip(clips / "face1.mp4", SMALL)
    monkeypatch.setattr(held_frames, "HOLD_BYTES", 100_000)  # one frame and a half
    again = preprocess.preprocess_clip(clips / "face1.mp4", SMALL)
    np.testing.assert_array_equal(again.frames, held.frames)
    with pytest.raises(UserError, match="more than 5 frames"):
        preprocess.preprocess_clip(clips / "face1.mp4", replace(SMALL, max_frames=5))


def test_wrong_frames_are_refused():
    for frames in (np.zeros((3, 40, 40), np.uint8), np.zeros((3, 40, 40, 3), np.float32)):
        with pytest.raises(UserError, match=r"expected \(H, W, 3\) uint8"):
            preprocess.preprocess_clip(frames, SMALL)


def test_whole_frames_are_centred_and_kept_in_proportion():
    frames = numbered(5, 20, 40)
    frames[:, :, :20] = 255
    clip = preprocess.preprocess_clip(frames, replace(SMALL, alignment="none", frames=5))
    assert clip.backend == "none"
    picture = clip.frames[1]
    assert (picture[:7] == 0).all()  # black bars above and below
    assert (picture[-7:] == 0).all()
    assert picture[16, 4, 0] == 255
    assert picture[16, 28, 0] == 62


# --- configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "frames=0: expected a whole number in 1..1024"),
        ({"frames": 16.0}, "frames=16.0: expected a whole number"),
        ({"frames": True}, "frames=True"),
        ({"size": 4}, "size=4"),
        ({"margin": -1}, "margin=-1"),
        ({"margin": float("nan")}, "margin=nan"),
        ({"min_coverage": 1.5}, "min_coverage=1.5"),
        ({"alignment": "affine"}, "use one of points5, eyes"),
        ({"temporal": "cubic"}, "use one of tim, linear"),
        ({"backend": "haar"}, "use one of retinaface"),
        ({"follow": 1}, "follow=1"),
        ({"alignment": "rigid68"}, "needs 68 landmarks"),
        ({"backend": "landmarks"}, "needs the option landmarks"),
    ],
)
def test_options_are_checked(change, message):
    with pytest.raises(UserError, match=message):
        PreprocessConfig(**change)


def test_configuration_survives_json_and_its_key_says_what_matters():
    config = PreprocessConfig(margin=-0.2, shift=0.1)
    assert PreprocessConfig(**json.loads(json.dumps(asdict(config)))) == config
    assert config.key == PreprocessConfig(margin=-0.2, shift=0.1, min_coverage=0.9).key
    whole = PreprocessConfig(alignment="none")
    assert whole.key == PreprocessConfig(alignment="none", margin=0.3, backend="retinaface").key


# --- a set of clips -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_set_is_prepared_reported_and_opened_again(clips, tmp_path, n_workers, monkeypatch):
    data = clipset(clips)
    first = preprocess_set.preprocess(data, SMALL, tmp_path, n_workers, progress=False)
    assert first.clipset.ids == ("face0", "face1", "face2")
    assert first.clips.shape == (3, 4, 32, 32, 3)
    np.testing.assert_array_equal(first.coverage, [1, 1, 1])
    for clip, prepared in zip(first.clipset, first.clips, strict=True):
        expected = preprocess.preprocess_clip(clip.source, SMALL)
        np.testing.assert_array_equal(prepared, expected.frames)
    report = first.report
    json.dumps(report)
    assert (report["n_clips"], report["n_kept"], report["n_dropped"]) == (5, 3, 2)
    reasons = {d["id"]: d["reason"] for d in report["dropped"]}
    assert reasons["empty"] == "no face in 5 frames"
    assert "broken.mp4" in reasons["broken"]
    assert report["backends"] == ["retinaface"]
    assert 0.7 < report["mean_coverage"] < 0.8  # 3 of 4 clips
    assert report["frames_read"] == 5 + 6 + 7 + 8
    assert report["config"] == asdict(SMALL)

    track = first.track(1)
    one = preprocess.preprocess_clip(clips / "face1.mp4", SMALL)
    np.testing.assert_array_equal(track.kept, one.kept)
    np.testing.assert_array_equal(track.matrices, one.matrices)
    np.testing.assert_array_equal(track.boxes, np.stack([d.bbox for d in one.detections]))
    np.testing.assert_array_equal(track.points, np.stack([d.points5 for d in one.detections]))

    # opened again: nothing is prepared, in any order, for any subset, whatever the threshold
    monkeypatch.setattr(preprocess_set, "_prepare", lambda *a: pytest.fail("prepared again"))
    again = preprocess_set.preprocess(data, SMALL, tmp_path, n_workers, progress=False)
    np.testing.assert_array_equal(again.clips, first.clips)
    assert again.report["from_cache"] == 5
    assert again.report["dropped"] == report["dropped"]
    turned = ClipSet("turned", data.clips[::-1][:3])
    other = preprocess_set.preprocess(turned, replace(SMALL, min_coverage=0.9), tmp_path)
    assert other.clipset.ids == ("face2", "face1")
    np.testing.assert_array_equal(other.clips, first.clips[[2, 1]])


def test_content_decides_and_not_the_name(clips, tmp_path, monkeypatch):
    cache, folder = tmp_path / "cache", tmp_path / "in"
    folder.mkdir()
    for name in ("face0", "face1", "broken"):
        (folder / f"{name}.mp4").write_bytes((clips / f"{name}.mp4").read_bytes())
    data = clipset(folder, ("face0", "face1", "broken"))
    first = preprocess_set.preprocess(data, SMALL, cache, 0, progress=False)
    for name in ("face0", "face1", "broken"):
        (folder / f"{name}.mp4").rename(folder / f"new-{name}.mp4")
    renamed = clipset(folder, ("new-face0", "new-face1", "new-broken"))
    second = preprocess_set.preprocess(renamed, SMALL, cache, 0, progress=False)
    assert second.report["from_cache"] == 3
    assert "new-broken.mp4" in second.report["dropped"][0]["reason"]
    np.testing.assert_array_equal(second.clips, first.clips)
    # another content under a known name is seen
    time.sleep(0.01)
    (folder / "new-face0.mp4").write_bytes((clips / "face2.mp4").read_bytes())
    third = preprocess_set.preprocess(renamed, SMALL, cache, 0, progress=False)
    assert third.report["from_cache"] == 2
    assert not np.array_equal(third.clips[0], first.clips[0])


def test_replaced_content_is_another_data_set(clips, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("face0", "face1", "broken"):
        shutil.copy(clips / f"{name}.mp4", folder)
    plain = clipset(folder, ("face0", "face1", "broken", "gone"))

    def named(which):
        filled = checksums.with_checksums(which, tmp_path / "cache", progress=False)
        assert filled.ids == which.ids
        return filled, hash_clipset(filled)

    filled, before = named(plain)
    for clip in filled.clips[:3]:
        assert clip.sha256 == hashlib.sha256(clip.source.read_bytes()).hexdigest()
    assert filled.clips[3].sha256 is None  # no file: preprocess() names it
    assert named(plain)[1] == before == named(filled)[1]
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert named(clipset(moved, ("face0", "face1", "broken", "gone")))[1] == before
    shutil.copy(clips / "face2.mp4", folder / "face1.mp4")
    assert named(plain)[1] != before


def test_published_checksums_are_verified(clips, tmp_path):
    good = content_sha256(clips / "face0.mp4")
    data = ClipSet(
        "sums",
        (
            Clip("good", clips / "face0.mp4", 0, sha256=good.upper()),
            Clip("bad", clips / "face1.mp4", 0, sha256=good),
        ),
    )
    prepared = preprocess_set.preprocess(data, SMALL, tmp_path, 0, progress=False)
    assert prepared.clipset.ids == ("good",)
    assert "face1.mp4 is damaged: its SHA-256" in prepared.report["dropped"][0]["reason"]


def test_aligned_sets_are_not_searched_for_faces(clips, tmp_path):
    data = replace(clipset(clips, ("empty", "face0")), aligned=True)
    prepared = preprocess_set.preprocess(data, SMALL, tmp_path, 0, progress=False)
    assert prepared.clipset.ids == ("empty", "face0")
    assert prepared.report["config"]["alignment"] == "none"
    assert prepared.report["backends"] == ["none"]


def test_no_clip_kept_is_a_result(clips, tmp_path):
    prepared = preprocess_set.preprocess(
        clipset(clips, ("empty", "broken")), SMALL, tmp_path, 0, progress=False
    )
    assert prepared.clips.shape == (0, 4, 32, 32, 3)
    assert len(prepared.clipset) == 0
    assert preprocesscli.render_report(prepared.report | {"skipped": []})


def test_landmark_files_are_part_of_the_content(clips, tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    landmarks = np.repeat(align.template(120)[None], 6, 0)
    np.save(marks / "face0.npy", landmarks)
    config = replace(SMALL, backend="landmarks", landmarks=str(marks))
    data = clipset(clips, ("face0", "face1"))
    first = preprocess_set.preprocess(data, config, tmp_path / "c", 0, progress=False)
    assert first.clipset.ids == ("face0",)
    assert "no landmark file face1" in first.report["dropped"][0]["reason"]
    assert first.report["backends"] == ["landmarks"]
    landmarks[:3] = np.nan
    landmarks[3:] += 20
    np.save(marks / "face0.npy", landmarks)
    second = preprocess_set.preprocess(data, config, tmp_path / "c", 0, progress=False)
    assert second.coverage.tolist() == [0.5]
    assert not np.array_equal(second.clips, first.clips)


def test_landmarks_that_no_crop_can_be_fitted_to_are_frames_without_a_face(clips, tmp_path):
    """Programs write zeros where they found nothing: no crash, not even in the contact sheet."""
    from ecstfl.clips.contact_sheet import contact_sheet

    good = np.repeat(align.template(120)[None], 6, 0)
    broken = good.copy()
    broken[0] = 0
    broken[1, 2] = np.inf
    broken[2] = 1e30
    for name, marks in (("face0", broken), ("all", np.zeros((6, 5, 2)))):
        np.save(tmp_path / f"{name}.npy", marks)
    config = replace(SMALL, backend="landmarks", landmarks=str(tmp_path))
    source = clips / "face0.mp4"
    data = ClipSet("marks", (Clip("face0", source), Clip("all", source)))
    prepared = preprocess_set.preprocess(data, config, tmp_path / "c", 0, progress=False)
    np.testing.assert_array_equal(prepared.track(0).kept, [3, 4, 5])
    assert prepared.report["dropped"][0]["reason"] == "no face in 6 frames"
    assert contact_sheet(prepared).shape[2] == 3


def test_landmarks_of_a_longer_video_are_remarked(clips, tmp_path):
    np.save(tmp_path / "face0.npy", np.repeat(align.template(120)[None], 40, 0))
    config = replace(SMALL, backend="landmarks", landmarks=str(tmp_path))
    data = clipset(clips, ("face0",))
    report = preprocess_set.preprocess(data, config, tmp_path / "c", 0, progress=False).report
    (remark,) = report["warnings"]
    assert remark["problems"] == ["the landmark file covers 40 frames, the video has 6"]
    assert "remarks (1):" in preprocesscli.render_report(report)


def test_five_points_are_too_few_for_rigid68(clips):
    config = replace(SMALL, alignment="rigid68", backend="landmarks", landmarks="marks")
    backend = LandmarkTrack(np.repeat(align.template(120)[None], 6, 0))
    with pytest.raises(UserError, match="rigid68 needs 68 landmarks, landmarks gives 5"):
        preprocess.preprocess_clip(clips / "face0.mp4", config, backend)


def test_two_runs_at_once_share_the_work(clips, tmp_path):
    data = clipset(clips)
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(preprocess_set.preprocess, data, SMALL, tmp_path, n_workers, False)
            for n_workers in (0, 1)
        ]
        first, second = (run.result() for run in runs)
    np.testing.assert_array_equal(first.clips, second.clips)
    assert len(entries(tmp_path)) == 5


# --- the cache is never half-written ------------------------------------------------------------


def entries(cache):
    """Finished clips, whatever became of them."""
    return sorted(cache.glob("*/*.npz"))


@pytest.mark.parametrize("cut", ["frames cut", "info cut", "torn", "flipped", "older"])
def test_a_damaged_cache_is_mended(clips, tmp_path, cut):
    data = clipset(clips)
    first = preprocess_set.preprocess(data, SMALL, tmp_path, 0, progress=False)
    (folder,) = (p for p in tmp_path.iterdir() if p.is_dir())
    if cut == "torn":  # killed while it wrote
        (folder / ".some.npy.1234abcd.part").write_bytes(b"x" * 500)
        sorted(folder.glob("*.npz"))[0].unlink()
    elif cut == "older":  # as earlier versions stored clips: not used, not in the way
        for path in folder.glob("*.np?"):
            path.unlink()
        for name in ("frames.bin", "tracks.bin", "index.jsonl", "verified.json"):
            (folder / name).write_bytes(b"whatever")
    elif cut == "flipped":
        for path in folder.glob("*.npy"):
            content = bytearray(path.read_bytes())
            content[-100] ^= 255
            path.write_bytes(content)
    else:
        path = sorted(folder.glob("*.npy" if "frames" in cut else "*.npz"))[0]
        os.truncate(path, path.stat().st_size - 100)
    again = preprocess_set.preprocess(data, SMALL, tmp_path, 0, progress=False)
    np.testing.assert_array_equal(again.clips, first.clips)
    assert again.clipset == first.clipset
    third = preprocess_set.preprocess(data, SMALL, tmp_path, 0, progress=False)
    assert third.report["from_cache"] == 5
    np.testing.assert_array_equal(third.track(2).matrices, first.track(2).matrices)
    assert not list(folder.glob(".*.part"))


def test_a_killed_run_goes_on_where_it_stopped(clips, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(14):
        write_video(folder / f"c{k:02d}.mp4", portrait_clip(5, seed=k))
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from ecstfl.datasets.opening import clips_from_inputs
        from ecstfl.clips.config import PreprocessConfig
        from ecstfl.clips.preprocess_set import preprocess
        data, _ = clips_from_inputs([Path({str(folder)!r})])
        preprocess(data, PreprocessConfig(frames=4, size=32), Path({str(tmp_path / "c")!r}), 2)
        """
    )
    done = 0
    for _ in range(2):  # killed twice, at different places
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and process.poll() is None:
            if len(entries(tmp_path / "c")) >= done + 3:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before, done = done, len(entries(tmp_path / "c"))
        assert done > before
    data, _ = clips_from_inputs([folder])
    resumed = preprocess_set.preprocess(data, SMALL, tmp_path / "c", 2, progress=False)
    assert resumed.report["from_cache"] >= done  # workers finish what they have begun
    fresh = preprocess_set.preprocess(data, SMALL, tmp_path / "d", 0, progress=False)
    np.testing.assert_array_equal(resumed.clips, fresh.clips)
    assert len(entries(tmp_path / "c")) == 14


def test_a_cache_that_cannot_be_written_is_told(clips, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(UserError, match="cannot make cache folder"):
        preprocess_set.preprocess(clipset(clips), SMALL, blocked / "cache", 0)


def test_clips_larger_than_memory_stay_on_disk_in_order(clips, tmp_path, monkeypatch):
    data = clipset(clips)
    turned = ClipSet("turned", data.clips[::-1])
    in_memory = preprocess_set.preprocess(data, SMALL, tmp_path, 0, progress=False)
    monkeypatch.setattr(preprocess_set, "IN_MEMORY", 0)
    for wanted, expected in ((data, in_memory.clips), (turned, in_memory.clips[::-1])):
        stored = preprocess_set.preprocess(wanted, SMALL, tmp_path, 0, progress=False)
        assert isinstance(stored.clips, StoredClips)
        np.testing.assert_array_equal(stored.clips, expected)


def test_a_disk_that_is_full_ends_the_run_and_blames_no_clip(clips, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise UserError("cannot write x: No space left on device; make room")

    monkeypatch.setattr(cache.ClipCache, "save", full)
    with pytest.raises(UserError, match="No space left on device; make room"):
        preprocess_set.preprocess(clipset(clips), SMALL, tmp_path, 0, progress=False)


def test_a_crash_is_named_and_not_remembered(clips, tmp_path, monkeypatch):
    def crash(*rest):
        yield 0, None, "x.mp4: its process ended with code -11"

    data = clipset(clips, ("face0",))
    with monkeypatch.context() as patch:
        patch.setattr(preprocess_set.processes, "run", crash)
        prepared = preprocess_set.preprocess(data, SMALL, tmp_path, 1, progress=False)
        assert "ended with code -11" in prepared.report["dropped"][0]["reason"]
    again = preprocess_set.preprocess(data, SMALL, tmp_path, 0, progress=False)
    assert again.report["n_kept"] == 1


# --- the command --------------------------------------------------------------------------------


def run(arguments):
    parser = argparse.ArgumentParser()
    preprocesscli.add_preprocess(parser)
    return preprocesscli.run_from_arguments(parser.parse_args([str(a) for a in arguments]))


def manifest(folder):
    with (folder / "manifest.csv").open(encoding="utf-8", errors="surrogateescape") as lines:
        return list(csv.DictReader(lines))


def test_command_over_a_folder_full_of_trouble(tmp_path, capsys):
    root = tmp_path / "видео"
    (root / "Happy").mkdir(parents=True)
    (root / "sad" / "clip 1").mkdir(parents=True)
    clip = portrait_clip(6)
    write_video(root / "Happy" / "лицо.mp4", clip)
    write_video(root / "Happy" / "same.mp4", portrait_clip(6, seed=1))
    write_video(root / "Happy" / "same.avi", portrait_clip(6, seed=2), "mjpeg", pix_fmt="yuvj420p")
    for k, frame in enumerate(clip, 1):
        cv2.imwrite(str(root / "sad" / "clip 1" / f"{k}.jpg"), frame[..., ::-1])
    write_sound(root / "sound.mp4")
    (root / "nothing.mp4").write_bytes(b"")
    (root / "text.mov").write_text("not a video")
    (root / "notes.txt").write_text("hello")
    (root / "loop.mkv").symlink_to(root / "loop.mkv")
    (root / "around").symlink_to(root)
    write_video(root / "1x1.mkv", numbered(3, 2, 2)[:, :1, :1], "ffv1", pix_fmt="gray")
    write_video(root / "grey.mkv", clip, "ffv1", pix_fmt="gray16le")
    out = tmp_path / "out"
    code = run([root, "--out", out, "--frames", 4, "--size", 32, "--quiet", "--workers", 2])
    assert code == 1
    report = json.loads((out / "report.json").read_text())
    stored = np.load(out / "clips.npy")
    rows = {line["id"]: line["label"] for line in manifest(out)}
    assert set(rows) == {
        "Happy__лицо",
        "Happy__same.mp4",
        "Happy__same.avi",
        "sad__clip_1",
        "grey",
    }
    assert rows == {i: "Happy" if "Happy" in i else "Sad" if "sad" in i else "" for i in rows}
    reasons = {d["id"]: d["reason"] for d in report["dropped"]}
    assert set(reasons) == {"sound", "nothing", "text", "1x1"}
    assert "no video stream" in reasons["sound"]
    assert "is empty" in reasons["nothing"]
    assert reasons["1x1"] == "no face in 3 frames"
    skipped = {Path(s["path"]).name: s["reason"] for s in report["skipped"]}
    assert set(skipped) == {"notes.txt", "loop.mkv", "around"}
    printed = capsys.readouterr().out
    assert "5 of 9 clips kept" in printed
    assert "left out (4)" in printed
    sheet = cv2.imread(str(out / "contact_sheet.png"))
    assert sheet.shape[0] > 5 * 112
    assert stored.shape == (5, 4, 32, 32, 3)
    # once more: from the cache, the same result
    assert run([root, "--out", out, "--frames", 4, "--size", 32, "--quiet"]) == 1
    assert json.loads((out / "report.json").read_text())["from_cache"] >= 8
    np.testing.assert_array_equal(np.load(out / "clips.npy", allow_pickle=False), stored)


def test_command_over_a_manifest_and_a_file(clips, tmp_path):
    table = clips / "list.csv"
    table.write_text(
        "path,label,group,fold\nface0.mp4,Happy,anna,1\nface1.mp4,7,ben,2\nface2.mp4,,,\n"
    )
    out = tmp_path / "out"
    assert run([table, "--out", out, "--frames", 4, "--size", 32, "--quiet", "--workers", 1]) == 0
    wanted = [("face0", "Happy", "anna", "1"), ("face1", "Fear", "ben", "2"), ("face2", "", "", "")]
    assert [
        tuple(line[n] for n in ("id", "label", "group", "fold")) for line in manifest(out)
    ] == wanted
    one = tmp_path / "one"
    assert run([clips / "face0.mp4", "--out", one, "--frames", 4, "--size", 32, "--quiet"]) == 0
    first, alone = (np.load(folder / "clips.npy")[0] for folder in (out, one))
    np.testing.assert_array_equal(alone, first)


def test_every_option_that_decides_pixels_can_be_given_on_the_command_line():
    parser = argparse.ArgumentParser()
    preprocesscli.add_preprocess(parser)
    args = vars(parser.parse_args(["x.mp4", "--out", "out"]))
    base = asdict(PreprocessConfig())
    assert {name: args[name] for name in base} == base
    changed = ["--threshold", "0.9", "--search-every-frame", "--max-frames", "9"]
    args = vars(parser.parse_args(["x.mp4", "--out", "out", *changed]))
    assert (args["threshold"], args["follow"], args["max_frames"]) == (0.9, False, 9)


def test_contact_sheet_names_clips_in_any_script_and_counts_the_rest(clips, tmp_path):
    from ecstfl.clips import contact_sheet as contactsheet

    data = ClipSet(
        "множество",
        (
            Clip("脸", clips / "face0.mp4"),
            *(Clip(f"{k}", tmp_path / f"{k}.mp4") for k in range(10)),
        ),
    )
    prepared = preprocess_set.preprocess(data, SMALL, tmp_path / "c", 0, progress=False)
    few = contactsheet.contact_sheet(prepared, max_dropped=8)
    assert few.shape[0] == 26 + 18 + 112 + 18 * 9  # title, name, row, eight left out, "2 more"
    assert contactsheet.contact_sheet(prepared, max_dropped=10).shape[0] == few.shape[0] + 18
    assert contactsheet._name("a\nb\udcff") == "a?b?"
    drawn = contactsheet._text_row("脸", 200, 20, 0.5)
    if int(cv2.__version__.split(".")[0]) >= 5:
        assert not np.array_equal(drawn, contactsheet._text_row("?", 200, 20, 0.5))
    assert (drawn < 128).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns path"),
        ("path,label\n", "lists no clips"),
        ("path,label\na.mp4,8\n", "line 2: unknown expression 8"),
        ("path,fold\na.mp4,first\n", "line 2: fold 'first'"),
        ("path,label\n,1\n", "line 2: no such file ''"),
        ("path\nb.mp4\n", "line 2: no such file 'b.mp4'"),
    ],
)
def test_bad_manifests(tmp_path, text, message):
    (tmp_path / "a.mp4").touch()
    table = tmp_path / "list.csv"
    table.write_text(text)
    with pytest.raises(UserError, match=message):
        clips_from_inputs([table])


def test_inputs_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        clips_from_inputs([tmp_path / "none.mp4"])
    with pytest.raises(UserError, match="no video and no frame folder"):
        clips_from_inputs([tmp_path])
    with pytest.raises(UserError, match="nothing to read"):
        clips_from_inputs([])


# --- fuzz ---------------------------------------------------------------------------------------


def fuzz(tmp_path, count, real_files=()):
    rng = np.random.default_rng(count)
    clip = cv2.resize(astronaut()[60:190, 160:290], (96, 96), interpolation=cv2.INTER_AREA)
    clip = np.stack([np.roll(clip, k, 1) for k in range(5)])
    originals = []
    for name, codec, pix_fmt in (
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.flv", "flv", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.mov", "mpeg4", "yuv420p"),
    ):
        path = write_video(tmp_path / name, clip, codec, pix_fmt=pix_fmt)
        originals.append((path.suffix, path.read_bytes()))
    originals += [(path.suffix, path.read_bytes()) for path in real_files]
    folder = tmp_path / "fuzzed"
    folder.mkdir()
    members = []
    for k in range(count):
        suffix, data = originals[k % len(originals)]
        path = folder / f"{k:04d}{suffix}"
        path.write_bytes(spoil(data, rng))
        members.append(Clip(f"{k:04d}", path))
    data = ClipSet("fuzz", tuple(members))
    prepared = preprocess_set.preprocess(data, SMALL, tmp_path / "cache", 2, False, time_limit=60)
    report = prepared.report
    assert report["n_kept"] + report["n_dropped"] == count
    named = {d["id"] for d in report["dropped"]} | set(prepared.clipset.ids)
    assert named == set(data.ids)
    for item in report["dropped"]:
        assert item["reason"]
        assert "longer than" not in item["reason"]  # no hang
        assert "ended with code" not in item["reason"]  # no crash
        assert "Error:" not in item["reason"], item["reason"]  # nothing unforeseen
    assert 0 < report["n_kept"] < count  # the damage does something, and not everything
    # no partial entry: the cache opens whole, and gives what a fresh preparation gives
    again = preprocess_set.preprocess(data, SMALL, tmp_path / "cache", 0, progress=False)
    assert again.report["from_cache"] == count
    np.testing.assert_array_equal(again.clips, prepared.clips)
    for row in rng.choice(len(prepared.clips), 3):
        clip = prepared.clipset.clips[row]
        expected = preprocess.preprocess_clip(clip.source, SMALL)
        np.testing.assert_array_equal(prepared.clips[row], expected.frames)


@pytest.mark.parametrize("count", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_fuzzed_files_end_in_a_clip_or_a_reason(count, tmp_path):
    fuzz(tmp_path, count)


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_damaged_copies_of_real_videos_end_in_a_clip_or_a_reason(count, tmp_path):
    names = ("carphone", "distorted", "no_face", "single_face", "face_noface")
    originals = [cut(real(name), tmp_path / f"{name}{real(name).suffix}") for name in names]
    fuzz(tmp_path, count, originals)


def cut(source, path, packets=12):
    """The first packets of a real file as they are: the same container, codec and encoder."""
    import av

    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in itertools.islice(old.demux(stream), packets):
            if packet.dts is not None:
                packet.stream = copy
                new.mux(packet)
    return path
