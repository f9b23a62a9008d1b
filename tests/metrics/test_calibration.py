"""Temperature and reliability, against scikit-learn, by hand and by simulation."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from ecstfl.metrics.calibration import (
    fit_temperature,
    negative_log_likelihood,
    reliability,
)


def drawn(n, temperature, seed=0, classes=7):
    """Logits whose softmax at ``temperature`` is the truth, and labels drawn from it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, classes))
    cumulative = softmax(logits / temperature, axis=1).cumsum(1)
    labels = (rng.random((n, 1)) > cumulative).sum(1).clip(max=classes - 1)
    return logits, labels


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_of_the_truth_is_found(true):
    logits, labels = drawn(20_000, true)
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.05)


def test_likelihood_is_scikit_learns():
    logits, labels = drawn(200, 1.0)
    ours = negative_log_likelihood(logits, labels, 1.7)
    assert ours == pytest.approx(log_loss(labels, softmax(logits / 1.7, axis=1), labels=range(7)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1000), temperature=st.floats(0.2, 5))
def test_no_other_temperature_is_better(seed, temperature):
    logits, labels = drawn(40, 1.0, seed)
    best = fit_temperature(logits, labels)
    least = negative_log_likelihood(logits, labels, best)
    assert least <= negative_log_likelihood(logits, labels, temperature) + 1e-9


def test_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    labels = np.array([0, 1, 1, 0])
    result = reliability(probabilities, labels, bins=2)
    # all four lie in (0.5, 1]: confidence 0.7375, half of them right
    assert result.counts == (0, 4)
    assert result.ece == pytest.approx(abs(0.7375 - 0.5))
    fine = reliability(probabilities, labels, bins=10)
    # bins (0.5, 0.6], (0.6, 0.7], (0.7, 0.8], (0.8, 0.9] with one clip each
    by_hand = (abs(0.55 - 0) + abs(0.7 - 1) + abs(0.8 - 0) + abs(0.9 - 1)) / 4
    assert fine.ece == pytest.approx(by_hand)


def test_calibrated_draws_have_a_small_error_and_overconfident_ones_a_large_one():
    logits, labels = drawn(20_000, 2.5)
    assert reliability(softmax(logits / 2.5, axis=1), labels).ece < 0.02
    assert reliability(softmax(logits, axis=1), labels).ece > 0.1


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.zeros((0, 7)), []),
        (np.zeros((2, 7)), [0]),
        (np.zeros((2, 7)), [0, 7]),
        (np.zeros(3), []),
    ],
)
def test_bad_shapes_are_told(values, labels):
    with pytest.raises(ValueError, match="expected"):
        fit_temperature(values, np.array(labels, int))


def test_logits_are_not_taken_for_probabilities():
    with pytest.raises(ValueError, match=r"0\.\.1"):
        reliability(np.array([[3.0, -1.0]]), np.array([0]))
