"""From each layout to a table: the whole way, on miniatures with rendered faces."""

import json
from pathlib import Path

import numpy as np
import pytest
from miniatures import have_faces, make_cremad, make_dfew, make_folder
from test_badinput import make_csv

from ecstfl.cli.main import main

pytestmark = pytest.mark.usefixtures("quick_maps")


def dfew_with_short_clips(root):
    """One clip of a single frame and one of three, as DFEW has a few below 16."""
    make_dfew(root, faces=True)
    for clip, frames in (("00001", 1), ("00004", 3)):
        for n in range(frames + 1, 17):
            (root / "Clip" / "clip_224x224_16f" / clip / f"{n}.jpg").unlink()


def dfew_original(root):
    """As films, with the variants met in the wild."""
    splits = "{part}_single-labeled"
    make_dfew(root, 1, "original", splits, first_label=0, doubled=True, faces=True)


# The other layouts come by the same ways: see the tests of each reader.
LAYOUTS = {
    "dfew": ("dfew", "none", dfew_with_short_clips),
    "dfew-original": ("dfew", "points5", dfew_original),
    "crema-d": ("crema-d", "points5", lambda r: make_cremad(r, (1001, 1002), 1, faces=True)),
    "csv": ("", "points5", lambda r: make_csv(r, faces=True)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reproduce_ends_in_a_table(tmp_path, monkeypatch, layout):
    if not have_faces():
        pytest.skip("the embedded clips are not here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ecstfl.experiments.report.draw", lambda *_: [])  # figures take longest
    name, alignment, make = LAYOUTS[layout]
    root = tmp_path / "data"
    make(root)
    data = [name, "--root", str(root)]
    if not name:
        data = [str(root / "clips.csv" if layout == "csv" else root)]
    words = ["reproduce", "--data", *data, "--profile", "smoke", "--device", "cpu"]
    assert main([*words, "--workers", "1", "--epochs", "1"]) == 0
    (table,) = tmp_path.glob("results/*/table.md")
    text = table.read_text()
    assert "softmax only" in text
    assert "EC-STFL" in text
    assert str(tmp_path) not in text
    assert ("no test clip shows Surprise" in text) == (layout == "crema-d")
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("results/*/runs/*/run.json")]
    assert {run["config"]["data"] for run in runs} == {layout}
    assert {run["config"]["preprocess"]["alignment"] for run in runs} == {alignment}
    assert not any(run["synthetic"] for run in runs)  # the reader cannot know


def test_a_data_set_of_real_faces_ends_in_a_model_that_predicts(tmp_path, monkeypatch, capsys):
    """One command, people apart; the model says what it was trained on."""
    if not have_faces():
        pytest.skip("the embedded clips are not here")
    monkeypatch.chdir(tmp_path)
    make_cremad(tmp_path / "data", (1001, 1002, 1003), most=1, faces=True)
    words = ["train", "--data", "crema-d", "--root", "data", "--profile", "smoke"]
    assert main([*words, "--epochs", "1", "--device", "cpu", "--augment", "real"]) == 0
    model = Path(capsys.readouterr().out.splitlines()[-1].rpartition(": ")[2])
    assert json.loads((model.parent / "run.json").read_text())["config"]["augment"]["grey"] > 0
    with np.load(model.parent / "features.npz") as held_out:
        assert set(held_out["groups"]) == {"actor_1001"}
    assert main(["predict", "data/VideoFlash/1001_DFA_HAP_XX.flv", "--model", str(model)]) == 0
    said = capsys.readouterr().out
    assert "Model trained on crema-d; probabilities not calibrated" in said
    assert "p 0." in said


def test_clips_replaced_under_their_names_are_another_data_set(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "data")
    words = ["reproduce", "--data", "data", "--profile", "smoke", "--device", "cpu"]
    told = "another profile, data set or version of it"
    for _ in range(2):
        main([*words, "--no-train"])  # nothing is trained yet, but the folder now has its plan
        assert told not in capsys.readouterr().err
    one, other, *_ = sorted(p for p in (tmp_path / "data").rglob("*") if p.suffix == ".mp4")
    one.write_bytes(other.read_bytes())
    assert main([*words, "--no-train"]) == 2
    assert told in capsys.readouterr().err
