"""Which class carries within/between: against subsets measured whole, and a class sent away."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from madeup import made_up_table

from ecstfl.evaluation import without_class
from ecstfl.evaluation.differences import change, compare
from ecstfl.evaluation.without_class import measured, ratios_without, relative_lengths
from ecstfl.figures.without_class import without_class as draw
from ecstfl.labels import CLASSES
from ecstfl.metrics.clusters import cluster_measures


def cloud(seed, n=70, d=5, apart=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 7)
    return rng.normal(size=(7, d))[labels] * apart + rng.normal(size=(n, d)), labels


@settings(max_examples=50, deadline=None)  # a busy machine is no fault
@given(seed=st.integers(0, 10**6), n=st.integers(30, 90))
def test_ratios_are_those_of_the_clips_that_are_left(seed, n):
    x, labels = cloud(seed, n)
    expected = [cluster_measures(x, labels).within_between]
    for c in range(7):
        keep = labels != c
        expected.append(cluster_measures(x[keep], labels[keep]).within_between)
    np.testing.assert_allclose(ratios_without(x, labels), expected, rtol=1e-10)


def test_a_class_sent_away_lowers_every_ratio_but_the_one_without_it():
    x, labels = cloud(0, apart=0.3)
    before, away = ratios_without(x, labels), x + 50.0 * (labels == 4)[:, None]
    after = ratios_without(away, labels)
    without = 1 + 4
    assert after[without] == pytest.approx(before[without], rel=1e-12)
    others = np.delete(np.arange(8), without)
    assert (after[others] < 0.5 * before[others]).all()


def test_lengths_by_hand_and_whatever_the_unit():
    x = np.array([[3.0, 4.0], [0.0, 5.0], [10.0, 0.0], [0.0, -2.0]])
    labels = np.array([0, 0, 1, 2])
    found = relative_lengths(x, labels)
    np.testing.assert_allclose(found[:3], [5 / 6, 10 / 4, 2 / (20 / 3)])
    assert np.isnan(found[3:]).all()
    np.testing.assert_allclose(relative_lengths(7 * x, labels), found)


@pytest.mark.parametrize(
    ("x", "labels", "defined"),
    [
        (np.arange(8.0)[:, None], [0] * 8, []),
        (np.arange(7.0)[:, None], range(7), []),
        (np.zeros((14, 3)), [*range(7)] * 2, range(8)),  # by definition 1
        (np.arange(4.0)[:, None], [0, 0, 1, 1], [0, 3, 4, 5, 6, 7]),
    ],
    ids=["one class", "one clip a class", "one point", "two classes"],
)
def test_where_no_ratio_is_defined_there_is_none(x, labels, defined):
    found = ratios_without(x, np.array(labels))
    assert np.flatnonzero(np.isfinite(found)).tolist() == list(defined)


def test_no_length_where_nothing_is_long():
    assert np.isnan(relative_lengths(np.zeros((14, 3)), np.arange(14) % 7)).all()


@pytest.fixture(scope="module")
def table():
    return made_up_table(folds=(1, 2, 3), seeds=(0, 1))


@pytest.fixture(scope="module")
def features(table):
    return {config.name: one for config, (_, one) in table.items()}


def test_the_tables_tell_differences_of_means_over_runs(table, features):
    (compared,) = compare([run for run, _ in table.values()])
    text = without_class.to_csv([compared], measured(features.items()))
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == 8 + 7
    by_name = {line["measure"]: line for line in lines}
    for c, name in enumerate(CLASSES):
        both = [
            np.mean([ratios_without(f["embeddings"], f["labels"])[1 + c] for f in side])
            for side in (
                [features[p.ours["name"]] for p in compared.pairs],
                [features[p.baseline["name"]] for p in compared.pairs],
            )
        ]
        line = by_name[f"within/between, without {name}"]
        assert float(line["difference"]) == pytest.approx(both[0] - both[1], abs=1e-6)
        assert float(line["with_it"]) == pytest.approx(both[0], abs=1e-6)
        assert float(line["low"]) <= float(line["difference"]) <= float(line["high"])
    text = without_class.page([compared], measured(features.items()), ["SYNTHETIC"]).markdown()
    assert "- SYNTHETIC" in text
    assert "- 15 intervals were looked at" in text
    assert "without Surprise" in text


def test_the_figure_shows_what_the_table_tells(table, features):
    runs = [run for run, _ in table.values()]
    (compared,) = compare(runs)
    ratios, lengths = both = measured(features.items())
    left, right = draw(runs, both).axes
    shown = [line.get_xdata()[0] for line in left.lines if line.get_marker() not in ("None", "")]
    assert shown == [change(compared.pairs, measure).value for measure in ratios]
    assert left.get_yticklabels()[0].get_text() == "all seven"
    ours = next(line for line in right.lines if line.get_label() == compared.method)
    expected = [measure.of([p.ours for p in compared.pairs]) for measure in lengths]
    assert list(ours.get_xdata()) == expected


def test_without_pairs_there_is_no_figure(table, features):
    alone = [run for c, (run, _) in table.items() if c.loss.method == "softmax"]
    with pytest.raises(ValueError, match="twins"):
        draw(alone, measured(features.items()))
