"""Forest plot: pooled as the table pools, with intervals that two other routes confirm."""

import numpy as np
import pytest
from madeup import made_up_run, made_up_table
from scipy import stats
from sklearn.metrics import accuracy_score, recall_score
from toy import toy_config, toy_data

from ecstfl.forest import Pair, collect_gains, forest, pooled_gain, units
from ecstfl.metrics import confusion_matrix, war


@pytest.fixture(scope="module")
def table():
    return made_up_table(folds=(1, 2, 3, 4), seeds=(0, 1, 2))


def test_every_run_meets_its_twin(table):
    (gains,) = collect_gains([run for run, _ in table.values()])
    assert gains.method == "C3D, EC-STFL (patent, lambda 0.1)"
    assert [(p.fold, p.seed) for p in gains.pairs] == [
        (f, s) for f in (1, 2, 3, 4) for s in range(3)
    ]
    wars = {
        (c.fold, c.seed, c.loss.method): run["war"] for c, (run, _) in table.items()
    }  # fmt: skip
    for p in gains.pairs:
        expected = wars[p.fold, p.seed, "ec-stfl"] - wars[p.fold, p.seed, "softmax"]
        assert p.gain("war") == pytest.approx(expected)


def test_the_pooled_value_is_scikit_learns_on_all_predictions(table):
    (gains,) = collect_gains([run for run, _ in table.values()])
    scores = {}
    for method in ("softmax", "ec-stfl"):
        chosen = [f for c, (_, f) in table.items() if c.loss.method == method]
        labels = np.concatenate([f["labels"] for f in chosen])
        said = np.concatenate([f["predictions"] for f in chosen])
        scores[method] = accuracy_score(labels, said), recall_score(labels, said, average="macro")
    for metric, i in (("war", 0), ("uar", 1)):
        expected = scores["ec-stfl"][i] - scores["softmax"][i]
        assert pooled_gain(gains.pairs, metric).value == pytest.approx(expected)


def test_with_equal_folds_wars_interval_is_students_over_the_folds(table):
    (gains,) = collect_gains([run for run, _ in table.values()])
    by_fold = [
        np.mean([p.gain("war") for p in gains.pairs if p.fold == fold]) for fold in (1, 2, 3, 4)
    ]
    for level in (0.95, 0.8):
        low, high = stats.t.interval(level, 3, np.mean(by_fold), stats.sem(by_fold))
        interval = pooled_gain(gains.pairs, "war", level)
        assert (interval.low, interval.high) == pytest.approx((low, high))


def test_one_fold_takes_its_seeds_and_one_pair_has_no_interval(table):
    (gains,) = collect_gains([run for run, _ in table.values()])
    fold = [p for p in gains.pairs if p.fold == 1]
    assert (units(gains.pairs), units(fold), units(fold[:1])) == ("folds", "seeds", "")
    values = [p.gain("war") for p in fold]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    interval = pooled_gain(fold, "war")
    assert (interval.low, interval.high) == pytest.approx((low, high))
    alone = pooled_gain(fold[:1], "uar")
    assert alone.value == pytest.approx(fold[0].gain("uar"))
    assert np.isnan([alone.low, alone.high]).all()


def test_intervals_of_methods_that_do_not_differ_rarely_leave_zero_out():
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(7), 40)

    def confusion():
        said = np.where(rng.random(len(labels)) < 0.6, labels, (labels + 1) % 7)
        return confusion_matrix(labels, said)

    missed = 0
    for _ in range(300):
        pairs = [Pair(fold, 0, confusion(), confusion()) for fold in range(5)]
        interval = pooled_gain(pairs, "uar")
        missed += not interval.low <= 0 <= interval.high
    assert missed / 300 < 0.09


def test_a_method_beside_itself_gains_nothing():
    confusion = confusion_matrix(np.arange(7), np.zeros(7, int))
    interval = pooled_gain([Pair(f, 0, confusion, confusion) for f in (1, 2)], "war")
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


def test_runs_without_a_twin_are_left_out():
    clipset = toy_data()[0]
    runs = [made_up_run(toy_config(clipset, fold=f))[0] for f in (1, 2)]
    runs.append(made_up_run(toy_config(clipset, method="softmax", fold=2))[0])
    (gains,) = collect_gains(runs)
    assert [p.fold for p in gains.pairs] == [2]
    assert collect_gains(runs[:2]) == []
    with pytest.raises(ValueError, match="softmax-only twins"):
        forest(runs[:2])


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="'uar' or 'war', got 'f1'"):
        pooled_gain([], "f1")
    with pytest.raises(ValueError, match="at least one pair"):
        pooled_gain([], "war")


def test_the_picture_shows_every_pair_and_the_numbers(table):
    runs = [run for run, _ in table.values()]
    figure = forest(runs)
    left = figure.axes[0]
    (gains,) = collect_gains(runs)
    drawn = {round(float(x), 9) for line in left.lines for x in line.get_xdata()}
    assert {round(100 * p.gain("war"), 9) for p in gains.pairs} <= drawn
    pooled = pooled_gain(gains.pairs, "war")
    text = "\n".join(t.get_text() for t in left.texts)
    assert f"{100 * pooled.value:+.1f} [{100 * pooled.low:+.1f}, {100 * pooled.high:+.1f}]" in text
    assert [t.get_text() for t in left.get_yticklabels()][1:] == [f"fold {f}" for f in (1, 2, 3, 4)]
    assert "SYNTHETIC" in figure.get_suptitle()
    assert "jackknife over test folds" in figure.get_suptitle()


def test_it_is_drawn_from_run_json_alone_also_for_a_single_pair():
    clipset = toy_data()[0]
    runs = [made_up_run(toy_config(clipset, method=m))[0] for m in ("softmax", "ec-stfl")]
    assert war(np.array(runs[0]["confusion"])) == runs[0]["war"]
    assert "no interval" in forest(runs).get_suptitle()
