import re

import numpy as np
import pytest
from miniatures import make_dfew, pattern, write_images, write_split

from ecstfl.datasets.dfew import FOLD_COUNTS, inspect_dfew
from ecstfl.datasets.opening import open_data
from ecstfl.errors import UserError
from ecstfl.labels import DFEW_COUNTS
from ecstfl.video.reading import read_frames

# what the miniature holds, written down apart from the reader: ids 1, 4, 7, ... by fold, then class
IDS = [f"{n:05d}" for n in range(1, 1 + 3 * 35, 3)]
LABELS = list(range(7)) * 5
FOLDS = [fold for fold in range(1, 6) for _ in range(7)]


def open_dfew(root, layout=None, allow_missing=False):
    return open_data("dfew", root, layout=layout, allow_missing=allow_missing)


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return make_dfew(tmp_path_factory.mktemp("dfew"))


@pytest.fixture
def own(tmp_path):
    return make_dfew(tmp_path / "dfew")


def set_csv(root, part, fold):
    return root / "EmoLabel_DataSplit" / f"{part}(single-labeled)" / f"set_{fold}.csv"


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def kinds(root, severity=None):
    return {f.kind for f in inspect_dfew(root).findings if severity in (None, f.severity)}


def test_published_protocol_adds_up():
    assert sum(DFEW_COUNTS) == sum(FOLD_COUNTS) == 11697


def test_reads_ids_labels_folds(mini):
    clips = open_dfew(mini)
    assert list(clips.ids) == IDS
    assert clips.labels.tolist() == LABELS
    assert [c.fold for c in clips] == FOLDS
    assert clips.aligned
    assert not clips.synthetic
    train, test = clips.split(3)
    assert test.ids == tuple(IDS[14:21])
    assert len(train) == 28


@pytest.mark.parametrize(
    "options",
    [
        {"splits": "{part}_single-labeled"},
        {"splits": "{part}(single-labelled)"},
        {"doubled": True},
        {"version": "clip_224x224", "doubled": True},
        {"version": "clip_224x224"},
        {"version": "original"},
        {"first_label": 0},
    ],
    ids=str,
)
def test_layout_variants_mean_the_same(tmp_path, options):
    clips = open_dfew(make_dfew(tmp_path, **options))
    assert list(clips.ids) == IDS
    assert clips.labels.tolist() == LABELS
    assert [c.fold for c in clips] == FOLDS
    assert clips.aligned == (options.get("version") != "original")


def test_layout_of_the_authors_code(tmp_path):
    made = make_dfew(tmp_path / "made", version="clip_224x224")
    root = tmp_path / "root"
    (root / "label").mkdir(parents=True)
    for part in ("train", "test"):
        for fold in range(1, 6):
            source = set_csv(made, part, fold)
            (root / "label" / f"single_{part}set_{fold}.csv").write_text(source.read_text())
    (made / "Clip" / "clip_224x224").rename(root / "data")
    clips = open_dfew(root)
    assert list(clips.ids) == IDS
    assert clips.labels.tolist() == LABELS


def test_a_folder_that_holds_dfew_is_accepted(tmp_path):
    make_dfew(tmp_path / "DFEW")
    assert len(open_dfew(tmp_path)) == 35


def test_frames_come_in_numeric_order(mini):
    clip = open_dfew(mini).clips[0]
    shown = np.stack(list(read_frames(clip.source)))
    wanted = pattern(0, 0)
    assert len(shown) == 16
    # JPEG loses little; frames in the order 1, 10, 11, ... would differ by far more
    assert np.abs(shown.astype(int) - wanted).mean() < 8
    assert np.abs(shown[1].astype(int) - wanted[9]).mean() > 8


def test_the_version_read_is_the_one_asked_for(tmp_path):
    root = make_dfew(tmp_path)
    make_dfew(root, version="original")
    assert open_dfew(root).clips[0].source.is_dir()
    assert open_dfew(root, "original").clips[0].source.name == "1.mp4"
    # equal ids and labels, but results of one kind must not be taken for the other's
    assert (open_dfew(root).name, open_dfew(root, "original").name) == ("dfew", "dfew-original")
    with pytest.raises(UserError, match=r"no clip_224x224 under .*found: clip_224x224_16f, orig"):
        open_dfew(root, "clip_224x224")


