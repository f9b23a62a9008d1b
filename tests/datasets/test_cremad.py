from functools import partial

import pytest
from miniatures import cremad_names, make_cremad

from ecstfl.datasets.cremad import BROKEN, fold_of, inspect_cremad
from ecstfl.datasets.opening import open_data
from ecstfl.errors import UserError

open_cremad = partial(open_data, "crema-d")

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:10dc3fd1f2bc8203657431598bd7dc9312462008f93d08fda786043ae6a8d2f4\nsize 265922\n"
)


def touch(root, actors):
    folder = root / "VideoFlash"
    folder.mkdir(parents=True, exist_ok=True)
    for actor in actors:
        for name, _ in cremad_names(actor):
            (folder / f"{name}.flv").write_bytes(name.encode())
    return root


@pytest.fixture
def touched(tmp_path):
    return touch(tmp_path, (1001, 1002))


def test_reads_videos(tmp_path):
    clips = open_cremad(make_cremad(tmp_path, actors=(1001, 1002), most=1))
    assert len(clips) == 12
    assert {c.id: c.label for c in clips}["1002_DFA_SAD_XX"] == 1
    assert clips.clips[0].source.suffix == ".flv"
    assert any("no Surprise" in note for note in clips.notes)


def test_labels_groups_and_folds(touched):
    clips = open_cremad(touched)
    wanted = {n: label for a in (1001, 1002) for n, label in cremad_names(a)}
    assert {c.id: c.label for c in clips} == wanted
    assert {(c.group, c.fold) for c in clips} == {("actor_1001", 1), ("actor_1002", 2)}


def test_design_of_the_published_set():
    names = {n for actor in range(1001, 1092) for n, _ in cremad_names(actor)}
    assert len(names) == 91 * 82 == 7442 + 20
    assert set(BROKEN) <= names


def test_every_actor_has_one_fold_of_five():
    folds = [fold_of(actor) for actor in range(1001, 1092)]
    assert sorted(set(folds)) == [1, 2, 3, 4, 5]
    assert [folds.count(f) for f in range(1, 6)] == [19, 18, 18, 18, 18]


def test_known_broken_takes_are_left_out(tmp_path):
    touch(tmp_path, (1064, 1076, 1077))
    survey = inspect_cremad(tmp_path)
    (finding,) = survey.of("known-broken")
    assert set(finding.items) == set(BROKEN)
    assert not set(BROKEN) & set(open_cremad(tmp_path).ids)
    assert not survey.of("missing-clip")


def test_missing_take(touched):
    (touched / "VideoFlash" / "1002_TIE_FEA_XX.flv").unlink()
    (finding,) = inspect_cremad(touched).of("missing-clip")
    assert finding.items == ("1002_TIE_FEA_XX",)


def test_a_name_that_ends_in_one_x_is_the_same_take(touched):
    folder = touched / "VideoFlash"
    (folder / "1002_ITH_SAD_XX.flv").rename(folder / "1002_ITH_SAD_X.flv")
    survey = inspect_cremad(touched)
    assert not survey.of("missing-clip")
    assert "1002_ITH_SAD_X" in survey.clipset.ids


def test_placeholders_of_git_lfs(touched):
    (touched / "VideoFlash" / "1001_DFA_ANG_XX.flv").write_bytes(POINTER)
    (finding,) = inspect_cremad(touched).of("lfs-pointer")
    assert finding.items == ("VideoFlash/1001_DFA_ANG_XX.flv",)
    with pytest.raises(UserError, match="git-lfs placeholders"):
        open_cremad(touched)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("unknown-name", "VideoFlash/1099_DFA_ANG_XX.flv"),
        ("unknown-name", "VideoFlash/1001_DFA_SUR_XX.flv"),
        ("name-twice", "again/1001_DFA_ANG_XX.mp4"),
    ],
)
def test_planted_defects(touched, kind, name):
    path = touched / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"planted")
    (finding,) = inspect_cremad(touched).of(kind)
    assert finding.items == (name,)
    assert name in finding.message


def test_one_actor_is_not_enough(tmp_path):
    with pytest.raises(UserError, match="leaves none to train on"):
        open_cremad(touch(tmp_path, (1001,)))


def test_wrong_root(tmp_path):
    with pytest.raises(UserError, match="VideoFlash"):
        open_cremad(tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        open_cremad(tmp_path / "nowhere")


def test_litter(touched):
    clean = inspect_cremad(touched)
    for name in (
        "VideoFlash/._1001_DFA_ANG_XX.flv",
        "__MACOSX/VideoFlash/1001_DFA_ANG_XX.flv",
        "VideoFlash/.ipynb_checkpoints/1001_DFA_ANG_XX.flv",
    ):
        (touched / name).parent.mkdir(parents=True, exist_ok=True)
        (touched / name).write_bytes(b"litter")
    assert inspect_cremad(touched) == clean
