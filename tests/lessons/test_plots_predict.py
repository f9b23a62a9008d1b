"""Figures of lesson 10: their numbers, not their looks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lessonkit import plots_predict as plots

from ecstfl.labels import CLASSES
from ecstfl.metrics.calibration import reliability
from ecstfl.predict.prediction import Window


def window(start, best, p, why=""):
    rest = (1 - p) / 6
    probabilities = tuple(p if c == best else rest for c in range(7))
    return Window(
        start, start + 1, 25, 25, probabilities, "uncertain" if why else CLASSES[best], why
    )


def test_time_is_drawn_at_the_middle_of_each_window_and_silence_is_marked():
    windows = [window(0, 0, 0.9), window(0.5, 3, 0.4, "0.40 is below 0.50")]
    figure = plots.over_time(windows, "t", [(0.0, 1.5, "Happy")])
    axis = figure.axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    np.testing.assert_allclose(lines["Angry"].get_xdata(), [0.5, 1.0])
    np.testing.assert_allclose(lines["Happy"].get_ydata(), [0.9, 0.1])
    np.testing.assert_allclose(lines["uncertain"].get_xdata(), [1.0])
    assert "seconds" in axis.get_xlabel()


@given(st.floats(0.01, 1), st.floats(0, 1), st.floats(0.001, 0.999))
@settings(max_examples=50, deadline=None)
def test_bayes_agrees_with_counting(hit, false_alarm, share):
    shown_and_said, other_and_said = hit * share, false_alarm * (1 - share)
    wanted = shown_and_said / (shown_and_said + other_and_said)
    assert plots.believed(hit, false_alarm, share) == pytest.approx(wanted)


def test_a_perfect_model_has_a_calibration_error_and_its_range_holds_it():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(7), 200)
    low, high = plots.honest_ece(p, draws=300)
    assert 0 < low < high < 0.2
    inside = 0
    for _ in range(200):
        truth = np.array([rng.choice(7, p=row) for row in p])
        inside += low <= reliability(p, truth).ece <= high
    assert 0.88 < inside / 200 <= 1
    narrow = plots.honest_ece(np.repeat(p, 20, axis=0), draws=100)
    assert narrow[1] < high / 2  # more clips, less chance


def test_answering_more_costs_and_the_curve_ends_at_the_accuracy():
    confidence = np.array([0.9, 0.8, 0.6, 0.3])
    right = np.array([True, True, False, True])
    coverage, accuracy = plots.answered_curve(confidence, right)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(accuracy, [1, 1, 2 / 3, 0.75])
    title = plots.answered({"a": (confidence, right)}, 0.5).axes[0].get_title()
    assert "75 % answered, 67 % of them right" in title
    assert (
        "nothing answered" in plots.answered({"a": (confidence, right)}, 0.95).axes[0].get_title()
    )


def test_base_rates_at_equal_shares_are_the_columns_of_equal_rows():
    rng = np.random.default_rng(1)
    confusion = rng.integers(1, 10, (7, 7))
    confusion[:, 0] += 60 - confusion.sum(axis=1)  # every class has 60 clips
    equal, skewed = np.full(7, 1 / 7), np.array([0.7, *[0.05] * 6])
    figure = plots.base_rates(confusion, {"equal": equal, "skewed": skewed}, "Made-up counts")
    bars = [[bar.get_height() for bar in bars] for bars in figure.axes[0].containers]
    np.testing.assert_allclose(bars[0], 100 * confusion.diagonal() / confusion.sum(axis=0))
    assert bars[1][0] > bars[0][0]
    assert figure.axes[0].get_title().startswith("Made-up counts: a said '")


def test_reliability_panels_and_scores_carry_their_numbers():
    p = np.random.default_rng(2).dirichlet(np.ones(7), 50)
    result = reliability(p, np.arange(50) % 7)
    figure = plots.reliabilities({"a": (result, (0.01, 0.2)), "b": (result, (0.0, 0.1))}, "t")
    assert f"ECE {100 * result.ece:.1f} %" in figure.axes[0].get_title()
    assert "1.0 to 20.0" in figure.axes[0].get_title()
    axis = plots.scores({"x": (0.6, 0.5, 0.7)}, "t", "WAR (percent)").axes[0]
    assert [text.get_text() for text in axis.texts] == ["60.0", "chance"]
    picture = plots.still(np.zeros((20, 40, 3), np.uint8), "t")
    assert picture.get_figwidth() > picture.get_figheight()
