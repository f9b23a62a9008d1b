"""The reader of the embedded data, on a small invented pack and on the real one if present."""

import csv
import hashlib
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ecstfl.datasets.embedded import (
    find_data,
    load_truth,
    open_embedded,
    read_checksums,
    read_manifest,
)
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES, DFEW_COUNTS

REPOSITORY_DATA = Path(__file__).resolve().parents[2] / "data"
needs_pack = pytest.mark.skipif(
    not (REPOSITORY_DATA / "manifest.csv").is_file(), reason="the pack is not in this checkout"
)


def write_pack(root: Path, people: int = 5, frames: int = 3) -> Path:
    """A pack that is right in every respect except that its videos hold no video."""
    rng = np.random.default_rng(0)
    rows, landmarks = [], []
    for split, first in (("default", 0), ("wild", 1000)):
        folder = "clips" if split == "default" else "wild"
        (root / folder).mkdir(parents=True)
        for person in range(first, first + people):
            for label in CLASSES:
                clip = f"c{person:04d}_{label.lower()}"
                content = clip.encode() * 9
                (root / folder / f"{clip}.mp4").write_bytes(content)
                rows.append(
                    {
                        "clip": clip,
                        "file": f"{folder}/{clip}.mp4",
                        "split": split,
                        "label": label,
                        "identity": person,
                        "fold": person % 5 + 1,
                        "longtail": int(label != "Disgust" or person == 0),
                        "frames": frames,
                        "sha256": hashlib.sha256(content).hexdigest(),
                    }
                )
                landmarks.append(rng.integers(0, 1800, (frames, 68, 2)))
    with (root / "manifest.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    n = len(rows)
    visible = np.arange(n * frames) % frames != 1
    box = np.tile(np.float16([10, 20, 110, 140]), (n * frames, 1))
    box[~visible] = np.nan
    np.savez_compressed(
        root / "truth.npz",
        clip=np.array([r["clip"] for r in rows]),
        offset=np.arange(n + 1) * frames,
        unit_names=np.array(["AU1", "AU2"]),
        landmark_steps=np.array(8),
        units=np.linspace(0, 1, n * frames * 2).reshape(-1, 2).astype(np.float16),
        landmarks=np.concatenate(
            [np.diff(x, axis=0, prepend=np.zeros_like(x[:1])) for x in landmarks]
        ).astype(np.int16),
        landmarks_seen=visible.astype(np.float16),
        box=box,
        pose=np.zeros((n * frames, 3), np.float16),
        visible=visible,
    )
    seal(root)
    np.save(root / "landmarks_written.npy", np.array(landmarks))
    return root


def seal(root: Path) -> None:
    files = [root / "manifest.csv", root / "truth.npz", *sorted(root.glob("*/*.mp4"))]
    lines = [
        f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(root).as_posix()}\n"
        for f in files
    ]
    (root / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture
def pack(tmp_path):
    return write_pack(tmp_path / "data")


def test_balanced_and_long_tailed_priors(pack):
    clips = open_embedded(pack)
    assert clips.synthetic
    assert Counter(clips.labels.tolist()) == dict.fromkeys(range(7), 5)
    assert clips.folds == (1, 2, 3, 4, 5)
    tail = open_embedded(pack, prior="longtail")
    assert Counter(tail.labels.tolist())[CLASSES.index("Disgust")] == 1
    assert set(tail.ids) < set(clips.ids)


def test_no_identity_on_both_sides(pack):
    clips = open_embedded(pack)
    for fold in clips.folds:
        train, test = clips.split(fold)
        assert len(train) + len(test) == len(clips)
        assert not set(train.groups) & set(test.groups)


def test_wild_has_its_own_people(pack):
    wild, default = open_embedded(pack, split="wild"), open_embedded(pack)
    assert len(wild) == 35
    assert not set(wild.groups) & set(default.groups)
    assert {wild.name, default.name} == {"wild", "embedded"}


def test_truth_round_trip(pack):
    truth = load_truth(pack)
    written = np.load(pack / "landmarks_written.npy")
    assert list(truth) == [row["clip"] for row in read_manifest(pack)]
    for i, clip in enumerate(truth):
        np.testing.assert_array_equal(truth[clip].landmarks * 8, written[i])
        assert truth[clip].visible.tolist() == [True, False, True]
        assert np.isnan(truth[clip].box).any(1).tolist() == [False, True, False]
        assert truth[clip].units.shape == (3, 2)
    with pytest.raises(UserError, match="no truth for clip 'nobody'"):
        truth["nobody"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: (d / "clips/c0002_fear.mp4").unlink(), "c0002_fear.mp4 is missing"),
        (lambda d: (d / "clips/c0002_fear.mp4").write_bytes(b"short"), "c0002_fear.mp4 is damaged"),
        (lambda d: (d / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
        (lambda d: (d / "SHA256SUMS").write_text("what?\n"), "line 1 is damaged"),
        (lambda d: (d / "manifest.csv").write_text("clip\n"), "manifest.csv is damaged"),
    ],
)
def test_damage_is_named(pack, damage, said):
    damage(pack)
    with pytest.raises(UserError, match=said) as error:
        open_embedded(pack)
    assert "\n" not in str(error.value)


def edit_manifest(pack: Path, old: str, new: str) -> None:
    text = (pack / "manifest.csv").read_text()
    assert old in text
    (pack / "manifest.csv").write_text(text.replace(old, new))
    seal(pack)


def test_manifest_with_a_foreign_class(pack):
    edit_manifest(pack, "default,Sad", "default,Sulky")
    with pytest.raises(UserError, match="unknown expression 'Sulky'"):
        open_embedded(pack)


def test_truncated_truth(pack):
    (pack / "truth.npz").write_bytes((pack / "truth.npz").read_bytes()[:500])
    with pytest.raises(UserError, match=r"truth.npz is damaged"):
        load_truth(pack)


@pytest.mark.parametrize(("key", "value"), [("split", "test"), ("prior", "uniform")])
def test_unknown_options(pack, key, value):
    with pytest.raises(UserError, match=f"unknown {key} '{value}'"):
        open_embedded(pack, **{key: value})


def test_where_it_is_looked_for(pack, tmp_path, monkeypatch):
    assert find_data(pack) == pack
    assert find_data(pack.parent) == pack  # the repository's root will do
    monkeypatch.setenv("ECSTFL_DATA", str(pack))
    assert find_data() == pack
    monkeypatch.setenv("ECSTFL_DATA", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match=r"no embedded data in .*nothing.*ECSTFL_DATA"):
        find_data()
    monkeypatch.delenv("ECSTFL_DATA")
    monkeypatch.setattr(
        "ecstfl.datasets.embedded.__file__", str(tmp_path / "x/ecstfl/datasets/embedded.py")
    )
    monkeypatch.chdir(pack.parent)
    assert find_data() == pack
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UserError, match="was not found"):
        find_data()


