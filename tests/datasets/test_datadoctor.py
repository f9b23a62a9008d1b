import argparse
import itertools
import shutil
import time
from dataclasses import replace

import av
import numpy as np
import pytest
from miniatures import make_cremad, make_dfew, make_folder, make_ravdess, pattern, write_video

from ecstfl.cli.data import add_data
from ecstfl.datasets import doctor as datadoctor
from ecstfl.datasets.csv_list import inspect_csv
from ecstfl.datasets.dfew import inspect_dfew
from ecstfl.datasets.doctor import examine
from ecstfl.datasets.doctor_report import report_text
from ecstfl.datasets.folder import inspect_folder
from ecstfl.datasets.opening import inspect_data


def run(*words):
    parser = argparse.ArgumentParser()
    add_data(parser)
    args = parser.parse_args(["doctor", *map(str, words), "--quiet"])
    return args.run(args)


def found(survey, **options):
    return {f.kind: f for f in examine(survey, **options).inspection.findings}


@pytest.fixture
def dfew(tmp_path):
    return make_dfew(tmp_path / "dfew")


def test_a_sound_folder_has_no_findings(tmp_path):
    report = examine(inspect_folder(make_folder(tmp_path)))
    assert report.inspection.findings == ()
    assert report.errors == 0
    assert report.count() == (5,) * 7
    assert [report.count(fold) for fold in report.inspection.clipset.folds] == [(1,) * 7] * 5
    assert report.lengths == [16] * 35
    assert "Nothing is wrong." in report_text(report)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("dfew", make_dfew),
        ("ravdess", lambda root: make_ravdess(root, actors=(1, 3), most=2)),
        ("crema-d", lambda root: make_cremad(root, actors=(1001, 1002), most=2)),
    ],
)
def test_miniatures_hold_no_planted_defect(tmp_path, name, make):
    report = examine(inspect_data(name, make(tmp_path)))
    # they are smaller than the published sets, and that is all
    allowed = {"class-counts", "fold-counts", "missing-actor", "missing-clip"}
    assert {f.kind for f in report.inspection.findings} <= allowed
    assert report.errors == 0


def test_frames_are_counted_as_decoded(tmp_path):
    for n, frames in enumerate((3, 15, 16, 31, 32)):
        write_video(tmp_path / "sad" / f"{n}.mp4", pattern(1, n, frames=frames))
    report = examine(inspect_folder(tmp_path))
    assert [p.frames for p in report.probes] == [3, 15, 16, 31, 32]
    short = next(f for f in report.inspection.findings if f.kind == "short-clip")
    assert short.items == ("sad__0", "sad__1")
    assert f"{tmp_path}/sad/0.mp4, 3" in short.message


def test_short_clip_of_images(dfew):
    for n in (15, 16):
        (dfew / "Clip/clip_224x224_16f/00007" / f"{n}.jpg").unlink()
    kinds = found(inspect_dfew(dfew))
    assert kinds["short-clip"].items == ("00007",)
    assert "frame-gap" not in kinds


def test_gap_in_numbered_frames(dfew):
    (dfew / "Clip/clip_224x224_16f/00007/9.jpg").unlink()
    finding = found(inspect_dfew(dfew))["frame-gap"]
    assert finding.items == ("00007",)
    assert finding.message.endswith("00007: 9")


@pytest.mark.parametrize("how", ["cut", "empty", "text"])
def test_damaged_images(dfew, how):
    image = dfew / "Clip/clip_224x224_16f/00010/5.jpg"
    data = image.read_bytes()
    image.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"<html>"}[how])
    finding = found(inspect_dfew(dfew))["damaged"]
    assert finding.items == ("00010",)
    assert "5.jpg" in finding.message


@pytest.mark.parametrize("how", ["cut", "empty", "text", "sound only"])
def test_unreadable_videos(tmp_path, how):
    make_folder(tmp_path)
    video = tmp_path / "fear" / "bob" / "a.mp4"
    data = video.read_bytes()
    if how == "sound only":
        with av.open(str(video), "w") as container:
            stream = container.add_stream("aac", rate=8000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    else:
        video.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"<html>"}[how])
    report = examine(inspect_folder(tmp_path))
    finding = next(f for f in report.inspection.findings if f.kind == "unreadable")
    assert finding.items == ("fear__bob__a",)
    assert report.errors == 1


def test_a_film_that_is_cut_off(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "fear" / "bob" / "a.mp4").unlink()
    video = tmp_path / "fear" / "bob" / "a.mkv"
    write_video(video, pattern(6, 1, frames=200, size=64))
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    finding = found(inspect_folder(tmp_path))["damaged"]
    assert finding.items == ("fear__bob__a",)
    assert f"cut off: {len(data) // 2:,} of {len(data):,} bytes" in finding.message


