import os
import random
import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniatures import make_folder, pattern, write_images, write_video

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.csv_list import inspect_csv
from ecstfl.datasets.folder import inspect_folder
from ecstfl.datasets.folds import assign_folds
from ecstfl.datasets.opening import clips_from_inputs, open_data
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES
from ecstfl.video.files import frame_files
from ecstfl.video.reading import read_frames


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


@pytest.fixture
def table(tmp_path):
    """A CSV of seven classes x five people, and a function that writes lines of one's own."""
    rows = []
    for label in CLASSES:
        for person in "abcde":
            name = f"v/{label}_{person}.mp4"
            touch(tmp_path, name)
            rows.append(f"{name},{label},{person},{'abcde'.index(person) + 1}")

    def write(*extra, header="path,label,group,fold", lines=rows):
        path = tmp_path / "clips.csv"
        path.write_text("\n".join((header, *lines, *extra)) + "\n")
        return path

    return write


def test_one_folder_per_expression(tmp_path):
    touch(tmp_path, *(f"{n.lower()}/{i}.mp4" for n in CLASSES for i in range(6)))
    clips = open_data(tmp_path)
    assert len(clips) == 42
    assert {c.id: c.label for c in clips}["sad__3"] == 1
    assert clips.folds == (1, 2, 3, 4, 5)
    assert any("no group" in note for note in clips.notes)


def test_people_become_groups_and_stay_together(tmp_path):
    clips = open_data(make_folder(tmp_path))
    assert set(clips.groups) == {"ann", "bob", "cy", "dee", "eve"}
    for fold in clips.folds:
        train, test = clips.split(fold)  # refuses shared groups
        assert len(set(test.groups)) == 1
        assert not set(train.groups) & set(test.groups)
        assert sorted(test.labels) == list(range(7))


def test_folders_of_images_are_clips(tmp_path):
    for label in ("happy", "sad"):
        for person in ("ann", "bob"):
            write_images(tmp_path / label / person / "clip1", pattern(0, 0, frames=3))
        write_images(tmp_path / label / "alone", pattern(0, 0, frames=3))
    clips = open_data(tmp_path)
    assert {(c.id, c.group) for c in clips if c.label == 0} == {
        ("happy__ann__clip1", "ann"),
        ("happy__bob__clip1", "bob"),
        ("happy__alone", ""),
    }


@pytest.mark.parametrize(
    ("folder", "label"),
    [("Happiness", 0), ("SADNESS", 1), ("anger", 3), ("surprised", 4), ("Fear", 6), ("7", 6)],
)
def test_names_of_expressions(tmp_path, folder, label):
    touch(tmp_path, f"{folder}/a.mp4", f"{folder}/b.mp4")
    assert set(inspect_folder(tmp_path).clipset.labels) == {label}
    clips, passed = clips_from_inputs([tmp_path])  # preprocess says the same
    assert (set(clips.labels), passed) == ({label}, [])


def test_folder_that_is_no_expression(tmp_path):
    touch(tmp_path, "happy/a.mp4", "bored/b.mp4")
    assert inspect_folder(tmp_path).of("unknown-label")[0].items == ("bored",)
    with pytest.raises(UserError, match="bored are not expressions; name them Happy, Sad"):
        open_data(tmp_path)


def test_ids_are_safe_and_unique(tmp_path):
    touch(tmp_path, "happy/a b.mp4", "happy/a:b.mp4", "happy/a_b.mp4", "happy/é.mp4", "sad/x.mp4")
    touch(tmp_path, "happy/лицо.mp4", "happy/x.avi", "happy/x.mp4", "sad/..y.mp4")
    clips = inspect_folder(tmp_path).clipset
    assert len(set(clips.ids)) == len(clips) == 8
    assert {"happy__лицо", "happy__x.avi", "happy__x.mp4", "sad__x"} <= set(clips.ids)
    assert not re.search(r"[^\w.+-]", "".join(clips.ids))


def test_other_files_are_named(tmp_path):
    touch(tmp_path, "happy/a.mp4", "sad/b.mp4", "happy/readme.txt", "happy/.hidden", "intro.mp4")
    (finding,) = inspect_folder(tmp_path).of("not-a-video")
    assert finding.items == ("happy/readme.txt", "intro.mp4")
    assert "2 other files" in finding.message
    assert str(tmp_path) not in finding.message  # it stands beside results, as a note


LITTER = (
    "happy/._a.mp4", "happy/ann/._a.mp4", "happy/ann/.ipynb_checkpoints/a-checkpoint.mp4",
    "happy/@eaDir/a.mp4/SYNOVIDEO_VIDEO_SCREENSHOT.jpg", "happy/ann/Thumbs.db", "._happy",
    "__MACOSX/happy/ann/._a.mp4", "#recycle/b.mp4", "sad/bob/frames/._1.jpg", ".DS_Store",
    "$RECYCLE.BIN/S-1/$R0.mp4", "sad/.@__thumb/b.mp4", "sad/bob/.Trash-1000/files/b.mp4",
)  # fmt: skip


