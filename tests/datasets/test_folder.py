import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniatures import make_folder, pattern, write_images, write_video

from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.folder import assign_folds, open_csv, open_folder, survey_csv, survey_folder
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES


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
    clips = open_folder(tmp_path)
    assert len(clips) == 42
    assert {c.id: c.label for c in clips}["sad__3"] == 1
    assert clips.folds == (1, 2, 3, 4, 5)
    assert any("no group" in note for note in clips.notes)


def test_people_become_groups_and_stay_together(tmp_path):
    clips = open_folder(make_folder(tmp_path))
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
    clips = open_folder(tmp_path)
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
    assert set(open_folder(tmp_path).labels) == {label}


def test_folder_that_is_no_expression(tmp_path):
    touch(tmp_path, "happy/a.mp4", "bored/b.mp4")
    assert survey_folder(tmp_path).of("unknown-label")[0].items == ("bored",)
    with pytest.raises(UserError, match="bored are not expressions; name them Happy, Sad"):
        open_folder(tmp_path)


def test_ids_are_safe_and_unique(tmp_path):
    touch(tmp_path, "happy/a b.mp4", "happy/a-b.mp4", "happy/a_b.mp4", "happy/é/../x.mp4")
    clips = open_folder(tmp_path)
    assert len(set(clips.ids)) == len(clips) == 4
    assert all(i.isascii() and i.replace("_", "").replace("-", "").isalnum() for i in clips.ids)


def test_other_files_are_remarked(tmp_path):
    touch(tmp_path, "happy/a.mp4", "happy/b.mp4", "happy/readme.txt", "happy/.hidden")
    (finding,) = survey_folder(tmp_path).of("not-a-video")
    assert finding.items == ("happy/readme.txt",)


@pytest.mark.parametrize("there", [False, True])
def test_wrong_folder(tmp_path, there):
    root = tmp_path / "root"
    if there:
        root.mkdir()
    with pytest.raises(UserError):
        open_folder(root)


# --- CSV -------------------------------------------------------------------------------------


def test_csv(table):
    clips = open_csv(table())
    assert len(clips) == 35
    assert clips.clips[5].label == 1
    assert clips.clips[5].fold == 1
    assert clips.split(2)[1].groups.tolist() == ["b"] * 7


def test_csv_with_numbers_as_labels(table, tmp_path):
    touch(tmp_path, "x.mp4", "y.mp4")
    clips = open_csv(table(header="label,path", lines=["1,x.mp4", "7,y.mp4"]))
    assert clips.labels.tolist() == [0, 6]
    assert clips.folds == (1, 2)


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
    (finding,) = survey_csv(path).of(kind)
    assert words in finding.message
    if kind not in ("fold-missing", "group-across-folds"):
        assert f"{path}, line 37" in finding.message
    with pytest.raises(UserError):
        open_csv(path)


def test_a_clip_listed_twice_the_same_way(table):
    path = table("v/Sad_a.mp4,Sad,a,1")
    assert survey_csv(path).of("name-twice")
    assert len(open_csv(path)) == 35


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "path,label\n"])
def test_csv_without_sense(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"x\.csv"):
        open_csv(path)


def test_csv_that_is_not_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="cannot be read"):
        open_csv(path)


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
    (finding,) = survey_folder(tmp_path).of("class-not-in-every-fold")
    assert finding.items == ("Disgust",)
    (finding,) = survey_folder(tmp_path).of("class-missing")
    assert finding.items == ("Sad", "Neutral", "Angry", "Surprise", "Fear")


def test_videos_are_read(tmp_path):
    for n in range(2):
        write_video(tmp_path / "sad" / f"{n}.mp4", pattern(1, n))
    from ecstfl.video.reading import read_frames

    assert sum(1 for _ in read_frames(open_folder(tmp_path).clips[0].source)) == 16