def test_damaged_in_the_middle(tmp_path):
    make_folder(tmp_path)
    video = tmp_path / "fear" / "bob" / "a.mp4"
    write_video(video, pattern(6, 1, frames=60, size=64))
    with av.open(str(video)) as container:
        positions = [p.pos for p in container.demux(video=0) if p.pos]
    data = bytearray(video.read_bytes())
    for start, stop in itertools.pairwise(positions[30:]):
        data[start:stop] = b"\0" * (stop - start)
    video.write_bytes(data)
    kinds = found(inspect_folder(tmp_path))
    assert kinds.keys() & {"damaged", "unreadable"}
    assert "fear__bob__a" in (kinds.get("damaged") or kinds["unreadable"]).items


def test_wrong_sha256(tmp_path):
    survey = inspect_folder(make_folder(tmp_path))
    clips = list(survey.clipset.clips)
    clips[3] = replace(clips[3], sha256="0" * 64)
    survey = replace(survey, clipset=replace(survey.clipset, clips=tuple(clips)))
    finding = found(survey)["unreadable"]
    assert finding.items == (clips[3].id,)
    assert "sha256" in finding.message


# --- duplicates ------------------------------------------------------------------------------


def test_duplicates_within_and_across_folds(dfew):
    media = dfew / "Clip/clip_224x224_16f"

    def copy(source, target):
        shutil.rmtree(media / target)
        shutil.copytree(media / source, media / target)

    copy("00001", "00022")  # Happy of fold 1 -> Happy of fold 2
    copy("00004", "00007")  # Sad of fold 1 -> Neutral of fold 1
    kinds = found(inspect_dfew(dfew))
    assert kinds["duplicate-across-folds"].items == ("00001 = 00022",)
    assert kinds["duplicate-across-folds"].severity == "error"
    assert "leakage" in kinds["duplicate-across-folds"].message
    assert kinds["duplicate"].items == ("00004 = 00007",)
    assert kinds["duplicate-label"].items == ("00004 = 00007",)


def test_a_clip_in_another_container_is_a_duplicate(tmp_path):
    make_folder(tmp_path)
    source, target = tmp_path / "sad/ann/a.mp4", tmp_path / "sad/bob/a.mkv"
    (tmp_path / "sad/bob/a.mp4").unlink()
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    assert source.read_bytes() != target.read_bytes()
    (finding,) = (f for k, f in found(inspect_folder(tmp_path)).items() if k.startswith("dup"))
    assert finding.items == ("sad__ann__a = sad__bob__a",)
    assert finding.kind == "duplicate-across-folds"


def test_groups_across_folds(tmp_path):
    make_folder(tmp_path / "v", people=("ann", "bob"))
    rows = [f"v/{label}/{p}/a.mp4,{label},ann,{f}" for label in ("sad", "fear")
            for f, p in enumerate(("ann", "bob"), 1)]  # fmt: skip
    path = tmp_path / "c.csv"
    path.write_text("\n".join(["path,label,group,fold", *rows]))
    assert found(inspect_csv(path))["group-across-folds"].items == ("ann",)


# --- the command -----------------------------------------------------------------------------


def test_command_prints_counts_and_findings(dfew, capsys):
    (dfew / "Clip/clip_224x224_16f/00007/9.jpg").unlink()
    assert run("dfew", "--root", dfew) == 0
    text = capsys.readouterr().out
    kinds = ("frame-gap", "short-clip", "class-counts", "fold-counts")
    for words in (*kinds, "Disgust", "published", "15 to 16, median 16", "Layout"):
        assert words in text
    assert text.count("[") == len(kinds)
    counts = [line.split() for line in text.splitlines() if "fold 1" in line or " all" in line]
    assert counts[1:3] == [
        ["fold", "1", *"1" * 7, "7", "(published", "2,341)"], ["all", *"5" * 7, "35"]
    ]  # fmt: skip


def test_command_fails_on_errors(dfew, capsys):
    shutil.rmtree(dfew / "Clip/clip_224x224_16f/00007")
    assert run("dfew", "--root", dfew) == 1
    assert "[error] missing-clip" in capsys.readouterr().out


def test_quick_opens_nothing(dfew, capsys):
    for image in (dfew / "Clip/clip_224x224_16f/00007").iterdir():
        image.write_bytes(b"")
    assert run("dfew", "--root", dfew, "--quick") == 0
    assert "Frames per clip" not in capsys.readouterr().out
    assert run("dfew", "--root", dfew) == 1


def test_ctrl_c_does_not_wait_for_all_clips(tmp_path, monkeypatch):
    survey = inspect_folder(make_folder(tmp_path))
    begun = []

    def stops(clip):
        begun.append(clip.id)
        if len(begun) == 1:
            raise KeyboardInterrupt
        time.sleep(0.1)

    monkeypatch.setattr(datadoctor, "probe", stops)
    with pytest.raises(KeyboardInterrupt):
        examine(survey, workers=1)
    assert len(begun) < len(survey.clipset)