def test_litter_is_never_data(tmp_path):
    touch(tmp_path, "happy/ann/a.mp4", "happy/bob/b.mp4", "sad/ann/c.mp4", "sad/bob/frames/1.jpg")
    clean = inspect_folder(tmp_path)
    touch(tmp_path, *LITTER)
    assert inspect_folder(tmp_path) == clean
    assert len(clean.clipset) == 4
    clips, passed = clips_from_inputs([tmp_path])
    assert passed == []
    assert [(c.id, c.label, c.group) for c in clips] == [
        (c.id, c.label, c.group) for c in clean.clipset
    ]
    assert [p.name for p in frame_files(tmp_path / "sad/bob/frames")] == ["1.jpg"]


def test_a_picture_beside_videos_does_not_swallow_them(tmp_path):
    names = "happy/ann/a.mp4", "happy/ann/b.mp4", "happy/ann/thumbnail.jpg"
    touch(tmp_path, *names, "sad/ann/x.mp4", "sad/bob/y.mp4", "sad/bob/y/poster.png", "sad/z.JPG")
    inspection = inspect_folder(tmp_path)
    assert [(c.id, c.group) for c in inspection.clipset if c.label == 0] == [
        ("happy__ann__a", "ann"),
        ("happy__ann__b", "ann"),
    ]
    assert "sad__bob__y" in inspection.clipset.ids
    (finding,) = inspection.of("not-a-video")
    assert set(finding.items) == {"happy/ann/thumbnail.jpg", "sad/z.JPG"}
    _, passed = clips_from_inputs([tmp_path])
    assert {p.name for p, _ in passed} == {"thumbnail.jpg", "z.JPG"}


def test_what_is_passed_over_is_named(tmp_path):
    touch(
        tmp_path, "a.mp4", "deep/b.MTS", "deep/poster.jpg", "notes.txt", "._a.mp4", "@eaDir/x.jpg"
    )
    (tmp_path / "empty").mkdir()
    clips, passed = clips_from_inputs([tmp_path, tmp_path / "empty", tmp_path / "gone.mp4"])
    assert [clip.source.name for clip in clips] == ["a.mp4", "b.MTS"]
    said = {path.name: why for path, why in passed}
    assert set(said) == {"poster.jpg", "notes.txt", "empty", "gone.mp4"}
    assert said["gone.mp4"] == "does not exist"


def test_every_ending_that_is_decoded_is_taken(tmp_path):
    endings = ("mp4", "MTS", "m2ts", "VOB", "asf", "mxf", "3g2", "f4v", "dv", "rm", "divx", "qt")
    touch(tmp_path, *(f"{label}/{e}.{e}" for e in endings for label in ("happy", "sad")))
    assert len(inspect_folder(tmp_path).clipset) == 2 * len(endings)


def test_deeper_folders_and_people_outside(tmp_path):
    """A folder below a person is the person's; the label may stand below the person."""
    touch(tmp_path, "happy/ann/session 1/a.mp4", "happy/ann/session 2/deep/b.mp4")
    touch(tmp_path, "bob/sad/c.mp4", "bob/HAPPY/d.mp4", "cy/x/sad/e.mp4", "sad/dee/f.mp4")
    said = {c.source.name[0]: (c.label, c.group) for c in inspect_folder(tmp_path).clipset}
    assert said == {
        "a": (0, "ann"), "b": (0, "ann"), "c": (1, "bob"),
        "d": (0, "bob"), "e": (1, "cy/x"), "f": (1, "dee"),
    }  # fmt: skip


def test_one_person_whose_name_two_systems_wrote(tmp_path):
    """The same letters, composed (most systems) and decomposed (macOS), are one person."""
    touch(tmp_path, "happy/\u00e9/a.mp4", "sad/e\u0301/b.mp4", "happy/x/c.mp4", "sad/x/d.mp4")
    clips = inspect_folder(tmp_path).clipset
    assert sorted(clips.groups) == ["x", "x", "\u00e9", "\u00e9"]
    assert len(clips.folds) == 2


