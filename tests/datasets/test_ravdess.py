from functools import partial

import pytest
from miniatures import make_ravdess, ravdess_names

from ecstfl.datasets.opening import open_data
from ecstfl.datasets.ravdess import CLASS_COUNTS, fold_of, inspect_ravdess
from ecstfl.errors import UserError

open_ravdess = partial(open_data, "ravdess")


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return make_ravdess(tmp_path_factory.mktemp("ravdess"), actors=(1, 3))


@pytest.fixture
def touched(tmp_path):
    """The same names with no content, for what is read from names alone."""
    for actor in (1, 3):
        for name, _ in ravdess_names(actor):
            path = tmp_path / f"Actor_{actor:02d}" / f"{name}.mp4"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(name.encode())
    return tmp_path


def test_reads_speech_without_calm(mini):
    clips = open_ravdess(mini)
    wanted = {n: label for a in (1, 3) for n, label in ravdess_names(a) if label is not None}
    assert len(clips) == 104
    assert {c.id: c.label for c in clips} == wanted
    assert {c.group for c in clips} == {"actor_01", "actor_03"}
    assert any("16 calm takes left out" in note for note in clips.notes)


def test_counts_of_the_full_set_follow_from_the_design():
    counts = [0] * 7
    for actor in range(1, 25):
        for _, label in ravdess_names(actor):
            if label is not None:
                counts[label] += 1
    assert tuple(counts) == CLASS_COUNTS
    assert sum(counts) == 1440 - 24 * 8


def test_folds_are_actor_disjoint_and_keep_pairs_together():
    folds = {actor: fold_of(actor) for actor in range(1, 25)}
    assert set(folds.values()) == {1, 2, 3, 4, 5}
    for man in range(1, 25, 2):
        assert folds[man] == folds[man + 1]
    sizes = sorted(list(folds.values()).count(f) for f in range(1, 6))
    assert sizes == [4, 4, 4, 6, 6]


def test_split_shares_no_actor(mini):
    train, test = open_ravdess(mini).split(1)
    assert {c.group for c in test} == {"actor_01"}
    assert {c.group for c in train} == {"actor_03"}


def test_one_file_per_take(touched):
    for path in list((touched / "Actor_01").iterdir()):
        path.with_name("01" + path.name[2:]).write_bytes(b"with sound")
    for path in list((touched / "Actor_03").iterdir()):
        path.rename(path.with_name("01" + path.name[2:]))
    clips = open_ravdess(touched)
    assert len(clips) == 104
    assert {c.id[:2] for c in clips if c.group == "actor_01"} == {"02"}
    assert {c.id[:2] for c in clips if c.group == "actor_03"} == {"01"}
    assert any("16 calm takes" in note for note in clips.notes)


def test_songs_are_left_out(touched):
    (touched / "Actor_01" / "02-02-03-01-01-01-01.mp4").write_bytes(b"song")
    clips = open_ravdess(touched)
    assert len(clips) == 104
    assert any("1 song takes left out" in note for note in clips.notes)


def test_missing_take(touched):
    (touched / "Actor_03" / "02-01-05-02-01-01-03.mp4").unlink()
    survey = inspect_ravdess(touched)
    (finding,) = survey.of("missing-clip")
    assert finding.items == ("02-01-05-02-01-01-03",)
    assert len(open_ravdess(touched)) == 103


def test_missing_actors_are_named(touched):
    (finding,) = inspect_ravdess(touched).of("missing-actor")
    assert len(finding.items) == 22
    assert "02" in finding.items


@pytest.mark.parametrize(
    ("kind", "severity", "name"),
    [
        ("unknown-name", "warning", "Actor_01/holiday.mp4"),
        ("unknown-name", "warning", "Actor_25/02-01-03-01-01-01-25.mp4"),
        ("unknown-name", "warning", "Actor_01/02-01-01-02-01-01-01.mp4"),  # strong neutral
        ("name-twice", "warning", "copy/Actor_01/02-01-03-01-01-01-01.mp4"),
        ("not-unpacked", "error", "Video_Speech_Actor_04.zip"),
    ],
)
def test_planted_defects(touched, kind, severity, name):
    path = touched / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"planted")
    (finding,) = inspect_ravdess(touched).of(kind)
    assert finding.severity == severity
    assert finding.items == (name.rsplit("/", 1)[-1] if kind == "not-unpacked" else name,)
    if severity == "error":
        with pytest.raises(UserError):
            open_ravdess(touched)
    else:
        assert any(name in note for note in open_ravdess(touched).notes)


def test_one_pair_of_actors_is_not_enough(tmp_path):
    make_ravdess(tmp_path, actors=(1, 2), most=1)
    with pytest.raises(UserError, match="leaves none to train on"):
        open_ravdess(tmp_path)


@pytest.mark.parametrize("there", [False, True])
def test_wrong_root(tmp_path, there):
    root = tmp_path / "root"
    if there:
        (root / "deep").mkdir(parents=True)
        (root / "deep" / "film.mp4").write_bytes(b"")
    with pytest.raises(UserError, match="data set ravdess"):
        open_ravdess(root)


def test_litter(touched):
    clean = inspect_ravdess(touched)
    for name in (
        "Actor_01/._02-01-03-01-01-01-01.mp4",
        "__MACOSX/Actor_01/02-01-03-01-01-01-01.mp4",
        "Actor_01/.ipynb_checkpoints/02-01-03-01-01-01-01.mp4",
    ):
        (touched / name).parent.mkdir(parents=True, exist_ok=True)
        (touched / name).write_bytes(b"litter")
    assert inspect_ravdess(touched) == clean
