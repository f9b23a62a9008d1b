"""What changed: pooled as the table pools, with intervals that two other routes confirm."""

import csv
import dataclasses
import io

import numpy as np
import pytest
from madeup import made_up_run, made_up_table
from scipy import stats
from sklearn.metrics import accuracy_score, recall_score
from toy import toy_config, toy_data

from ecstfl.evaluation.differences import (
    MEASURES,
    RECALLS,
    UAR,
    WAR,
    Pair,
    change,
    compare,
    page,
    to_csv,
    units,
)
from ecstfl.metrics.recognition import confusion_matrix


@pytest.fixture(scope="module")
def table():
    return made_up_table(folds=(1, 2, 3, 4), seeds=(0, 1, 2))


@pytest.fixture(scope="module")
def compared(table):
    """Twelve pairs whose clusters and training scores differ from run to run."""
    rng = np.random.default_rng(0)
    runs = [run for run, _ in table.values()]
    for run in runs:
        run["clusters"] = dict(zip(run["clusters"], rng.random(4), strict=True))
        run["history"][-1]["train_war"] = rng.random()
    (found,) = compare(runs)
    return found


def test_every_run_meets_its_twin(table):
    (found,) = compare([run for run, _ in table.values()])
    assert found.method == "C3D, EC-STFL (patent, lambda 0.1)"
    assert found.baseline == "C3D, softmax only"
    assert [(p.fold, p.seed) for p in found.pairs] == [
        (f, s) for f in (1, 2, 3, 4) for s in range(3)
    ]
    wars = {(c.fold, c.seed, c.loss.method): run["war"] for c, (run, _) in table.items()}
    for p in found.pairs:
        expected = wars[p.fold, p.seed, "ec-stfl"] - wars[p.fold, p.seed, "softmax"]
        assert p.gain(WAR) == pytest.approx(100 * expected)


def test_the_pooled_value_is_scikit_learns_on_all_predictions(table, compared):
    scores = {}
    for method in ("softmax", "ec-stfl"):
        chosen = [f for c, (_, f) in table.items() if c.loss.method == method]
        labels = np.concatenate([f["labels"] for f in chosen])
        said = np.concatenate([f["predictions"] for f in chosen])
        scores[method] = [
            accuracy_score(labels, said),
            recall_score(labels, said, average="macro"),
            *recall_score(labels, said, average=None),
        ]
    expected = 100 * np.subtract(scores["ec-stfl"], scores["softmax"])
    found = [change(compared.pairs, measure).value for measure in (WAR, UAR, *RECALLS)]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    "measure", [m for m in (*MEASURES, *RECALLS) if m is not UAR], ids=lambda m: m.name
)
def test_with_equal_folds_the_interval_is_students_over_the_folds(compared, measure):
    by_fold = [
        np.mean([p.gain(measure) for p in compared.pairs if p.fold == fold])
        for fold in (1, 2, 3, 4)
    ]
    for level in (0.95, 0.8):
        low, high = stats.t.interval(level, 3, np.mean(by_fold), stats.sem(by_fold))
        interval = change(compared.pairs, measure, level)
        assert interval.value == pytest.approx(np.mean(by_fold))
        assert (interval.low, interval.high) == pytest.approx((low, high))


def test_one_fold_takes_its_seeds_and_one_pair_has_no_interval(compared):
    fold = [p for p in compared.pairs if p.fold == 1]
    assert (units(compared.pairs), units(fold), units(fold[:1])) == ("folds", "seeds", "")
    values = [p.gain(WAR) for p in fold]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    interval = change(fold, WAR)
    assert (interval.low, interval.high) == pytest.approx((low, high))
    alone = change(fold[:1], UAR)
    assert alone.value == pytest.approx(fold[0].gain(UAR))
    assert np.isnan([alone.low, alone.high]).all()


def pair(fold, ours, baseline):
    return Pair(fold, 0, {"confusion": ours}, {"confusion": baseline})