@needs_pack
def test_the_pack_is_what_the_datasheet_says():
    clips = open_embedded(REPOSITORY_DATA)
    assert len(clips) >= 350
    per_class = Counter(clips.labels.tolist())
    assert set(per_class.values()) == {len(clips) // 7}
    for fold in clips.folds:
        train, test = clips.split(fold)
        assert not set(train.groups) & set(test.groups)
        assert set(Counter(test.labels.tolist()).values()) == {len(set(test.groups))}
    size = sum(f.stat().st_size for f in REPOSITORY_DATA.rglob("*.mp4"))
    size += sum((REPOSITORY_DATA / f).stat().st_size for f in ("truth.npz", "manifest.csv"))
    assert size < 35e6


@needs_pack
def test_the_long_tail_has_the_proportions_of_dfew():
    clips, tail = open_embedded(REPOSITORY_DATA), open_embedded(REPOSITORY_DATA, prior="longtail")
    full = len(clips) // 7
    counts = Counter(tail.labels.tolist())
    for label, wanted in enumerate(DFEW_COUNTS):
        assert counts[label] == max(1, round(full * wanted / max(DFEW_COUNTS)))
    per_fold = Counter((c.fold, c.label) for c in tail)
    for label in range(7):
        shares = [per_fold[fold, label] for fold in range(1, 6)]
        assert max(shares) - min(shares) <= 1


@needs_pack
def test_the_truth_fits_the_frames():
    truth = load_truth(REPOSITORY_DATA)
    rows = read_manifest(REPOSITORY_DATA)
    assert len(truth) == len(rows)
    for row in rows[:: max(1, len(rows) // 60)]:
        known = truth[row["clip"]]
        assert known.units.shape == (int(row["frames"]), 23)
        assert int((~known.visible).sum()) >= int(row["faceless_frames"])
        points = known.landmarks[known.visible]
        assert (points[:, 8, 1] > points[:, 27, 1]).all()  # the chin is below the bridge
        assert np.isfinite(known.box[known.visible]).all()
        assert sum(int(row[f"votes_{c}"]) for c in CLASSES) == 10


@needs_pack
def test_every_file_is_under_checksum():
    sums = read_checksums(REPOSITORY_DATA)
    videos = {f.relative_to(REPOSITORY_DATA).as_posix() for f in REPOSITORY_DATA.rglob("*.mp4")}
    assert videos < set(sums)
    assert {"manifest.csv", "truth.npz"} < set(sums)
    check = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"],
        cwd=REPOSITORY_DATA,
        capture_output=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout


@needs_pack
def test_the_pack_has_ten_votes_a_clip_and_most_are_for_its_label():
    clips = open_embedded(REPOSITORY_DATA, verify=False)
    votes = np.array([clip.votes for clip in clips])
    assert set(votes.sum(axis=1)) == {10}
    right = votes[np.arange(len(clips)), clips.labels]
    assert 0.75 < right.mean() / 10 < 0.8  # data/README.md: 78 %


def test_a_pack_without_votes_has_none(tmp_path):
    assert all(clip.votes == () for clip in open_embedded(write_pack(tmp_path)))
