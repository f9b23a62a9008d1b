"""Every defect planted in every layout: the doctor names it, `reproduce` ends in one sentence.

The sentence names the file and, where there are lines, the line; exit code 2, no traceback.
"""

import re
import shutil

import numpy as np
import pytest
from miniatures import make_cremad, make_dfew, make_folder, make_ravdess, pattern, write_video

from ecstfl.cli.main import main
from ecstfl.labels import CLASSES

MEDIA = "Clip/clip_224x224_16f"


def split(root, part, fold):
    return root / "EmoLabel_DataSplit" / f"{part}(single-labeled)" / f"set_{fold}.csv"


def append(path, line):
    path.write_text(path.read_text() + line + "\n")


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def put(path, content=b"planted"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def copy(source, target):
    if source.is_dir():
        shutil.rmtree(target)
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def in_csv(root, old, new):
    change(root / "clips.csv", old, new)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
TAKE = "02-01-03-01-01-01-01"

# data set, what is planted, the finding's kind, its severity, what its sentence must name
DEFECTS = [
    # wrong lists
    ("dfew", lambda r: append(split(r, "test", 1), "16373,1"), "unknown-id", "error",
     "set_1.csv, line 9: clip 16373"),
    ("dfew", lambda r: append(split(r, "test", 2), "abc,1"), "bad-row", "error",
     "set_2.csv, line 9"),
    ("dfew", lambda r: change(split(r, "test", 1), "\n4,2", "\n4,9"), "label-range", "error",
     "set_1.csv, line 3: label 9"),
    ("dfew", lambda r: change(split(r, "test", 1), "\n1,1", "\n1,0"), "label-range", "error",
     "set_1.csv, line 2 has label 0"),
    ("dfew", lambda r: append(split(r, "test", 1), "4,5"), "label-conflict", "error",
     "test(single-labeled)/set_1.csv, line 9"),
    ("dfew", lambda r: append(split(r, "test", 2), "1,1"), "fold-overlap", "error",
     "test(single-labeled)/set_2.csv, line 9"),
    ("dfew", lambda r: split(r, "test", 3).unlink(), "missing-csv", "error", "test set 3"),
    # wrong media
    ("dfew", lambda r: shutil.rmtree(r / MEDIA / "00004"), "missing-clip", "error",
     "00004 (first listed in test(single-labeled)/set_1.csv, line 3)"),
    ("dfew", lambda r: put(r / MEDIA / "16000" / "1.jpg"), "unlisted-clip", "info",
     "1 clips have media"),
    ("dfew", lambda r: put(r / MEDIA / "4.mp4"), "name-twice", "warning", "4.mp4"),
    ("dfew", lambda r: half(r / MEDIA / "00010" / "5.jpg"), "damaged", "warning",
     f"{MEDIA}/00010: image 5.jpg"),
    ("dfew", lambda r: (r / MEDIA / "00007" / "9.jpg").unlink(), "frame-gap", "warning",
     f"{MEDIA}/00007: 9"),
    ("dfew", lambda r: [(r / MEDIA / "00007" / f"{n}.jpg").unlink() for n in (15, 16)],
     "short-clip", "warning", f"{MEDIA}/00007, 14"),
    ("dfew", lambda r: copy(r / MEDIA / "00001", r / MEDIA / "00022"), "duplicate-across-folds",
     "error", f"{MEDIA}/00022"),
    ("dfew", lambda r: copy(r / MEDIA / "00004", r / MEDIA / "00007"), "duplicate-label", "error",
     f"{MEDIA}/00007"),
    ("ravdess", lambda r: (r / f"Actor_01/{TAKE}.mp4").unlink(), "missing-clip", "warning", TAKE),
    ("ravdess", lambda r: shutil.rmtree(r / "Actor_03"), "one-fold", "error", "--actors 1-4"),
    ("ravdess", lambda r: put(r / "Actor_01/holiday.mp4"), "unknown-name", "warning",
     "Actor_01/holiday.mp4"),
    ("ravdess", lambda r: put(r / f"copy/{TAKE}.mp4"), "name-twice", "warning",
     f"copy/{TAKE}.mp4"),
    ("ravdess", lambda r: put(r / "Video_Speech_Actor_04.zip"), "not-unpacked", "error",
     "Video_Speech_Actor_04.zip"),
    ("ravdess", lambda r: half(r / f"Actor_01/{TAKE}.mp4"), "unreadable", "error", f"{TAKE}.mp4"),
    ("ravdess", lambda r: copy(r / f"Actor_01/{TAKE}.mp4",
                               r / f"Actor_03/{TAKE[:-2]}03.mp4"), "duplicate-across-folds",
     "error", f"Actor_03/{TAKE[:-2]}03.mp4"),
    ("crema-d", lambda r: (r / "VideoFlash/1001_DFA_ANG_XX.flv").unlink(), "missing-clip",
     "warning", "1001_DFA_ANG_XX"),
    ("crema-d", lambda r: put(r / "VideoFlash/1001_DFA_ANG_XX.flv", LFS), "lfs-pointer", "error",
     "VideoFlash/1001_DFA_ANG_XX.flv"),
    ("crema-d", lambda r: put(r / "VideoFlash/1001_DFA_SUR_XX.flv"), "unknown-name", "warning",
     "VideoFlash/1001_DFA_SUR_XX.flv"),
    ("crema-d", lambda r: put(r / "again/1001_DFA_ANG_XX.mp4"), "name-twice", "warning",
     "again/1001_DFA_ANG_XX.mp4"),
    ("crema-d", lambda r: put(r / "VideoFlash/1064_IEO_DIS_MD.flv"), "known-broken", "info",
     "1064_IEO_DIS_MD"),
    ("crema-d", lambda r: put(r / "VideoFlash/1001_DFA_ANG_XX.flv", b""), "unreadable", "error",
     "VideoFlash/1001_DFA_ANG_XX.flv"),
    ("folder", lambda r: put(r / "bored/ann/a.mp4"), "unknown-label", "error", "bored"),
    ("folder", lambda r: put(r / "sad/readme.txt"), "not-a-video", "warning", "sad/readme.txt"),
    ("folder", lambda r: copy(r / "sad/ann/a.mp4", r / "sad/a.mp4"), "no-groups", "warning",
     "1 of 36 clips have no group"),
    ("folder", lambda r: [shutil.rmtree(r / e / p) for e in map(str.lower, CLASSES)
                          for p in ("bob", "cy", "dee", "eve")],
     "one-group", "error", "two groups"),
    ("folder", lambda r: [shutil.rmtree(r / c.lower()) for c in CLASSES[1:]],
     "too-small-to-train", "error", "only 4 clip(s) of Happy"),
    ("folder", lambda r: [shutil.rmtree(r / c.lower()) for c in CLASSES[2:]],
     "too-small-to-map", "warning", "fewer than 4 test clips"),
    ("folder", lambda r: shutil.rmtree(r / "disgust"), "class-missing", "warning", "Disgust"),
    ("folder", lambda r: [shutil.rmtree(r / f"disgust/{p}") for p in ("ann", "bob", "cy")],
     "class-not-in-every-fold", "warning", "Disgust"),
    ("folder", lambda r: half(r / "fear/bob/a.mp4"), "unreadable", "error", "fear/bob/a.mp4"),
    ("folder", lambda r: copy(r / "sad/ann/a.mp4", r / "sad/bob/a.mp4"), "duplicate-across-folds",
     "error", "sad/bob/a.mp4"),
    ("folder", lambda r: copy(r / "sad/ann/a.mp4", r / "fear/ann/a.mp4"), "duplicate-label",
     "error", "sad/ann/a.mp4"),
    ("folder", lambda r: write_video(r / "sad/ann/a.mp4", pattern(1, 50, frames=5)), "short-clip",
     "warning", "sad/ann/a.mp4, 5"),
    ("csv", lambda r: in_csv(r, "v/sad/ann/a.mp4", "v/gone.mp4"), "missing-clip", "error",
     "clips.csv, line 7: no such file 'v/gone.mp4'"),
    ("csv", lambda r: in_csv(r, "a.mp4,Sad", "a.mp4,Bored"), "label-range", "error",
     "clips.csv, line 7: unknown expression 'Bored'"),
    ("csv", lambda r: in_csv(r, "a.mp4,Sad", "a.mp4,8"), "label-range", "error",
     "clips.csv, line 7: unknown expression 8"),
    ("csv", lambda r: in_csv(r, "Sad,ann,1", "Sad,ann,zero"), "bad-row", "error",
     "clips.csv, line 7: fold 'zero'"),
    ("csv", lambda r: in_csv(r, "Sad,ann,1", "Sad,ann,"), "fold-missing", "error",
     "clips.csv, line 7: 1 of 35 clips have no fold"),
    ("csv", lambda r: in_csv(r, "Sad,ann,1", "Sad,ann,2"), "group-across-folds", "error",
     "clips.csv, line 7"),
    ("csv", lambda r: append(r / "clips.csv", "v/sad/ann/a.mp4,Sad,ann,2"), "fold-overlap",
     "error", "clips.csv, line 37: v/sad/ann/a.mp4 is in two folds (first on line 7)"),
    ("csv", lambda r: append(r / "clips.csv", "v/sad/ann/a.mp4,Fear,ann,1"), "label-conflict",
     "error", "clips.csv, line 37"),
    ("csv", lambda r: append(r / "clips.csv", "v/sad/ann/a.mp4,Sad,ann,1"), "name-twice",
     "warning", "clips.csv, line 37"),
    ("csv", lambda r: half(r / "v/sad/ann/a.mp4"), "unreadable", "error", "v/sad/ann/a.mp4"),
]  # fmt: skip

IN_CONTENT = {"unreadable", "duplicate-across-folds", "duplicate-label", "duplicate", "damaged",
              "short-clip", "frame-gap"}  # fmt: skip


def make_csv(root, faces=False):
    people = ("ann", "bob", "cy", "dee", "eve")
    make_folder(root / "v", people, faces=faces)
    rows = [
        f"v/{label.lower()}/{person}/a.mp4,{label},{person},{fold}"
        for label in CLASSES
        for fold, person in enumerate(people, 1)
    ]
    (root / "clips.csv").write_text("\n".join(("path,label,group,fold", *rows)) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    make_dfew(root / "dfew")
    make_ravdess(root / "ravdess", actors=(1, 3), most=1)
    make_cremad(root / "crema-d", actors=(1001, 1002), most=1)
    make_folder(root / "folder")
    make_csv(root / "csv")
    return root


@pytest.fixture
def own(made, tmp_path, monkeypatch):
    """A copy to spoil, and the words by which the command line names it."""
    monkeypatch.chdir(tmp_path)

    def take(name):
        root = tmp_path / name
        shutil.copytree(made / name, root)
        if name in ("folder", "csv"):
            return root, [str(root if name == "folder" else root / "clips.csv")]
        return root, [name, "--root", str(root)]

    return take


def names(defect):
    return f"{defect[0]}-{defect[2]}" if isinstance(defect, tuple) else None


@pytest.mark.parametrize("defect", DEFECTS, ids=names)
def test_the_doctor_names_it(own, capsys, defect):
    name, plant, kind, severity, words = defect
    root, data = own(name)
    plant(root)
    code = main(["data", "doctor", *data, "--quiet", "--workers", "1"])
    said = capsys.readouterr().out
    (line,) = re.findall(rf"^\[{severity}\] {kind}: (.*)$", said, re.MULTILINE)
    assert words in line
    assert code == int("[error]" in said)
    if severity == "error":
        assert code == 1


@pytest.mark.parametrize(
    "defect", [d for d in DEFECTS if d[3] == "error" and d[2] not in IN_CONTENT], ids=names
)
def test_reproduce_stops_with_one_sentence(own, capsys, defect):
    name, plant, _, _, words = defect
    root, data = own(name)
    plant(root)
    one_sentence(["reproduce", "--data", *data, "--profile", "smoke"], capsys, words)


@pytest.mark.parametrize("name", ["dfew", "ravdess", "crema-d", "folder", "csv"])
def test_reproduce_stops_at_a_clip_that_cannot_be_read(own, capsys, name):
    """Found before anything is trained; --allow-missing would go on without it."""
    root, data = own(name)
    files = sorted(p for p in root.rglob("*") if p.suffix in (".mp4", ".flv", ".jpg"))
    np.random.default_rng(0).shuffle(files)
    clip = files[0].parent if files[0].suffix == ".jpg" else files[0]
    for file in clip.iterdir() if clip.is_dir() else [clip]:
        file.write_bytes(b"<html>not found</html>")
    one_sentence(
        ["reproduce", "--data", *data, "--profile", "smoke", "--device", "cpu"],
        capsys,
        clip.name,
        "--allow-missing",
    )


def one_sentence(words, capsys, *wanted):
    assert main(words) == 2
    shown = capsys.readouterr()
    (line,) = [x for x in shown.err.splitlines() if x.startswith("ecstfl: ")]
    assert "Traceback" not in shown.err
    for word in wanted:
        assert word in line


@pytest.mark.parametrize("command", [["reproduce", "--profile", "smoke", "--data"],
                                     ["data", "doctor"]], ids=lambda c: c[0])  # fmt: skip
@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (["dfew"], "--root"),
        (["dfew", "--root", "nowhere"], "nowhere"),
        (["dfew", "--root", "."], "EmoLabel_DataSplit"),
        (["ravdess", "--root", "."], "Actor_01"),
        (["crema-d", "--root", "."], "VideoFlash"),
        (["embedded", "--root", "."], "manifest.csv"),
        (["."], "Happy"),
        (["nowhere/at/all"], "unknown data"),
        (["empty.csv"], "empty.csv, line 1"),
        (["half.csv"], "half.csv: cannot be read"),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, list) else "",
)
def test_wrong_places(tmp_path, monkeypatch, capsys, command, data, wanted):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "half.csv").write_bytes(b"\xff\xfe\x00\xd8p")
    one_sentence([*command, *data], capsys, wanted)


@pytest.mark.parametrize("name", ["embedded", "embedded-longtail", "wild"])
def test_the_doctor_knows_the_embedded_data(capsys, name):
    assert main(["data", "doctor", name, "--quick"]) == 0
    said = capsys.readouterr().out
    assert f"Data set {'embedded' if name == 'embedded' else name}" in said
    assert "Nothing is wrong." in said
    assert "rendered faces" in said


@pytest.mark.slow
def test_the_doctor_reads_the_embedded_data(capsys):
    assert main(["data", "doctor", "wild", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "Frames per clip: 24 to 26" in said
    assert "Nothing is wrong." in said