def test_miniature_differs_from_the_published_counts_and_says_so(mini):
    survey = inspect_dfew(mini)
    assert {f.kind for f in survey.findings} == {"class-counts", "fold-counts"}
    (finding,) = survey.of("class-counts")
    assert "Disgust 5 (published 145)" in finding.message
    assert any("published" in note for note in open_dfew(mini).notes)


def test_the_published_protocol_has_no_findings(tmp_path):
    """All 11,697 names with the published counts: 29 Disgust in each fold, and so on."""
    per_fold = {fold: [] for fold in range(1, 6)}
    number = 0
    for label, count in enumerate(DFEW_COUNTS):
        for fold in per_fold:
            share = count // 5 + (fold <= count % 5)
            per_fold[fold] += [(number + i + 1, label) for i in range(share)]
            number += share
    assert tuple(map(len, per_fold.values())) == FOLD_COUNTS
    for fold, rows in per_fold.items():
        others = [row for f in per_fold if f != fold for row in per_fold[f]]
        write_split(set_csv(tmp_path, "train", fold), others)
        write_split(set_csv(tmp_path, "test", fold), rows)
    folder = tmp_path / "Clip" / "original"
    folder.mkdir(parents=True)
    for name in range(1, number + 1):
        (folder / f"{name}.mp4").touch()
    survey = inspect_dfew(tmp_path)
    assert survey.findings == ()
    assert len(survey.clipset) == 11697
    assert np.bincount(survey.clipset.split(5)[1].labels)[5] == 29


# --- planted defects: each is found, named, and refused when results would be wrong -------------


def test_missing_clip(own):
    gone = own / "Clip" / "clip_224x224_16f" / "00004"
    for file in gone.iterdir():
        file.unlink()
    (finding,) = inspect_dfew(own).of("missing-clip")
    assert finding.items == ("00004",)  # the folder is there but empty
    gone.rmdir()
    (finding,) = inspect_dfew(own).of("missing-clip")
    assert finding.items == ("00004",)
    with pytest.raises(UserError, match=r"1 of 35 listed clips have no media.*00004"):
        open_dfew(own)
    clips = open_dfew(own, allow_missing=True)
    assert len(clips) == 34
    assert any("00004" in note for note in clips.notes)


def test_missing_csv(own):
    set_csv(own, "test", 3).unlink()
    (finding,) = inspect_dfew(own).of("missing-csv")
    assert finding.items == ("test set 3",)
    with pytest.raises(UserError, match="test set 3"):
        open_dfew(own)


def test_labels_from_zero(tmp_path):
    root = make_dfew(tmp_path)
    for fold in range(1, 6):
        rows = [(int(i), k) for i, k, f in zip(IDS, LABELS, FOLDS, strict=True) if f == fold]
        write_split(set_csv(root, "test", fold), rows, first_label=0)
    assert "label-offset" in kinds(root, "warning")
    assert open_dfew(root).labels.tolist() == LABELS


def test_labels_that_cannot_be_told_apart(tmp_path):
    root = make_dfew(tmp_path)
    for part in ("train", "test"):
        for fold in range(1, 6):
            path = set_csv(root, part, fold)
            lines = [x for x in path.read_text().splitlines() if not x.endswith(",7")]
            path.write_text("\n".join(lines))
    assert "label-ambiguous" in kinds(root, "error")
    with pytest.raises(UserError, match="cannot be told apart"):
        open_dfew(root)


def test_label_outside_the_range(own):
    edit(set_csv(own, "test", 1), "4,2", "4,9")
    survey = inspect_dfew(own)
    (finding,) = survey.of("label-range")
    assert finding.items == ("00004",)
    assert re.search(r"test\(single-labeled\)/set_1\.csv, line 3: label 9", finding.message)
    with pytest.raises(UserError, match=r"set_1\.csv, line 3"):
        open_dfew(own)