def test_numbers_are_labels_only_where_all_folders_are(tmp_path):
    touch(tmp_path / "a", "1/x.mp4", "7/y.mp4", "sad/z.mp4")
    assert inspect_folder(tmp_path / "a").clipset.labels.tolist() == [0, 6, 1]
    touch(tmp_path / "b", *(f"{n}/x.mp4" for n in range(1, 10)))  # people, perhaps
    assert len(inspect_folder(tmp_path / "b").of("unknown-label")[0].items) == 9
    assert {c.label for c in clips_from_inputs([tmp_path / "b"])[0]} == {None}
    touch(tmp_path / "c", "happy/1/x.mp4", "sad/1/y.mp4")  # persons 1 inside expressions
    assert [(c.label, c.group) for c in inspect_folder(tmp_path / "c").clipset] == [
        (0, "1"),
        (1, "1"),
    ]


def test_stills_of_many_people_are_not_one_clip(tmp_path):
    """One folder of pictures per expression is a set of stills, not of films."""
    touch(tmp_path, *(f"{label}/{n}.jpg" for label in ("happy", "sad") for n in range(9)))
    with pytest.raises(UserError, match=r"holds no clips.*give each clip its folder"):
        inspect_folder(tmp_path)
    with pytest.raises(UserError, match="give each clip its folder"):
        clips_from_inputs([tmp_path])


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_names_that_are_not_utf_8(tmp_path):
    for n, label in enumerate((b"happy", b"sad") * 2):
        folder = os.fsencode(tmp_path) + b"/" + label + b"/caf\xe9"
        os.makedirs(folder, exist_ok=True)
        with open(folder + b"/f\xfc%d.mp4" % n, "wb") as file:
            file.write(b"%d" % n)
    inspection = inspect_folder(tmp_path)
    assert inspection.of("one-group")
    assert len(inspection.clipset) == 4
    "".join(
        [*inspection.clipset.ids, *inspection.clipset.groups]
    ).encode()  # ids are plain text, whatever the name


def test_too_little_to_learn_from(tmp_path):
    """A happy and a sad clip: each fold leaves one expression to train on."""
    touch(tmp_path, "happy/a.mp4", "sad/b.mp4")
    (finding,) = inspect_folder(tmp_path).of("too-small-to-train")
    assert "without fold 1 only 1 clip(s) of" in finding.message
    with pytest.raises(UserError, match="at least two expressions are needed"):
        open_data(tmp_path)
    touch(tmp_path, "happy/c.mp4", "sad/d.mp4", "happy/e.mp4", "sad/f.mp4")
    assert len(open_data(tmp_path)) == 6
    assert inspect_folder(tmp_path).of("too-small-to-map")
    touch(tmp_path, *(f"{label}/{n}.mp4" for label in ("happy", "sad") for n in range(20)))
    assert not inspect_folder(tmp_path).of("too-small-to-map")


@pytest.mark.parametrize("there", [False, True])
def test_wrong_folder(tmp_path, there):
    root = tmp_path / "root"
    if there:
        root.mkdir()
    with pytest.raises(UserError):
        open_data(root)


# --- CSV -------------------------------------------------------------------------------------


def test_csv(table):
    clips = open_data(table())
    assert len(clips) == 35
    assert clips.clips[5].label == 1
    assert clips.clips[5].fold == 1
    assert clips.split(2)[1].groups.tolist() == ["b"] * 7


def test_csv_with_numbers_as_labels(table, tmp_path):
    touch(tmp_path, "x.mp4", "y.mp4", "z.mp4", "w.mp4", "v.mp4")
    lines = ["1,x.mp4", "7,y.mp4", "joy,z.mp4", " fearful ,w.mp4", "7,v.mp4"]
    clips = open_data(table(header="label,path", lines=lines))
    assert clips.labels.tolist() == [0, 6, 0, 6, 6]
    assert clips.folds == (1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("gone.mp4,Happy,a,1", "missing-clip", "no such file 'gone.mp4'"),
        (",Happy,a,1", "missing-clip", "no such file"),
        ("v/extra.mp4,Bored,a,1", "label-range", "unknown expression 'Bored'"),
        ("v/extra.mp4,0,a,1", "label-range", "unknown expression 0"),
        ("v/extra.mp4,8,a,1", "label-range", "unknown expression 8"),
        ("v/extra.mp4,Happy,a,0", "bad-row", "fold '0'"),
        ("v/extra.mp4,Happy,a,x", "bad-row", "fold 'x'"),
        ("v/extra.mp4,Happy,a,", "fold-missing", "have no fold"),
        ("v/extra.mp4,Happy,a,2", "group-across-folds", "share"),
        ("v/Sad_a.mp4,Sad,a,2", "fold-overlap", "is in two folds (first on line 7)"),
        ("v/../v/Sad_a.mp4,Fear,a,1", "label-conflict", "two labels (first on line 7)"),
    ],
)
def test_planted_defects(table, tmp_path, line, kind, words):
    touch(tmp_path, "v/extra.mp4")
    path = table(line)
    (finding,) = inspect_csv(path).of(kind)
    assert words in finding.message
    if kind not in ("fold-missing", "group-across-folds"):
        assert f"{path}, line 37" in finding.message
    with pytest.raises(UserError):
        open_data(path)