def test_intervals_of_methods_that_do_not_differ_rarely_leave_zero_out():
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(7), 40)

    def confusion():
        said = np.where(rng.random(len(labels)) < 0.6, labels, (labels + 1) % 7)
        return confusion_matrix(labels, said)

    missed = 0
    for _ in range(300):
        pairs = [pair(fold, confusion(), confusion()) for fold in range(5)]
        interval = change(pairs, UAR)
        missed += not interval.low <= 0 <= interval.high
    assert missed / 300 < 0.09


def test_a_method_beside_itself_gains_nothing():
    confusion = confusion_matrix(np.arange(7), np.zeros(7, int))
    interval = change([pair(f, confusion, confusion) for f in (1, 2)], WAR)
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


def test_runs_without_a_twin_are_left_out():
    clipset = toy_data()[0]
    runs = [made_up_run(toy_config(clipset, fold=f))[0] for f in (1, 2)]
    runs.append(made_up_run(toy_config(clipset, method="softmax", fold=2))[0])
    (found,) = compare(runs)
    assert [p.fold for p in found.pairs] == [2]
    assert compare(runs[:2]) == []
    with pytest.raises(ValueError, match="at least one pair"):
        change([], WAR)


def test_what_the_runs_do_not_tell_is_a_dash():
    present = confusion_matrix(np.arange(6), np.arange(6), 7)  # no Fear
    one = Pair(
        1, 0, {"confusion": present, "clusters": None, "history": [{"train_war": 1.0}]},
        {"confusion": present, "clusters": {"within_between": 0.5}, "history": [{"train_war": 1}]},
    )  # fmt: skip
    fear = RECALLS[-1]
    assert fear.name == "Fear, %"
    assert fear.show(change([one], fear).value) == "–"
    assert MEASURES[3].show(change([one], MEASURES[3]).value) == "–"
    assert WAR.show(change([one], WAR).value, "+") == "+0.0"


def test_both_tables_and_the_file_tell_every_measure_with_its_interval(compared):
    text = page([compared], ["a mark"]).markdown()
    first, second, notes = text.split("\n\n")
    assert "- a mark" in notes
    assert "13 intervals were looked at" in notes
    for part, measures in ((first, MEASURES), (second, RECALLS)):
        head, _, plain, ours = part.splitlines()
        assert head.split(" | ")[2:] == [m.name for m in measures[:-1]] + [f"{measures[-1].name} |"]
        assert plain.startswith("| C3D, softmax only | 12 | ")
        assert ours.startswith("| difference: C3D, EC-STFL (patent, lambda 0.1) | 12 | ")
        cells = ours.strip("| ").split(" | ")[2:]
        for cell, measure in zip(cells, measures, strict=True):
            x = change(compared.pairs, measure)
            value, low, high = (f"{v:+.{measure.digits}f}" for v in (x.value, x.low, x.high))
            assert cell == f"{value} [{low}, {high}]"
    lines = list(csv.DictReader(io.StringIO(to_csv([compared]))))
    assert [line["measure"] for line in lines] == [m.name for m in (*MEASURES, *RECALLS)]
    for line in lines:
        gain = float(line["with_it"]) - float(line["softmax_only"])
        assert gain == pytest.approx(float(line["difference"]), abs=2e-6)
        assert float(line["low"]) < float(line["difference"]) < float(line["high"])


def test_two_methods_share_a_line_of_softmax_only(table):
    runs = [run for run, _ in table.values()]
    clipset = toy_data()[0]
    other = dataclasses.replace(toy_config(clipset, fold=1, epochs=6), seed=0)
    other = dataclasses.replace(other, loss=dataclasses.replace(other.loss, weight=0.3))
    comparisons = compare([*runs, made_up_run(other)[0]])
    text = page(comparisons).markdown()
    assert text.count("| C3D, softmax only | 12 |") == 2
    assert text.count("(patent, lambda 0.3) | 1 |") == 2
    assert "a single pair of runs has no interval" in text