def test_labels_zero_and_seven_in_one_file(own):
    edit(set_csv(own, "test", 1), "1,1", "1,0")
    assert "label-range" in kinds(own, "error")
    with pytest.raises(UserError, match="never both"):
        open_dfew(own)


def test_label_conflict(own):
    path = set_csv(own, "test", 1)
    path.write_text(path.read_text() + "4,5\n")
    (finding,) = inspect_dfew(own).of("label-conflict")
    assert finding.items == ("00004",)
    assert re.search(r"set_1\.csv, line 3 \(label 2\) .* line 9 \(label 5\)", finding.message)
    with pytest.raises(UserError, match="one clip, one label"):
        open_dfew(own)


def test_overlapping_test_folds(own):
    path = set_csv(own, "test", 2)
    path.write_text(path.read_text() + "1,1\n")
    (finding,) = inspect_dfew(own).of("fold-overlap")
    assert finding.items == ("00001",)
    with pytest.raises(UserError, match="disjoint"):
        open_dfew(own)


@pytest.mark.parametrize("number", ["0", "16373", "99999"])
def test_unknown_id(own, number):
    path = set_csv(own, "test", 1)
    path.write_text(path.read_text() + f"{number},1\n")
    (finding,) = inspect_dfew(own).of("unknown-id")
    assert finding.items == (number,)
    assert "set_1.csv, line 9" in finding.message


def test_line_that_is_not_a_row(own):
    path = set_csv(own, "test", 1)
    path.write_text(path.read_text() + "abc,1\n5\n")
    lines = [re.search(r"line (\d+)", f.message)[1] for f in inspect_dfew(own).of("bad-row")]
    assert lines == ["9", "10"]


def test_clips_without_a_label_are_only_remarked(own):
    write_images(own / "Clip" / "clip_224x224_16f" / "16000", np.zeros((16, 8, 8, 3), np.uint8))
    (finding,) = inspect_dfew(own).of("unlisted-clip")
    assert (finding.severity, finding.items) == ("info", ("16000",))
    assert "16000" not in open_dfew(own).ids


def test_ids_padded_or_not(tmp_path):
    root = make_dfew(tmp_path, version="original")
    folder = root / "Clip" / "original"
    (folder / "4.mp4").rename(folder / "00004.mp4")
    assert list(open_dfew(root).ids) == IDS
    (folder / "4.mp4").write_bytes(b"another")
    assert "name-twice" in kinds(root, "warning")


def test_litter_beside_clips_and_frames(own):
    """What macOS, a NAS or a notebook leaves behind changes nothing, at any depth."""
    clean = inspect_dfew(own)
    media = own / "Clip" / "clip_224x224_16f"
    for name in ("._00001", ".DS_Store", "@eaDir/00001/1.jpg", "00001/._1.jpg", "00001/Thumbs.db"):
        (media / name).parent.mkdir(parents=True, exist_ok=True)
        (media / name).write_bytes(b"litter")
    for path in (set_csv(own, "test", 1), set_csv(own, "train", 1)):
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7 litter")
    assert inspect_dfew(own) == clean
    (media / "16001").mkdir()  # an empty folder, and one with litter only, hold no clip
    (media / "16002").mkdir()
    (media / "16002" / "._1.jpg").write_bytes(b"litter")
    assert inspect_dfew(own) == clean
    assert len(list(read_frames(clean.clipset.clips[0].source))) == 16


@pytest.mark.parametrize("what", ["nothing", "file", "splits only", "media only"])
def test_wrong_root(tmp_path, what):
    root = tmp_path / "root"
    if what == "file":
        root.write_text("")
    elif what != "nothing":
        make_dfew(root)
        (root / ("Clip" if what == "splits only" else "EmoLabel_DataSplit")).rename(
            tmp_path / "gone"
        )
    with pytest.raises(UserError, match="data set dfew") as caught:
        open_dfew(root)
    assert "\n" not in str(caught.value)