def test_a_clip_listed_twice_the_same_way(table):
    path = table("v/Sad_a.mp4,Sad,a,1")
    assert inspect_csv(path).of("name-twice")
    assert len(open_data(path)) == 35


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "path,label\n"])
def test_csv_without_sense(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"x\.csv"):
        open_data(path)


def test_csv_that_is_not_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe\x00\xd8p")  # half a letter of UTF-16
    with pytest.raises(UserError, match="cannot be read"):
        open_data(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_what_spreadsheets_write(tmp_path, encoding, comma):
    lines = ["path,label,group", "Glück/é 1.mp4,Happy,Jörg", "Glück/2.mp4,Sadness,Zoë"]
    touch(tmp_path, "Glück/é 1.mp4", "Glück/2.mp4")
    path = tmp_path / "x.csv"
    path.write_bytes("\r\n".join(lines).replace(",", comma).encode(encoding))
    assert [(c.label, c.group) for c in inspect_csv(path).clipset] == [(0, "Jörg"), (1, "Zoë")]
    assert len(clips_from_inputs([path])[0]) == 2


def test_what_programs_add(tmp_path):
    """Excel's first line, and whole numbers that pandas writes with a point."""
    touch(tmp_path, "a.mp4", "b.mp4")
    path = tmp_path / "x.csv"
    path.write_text("sep=;\npath;label;fold\na.mp4;1.0;1.0\nb.mp4;7.0;2.0\n")
    assert [(c.label, c.fold) for c in inspect_csv(path).clipset] == [(0, 1), (6, 2)]


def test_paths_written_elsewhere(tmp_path):
    """Backslashes of Windows, letters composed otherwise (macOS), and what stays missing."""
    touch(tmp_path, "v/happy/a.mp4", "v/é.mp4")
    path = tmp_path / "x.csv"
    rows = ["path,label", "v\\happy\\a.mp4,Happy", "v\\e\u0301.mp4,Sad", "C:\\v\\b.mp4,Sad"]
    path.write_text("\n".join(rows), encoding="utf-8")
    inspection = inspect_csv(path)
    assert [c.source.name for c in inspection.clipset] == ["a.mp4", "é.mp4"]
    (finding,) = inspection.of("missing-clip")
    assert "line 4" in finding.message
    assert "written on Windows: give it relative to the CSV file" in finding.message
    clips, passed = clips_from_inputs([path])
    assert len(clips) == 2
    assert [why for _, why in passed] == [finding.message]


# --- folds -----------------------------------------------------------------------------------


def clipset(pairs):
    clips = (Clip(str(i), None, label, group) for i, (label, group) in enumerate(pairs))
    return ClipSet("test", tuple(clips))


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(["", *"abcdefgh"])), min_size=2, max_size=80
    )
)
def test_folds_never_share_a_group(pairs):
    groups = {g or str(i) for i, (_, g) in enumerate(pairs)}
    if len(groups) < 2:
        with pytest.raises(UserError, match="one group"):
            assign_folds(clipset(pairs))
        return
    made = assign_folds(clipset(pairs))
    assert [c.id for c in made] == [str(i) for i in range(len(pairs))]
    assert 2 <= len(made.folds) <= 5
    assert made.folds == tuple(range(1, len(made.folds) + 1))
    for fold in made.folds:
        train, test = made.split(fold)
        assert len(train)
        assert len(test)
    assert made == assign_folds(clipset(pairs))


def test_folds_are_stratified():
    pairs = [
        (label, f"p{p}") for p in range(20) for label in range(7) for _ in range(1 + label % 2)
    ]
    random.Random(0).shuffle(pairs)
    made = assign_folds(clipset(pairs))
    counts = np.array(
        [np.bincount(made.labels[[c.fold == f for c in made]], minlength=7) for f in made.folds]
    )
    assert (counts == counts[0]).all()


def test_a_rare_class_is_said(tmp_path):
    touch(tmp_path, *(f"happy/{i}.mp4" for i in range(9)), "disgust/a.mp4")
    (finding,) = inspect_folder(tmp_path).of("class-not-in-every-fold")
    assert finding.items == ("Disgust",)
    (finding,) = inspect_folder(tmp_path).of("class-missing")
    assert finding.items == ("Sad", "Neutral", "Angry", "Surprise", "Fear")


def test_videos_are_read(tmp_path):
    for n in range(2):
        write_video(tmp_path / "sad" / f"{n}.mp4", pattern(1, n))
    clip, _ = inspect_folder(tmp_path).clipset
    assert sum(1 for _ in read_frames(clip.source)) == 16
