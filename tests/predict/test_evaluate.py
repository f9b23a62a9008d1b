"""The evaluation on labelled clips: numbers against scikit-learn, files, exit codes."""

import csv
import json
import shutil
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as reference

from ecstfl.cli import main as cli
from ecstfl.datasets.clipset import Clip, ClipSet
from ecstfl.datasets.embedded import open_embedded
from ecstfl.errors import UserError
from ecstfl.labels import CLASSES
from ecstfl.metrics.calibration import reliability
from ecstfl.predict.evaluate import collect, measure, mistakes, report
from ecstfl.predict.prediction import Prediction, Window


def said(p, outcome=None):
    """What a recogniser says of a clip of one window with probabilities ``p`` (7,)."""
    window = Window(0, 1, 25, 25, tuple(p), outcome or CLASSES[int(np.argmax(p))])
    return Prediction(Path("v"), 1.0, 25, window, (window,))


def judged(labels, groups, seed=0, strength=2.0):
    """Answers of a recogniser that is a little right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(labels), 7)) + strength * np.eye(7)[labels]
    clips = [
        Clip(f"c{i}", Path(f"c{i}.mp4"), int(label), group)
        for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]
    stream = [(i, said(p)) for i, p in enumerate(softmax(logits, axis=1))]
    return collect(ClipSet("toy", tuple(clips)), reversed(stream))


def test_the_numbers_are_scikit_learns():
    labels = np.random.default_rng(1).integers(0, 7, 140)
    labels[labels == 4] = 0  # a class that nobody shows
    answers = judged(labels, [f"g{i % 20}" for i in range(140)])
    facts, p = measure(answers), answers.probabilities
    predicted = p.argmax(1)
    assert facts["n_people"] == 20
    assert facts["war"]["value"] == pytest.approx(reference.accuracy_score(labels, predicted))
    recalls = reference.recall_score(
        labels, predicted, average=None, labels=range(7), zero_division=0
    )
    assert set(facts["classes"]) == set(CLASSES) - {"Surprise"}
    for name, of in facts["classes"].items():
        c = CLASSES.index(name)
        assert of["n"] == (labels == c).sum()
        assert of["recall"]["value"] == pytest.approx(recalls[c])
        above = (p[labels == c] > p[labels == c, c][:, None]).sum(1)
        assert of["mean_rank"] == pytest.approx(1 + above.mean())
    assert facts["uar"]["value"] == pytest.approx(np.delete(recalls, 4).mean())
    assert facts["ece"] == reliability(p, labels).ece
    assert facts["auc"] is None  # only of two expressions
    np.testing.assert_array_equal(
        facts["confusion"], reference.confusion_matrix(labels, predicted, labels=range(7))
    )
    for measured in (facts["uar"], facts["war"], facts["mean_rank"]):
        assert measured["low"] < measured["value"] < measured["high"]


def test_two_expressions_are_told_apart_by_their_log_ratio():
    labels = np.array([0, 2] * 30)
    answers = judged(labels, [f"g{i // 2}" for i in range(60)], strength=1.0)
    auc, p = measure(answers)["auc"], answers.probabilities
    score = np.log(p[:, 0] / p[:, 2])
    pairs = [(a > b) + (a == b) / 2 for a, b in product(score[labels == 0], score[labels == 2])]
    assert (auc["of"], auc["against"]) == ("Happy", "Neutral")
    assert auc["value"] == pytest.approx(np.mean(pairs))
    assert 0 <= auc["low"] < auc["value"] < auc["high"] <= 1


def test_probabilities_of_zero_are_scored_too():
    p = np.eye(7)[[0, 0, 2, 2]]
    clips = tuple(Clip(f"{i}", Path("v"), c, f"g{i}") for i, c in enumerate((0, 0, 2, 2)))
    facts = measure(collect(ClipSet("toy", clips), enumerate(map(said, p))))
    assert [facts[k]["value"] for k in ("auc", "uar", "war", "mean_rank")] == [1, 1, 1, 1]


@pytest.mark.parametrize("groups", [["anna"] * 4, ["anna", "anna", "anna", "bert"]])
def test_an_interval_needs_people(groups):
    facts = measure(judged([0, 0, 2, 2], groups))
    assert facts["auc"]["low"] is None  # leaving one out would leave a class without clips
    assert (facts["uar"]["low"] is None) == (len(set(groups)) == 1)
    assert facts["classes"]["Happy"]["recall"]["low"] is None
    assert "too few people" in report(TOLD | facts)
    json.dumps(facts, allow_nan=False)


def test_strangers_are_not_one_person():
    facts = measure(judged([0, 0, 2, 2], [""] * 4))
    assert (facts["n_people"], facts["n_without_person"]) == (4, 4)
    assert facts["uar"]["low"] is not None
    assert "4 clips name no person" in report(TOLD | facts)


def test_mistakes_come_the_most_frequent_first_with_their_share():
    confusion = np.zeros((7, 7), int)
    confusion[0, 0], confusion[0, 3], confusion[2, 6] = 1, 3, 5
    assert mistakes(confusion.tolist()) == [
        ("Neutral", "Fear", 5, 1.0),
        ("Happy", "Angry", 3, 0.75),
    ]


def test_clips_without_an_answer_are_left_out_and_named():
    clips = ClipSet("toy", tuple(Clip(f"c{i}", Path("v"), i, "g") for i in range(3)))
    stream = [(2, said(np.eye(7)[2])), (1, "c1.mp4: no face"), (0, said(np.eye(7)[1]))]
    answers = collect(clips, stream)
    assert answers.clipset.ids == ("c0", "c2")
    assert answers.predicted.tolist() == [1, 2]
    assert answers.left_out == (("c1", "c1.mp4: no face"),)
    with pytest.raises(UserError, match=r"not one of 3 clips .* c1.mp4: no face"):
        collect(clips, [(1, "c1.mp4: no face")])


TOLD = {"data": "toy", "model": "m", "statement": "s", "data_notes": []}


# --- command -------------------------------------------------------------------------------------


def test_two_clips_a_still_and_a_broken_file_from_end_to_end(tmp_path, capsys):
    clipset = open_embedded()
    happy, sad = (next(c for c in clipset if c.label == label) for label in (0, 1))
    for name, clip in (("happy", happy), ("sad", sad)):
        shutil.copy(clip.source, tmp_path / f"{name}{clip.source.suffix}")
    film = cv2.VideoCapture(str(sad.source))
    cv2.imwrite(str(tmp_path / "still.png"), film.read()[1])
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    table = tmp_path / "list.csv"
    table.write_text(
        f"path,label,group\nhappy{happy.source.suffix},Happy,a\nsad{sad.source.suffix},Happy,b\n"
        "still.png,Neutral,b\nbroken.mp4,Sad,c\nmissing.mp4,Sad,c\n"
    )
    out = tmp_path / "out"
    code = cli.main(["evaluate", "--data", str(table), "--out", str(out), "--workers", "1"])
    printed = capsys.readouterr()
    assert code == 1
    assert "broken.mp4" in printed.err
    assert "missing.mp4" in printed.out
    facts = json.loads((out / "evaluation.json").read_text())
    assert facts["n_clips"] == 3
    assert [item["clip"] for item in facts["left_out"]] == ["broken"]
    assert facts["auc"]["of"] == "Happy"
    assert not any("fold" in note for note in facts["data_notes"])
    rows = list(csv.DictReader((out / "clips.csv").open()))
    assert [row["clip"] for row in rows] == ["happy", "sad", "still", "broken"]
    assert "embedded clip" in rows[0]["notes"]
    assert (out / "evaluation.md").read_text() in printed.out
    wrong = sum(row["recognised"] not in ("", row["shown"]) for row in rows)
    assert wrong  # the clip of Sad stands under Happy
    assert cv2.imread(str(out / "mistakes.png")).shape[0] == 26 + wrong * (18 + 112)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "nowhere"], "unknown data"),
        (["--data", "crema-d"], "--root"),
        (["--data", "LIST", "--workers", "0"], "--workers"),
        (["--data", "LIST", "--out", "LIST"], "is a file"),
        (["--data", "LIST", "--model", "nowhere.safetensors"], "no model at"),
        (["--data", "LIST"], "unknown expression 'Bored'"),
    ],
)
def test_bad_input_is_one_sentence(arguments, told, tmp_path, capsys):
    table = tmp_path / "list.csv"
    (tmp_path / "v.mp4").write_bytes(b"nothing")
    label = "Bored" if len(arguments) == 2 else "Sad"
    table.write_text(f"path,label\nv.mp4,{label}\n")
    given = [str(table) if a == "LIST" else a for a in arguments]
    assert cli.main(["evaluate", *given]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
