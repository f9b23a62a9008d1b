"""Peeking: the best test epoch never loses to the last, and looking more often finds more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lessonkit.best_epoch import best_epoch, best_epoch_bias, collect_best_epochs
from madeup import made_up_run
from toy import toy_config, toy_data

CLIPSET = toy_data()[0]


def run(method="ec-stfl", scores=None, epochs=6, **changes):
    config = toy_config(CLIPSET, method=method, epochs=epochs, **changes)
    return made_up_run(config, scores=scores)[0]


scores_at = st.dictionaries(st.integers(1, 5), st.floats(0, 1), max_size=5)


@settings(max_examples=50, deadline=None)
@given(scores_at)
def test_peeking_never_loses_and_finds_the_maximum(scores):
    made = run(scores=scores)
    found = best_epoch(made)
    assert found.last == made["war"]
    assert found.best == max([*scores.values(), made["war"]])
    assert found.gain >= 0
    assert found.looks == len(scores) + 1
    assert made["history"][found.best_epoch - 1]["held_out_war"] == found.best


@settings(max_examples=50, deadline=None)
@given(scores_at, scores_at)
def test_looking_more_often_never_finds_less(scores, more):
    assert best_epoch(run(scores=more | scores)).gain >= best_epoch(run(scores=scores)).gain


def test_of_equal_epochs_the_first_is_named():
    assert best_epoch(run(scores={2: 1.0, 4: 1.0})).best_epoch == 2


def test_claims_by_hand():
    """Two folds: what one could say of the method, honestly and not."""
    runs = [
        run("softmax", {3: 0.95}, fold=1),
        run("softmax", {3: 0.0}, fold=2),
        run("ec-stfl", {3: 0.98}, fold=1),
        run("ec-stfl", {3: 0.99}, fold=2),
    ]
    plain, ours = collect_best_epochs(runs)
    assert plain.claims is None
    last = np.mean([runs[2]["war"] - runs[0]["war"], runs[3]["war"] - runs[1]["war"]])
    both = np.mean([0.98 - 0.95, 0.99 - runs[1]["war"]])
    one_sided = np.mean([0.98 - runs[0]["war"], 0.99 - runs[1]["war"]])
    assert ours.claims == pytest.approx((last, both, one_sided))
    assert ours.claims[2] >= max(ours.claims[:2])


def test_claims_look_at_the_same_epochs_of_both():
    """Else whoever is scored more often is ahead for that reason alone."""
    often = {epoch: 0.9 + epoch / 100 for epoch in range(1, 6)}
    for theirs, ours, best in (({3: 0.8}, often, 0.93), (often, {2: 0.95}, 0.95)):
        runs = [run("softmax", theirs), run("ec-stfl", ours)]
        plain = max(theirs.get(3 if ours is often else 2), runs[0]["war"])
        _, found = collect_best_epochs(runs)
        assert found.claims[1] == pytest.approx(best - plain)
        assert found.claims[2] == pytest.approx(best - runs[0]["war"])
    assert "as were scored in both" in best_epoch_bias(runs).get_suptitle()
    assert "in both" not in best_epoch_bias(runs[:1]).get_suptitle()


def test_a_fold_that_only_one_method_has_is_not_compared():
    runs = [run("softmax", fold=1), run(fold=1), run(fold=2, scores={1: 1.0})]
    _, ours = collect_best_epochs(runs)
    assert len(ours.runs) == 2
    assert ours.claims[0] == pytest.approx(runs[1]["war"] - runs[0]["war"])


def test_unknown_metric_and_missing_scores_are_refused():
    with pytest.raises(ValueError, match="'uar' or 'war', got 'f1'"):
        best_epoch(run(), "f1")
    broken = run()
    del broken["history"][-1]["held_out_war"]
    with pytest.raises(ValueError, match="score of the last epoch"):
        best_epoch(broken)


def test_the_picture_says_how_often_one_looked_and_what_it_brought():
    runs = [run("softmax", {2: 0.9}), run("ec-stfl", {2: 0.99, 4: 0.1})]
    figure = best_epoch_bias(runs)
    title = figure.get_suptitle()
    assert "SYNTHETIC" in title
    assert "2 to 3 epochs of each run were scored" in title
    assert "at least as much" in title
    gains = [100 * best_epoch(r).gain for r in runs]
    text = "\n".join(t.get_text() for t in figure.axes[1].texts)
    assert all(f"mean {gain:+.1f}" in text for gain in gains)
