"""Whether a probability of 0.8 is right eight times in ten, and how to make it so.

Temperature scaling (Guo, Pleiss, Sun and Weinberger, ICML 2017): divide the logits by one number
T fitted on clips that the network was not trained on. The order of the classes does not change,
so neither does any accuracy. T is fitted on a *validation* fold; the test fold only measures
(``tools/calibrate.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

LOWEST, HIGHEST = 0.05, 20.0
"""Temperatures are looked for between these."""


def negative_log_likelihood(
    logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> float:
    """Mean of -log p(true class) in nats, >= 0.

    Args:
        logits: (n, c) real.
        labels: (n,) in 0..c-1.
        temperature: > 0.

    Raises:
        ValueError: shapes do not fit, no clip, or a temperature that is not positive.
    """
    logits, labels = _checked(logits, labels)
    if not temperature > 0:
        raise ValueError(f"temperature: expected > 0, got {temperature}")
    logs = log_softmax(logits / temperature, axis=1)
    return float(-logs[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature with the least negative log-likelihood, within 0.05..20.

    The likelihood is concave in 1/T, so that the one minimum is found by a bounded search. A
    network that is never wrong on these clips gives the lower bound: it wants no doubt at all.

    Args:
        logits: (n, c) of clips that the network was not trained on.
        labels: (n,) in 0..c-1.

    Raises:
        ValueError: as :func:`negative_log_likelihood`.
    """
    logits, labels = _checked(logits, labels)
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, float(np.exp(log_t))),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


@dataclass(frozen=True)
class Reliability:
    """How often predictions of a confidence were right.

    Attributes:
        edges: (b + 1,) of the bins of confidence, 0..1.
        counts: (b,) clips.
        confidence: (b,) mean confidence of a bin's clips; its middle where it has none.
        accuracy: (b,) share of a bin's clips that are right; 0 where it has none.
        ece: expected calibration error, 0..1: |confidence - accuracy| averaged over clips.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    ece: float


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> Reliability:
    """Compare confidence (the largest probability) with accuracy in equal bins.

    Args:
        probabilities: (n, c), rows sum to 1.
        labels: (n,) in 0..c-1.
        bins: their number; with few clips, fewer bins make a steadier number.

    Raises:
        ValueError: shapes do not fit, no clip, values outside 0..1, or no bin.
    """
    probabilities, labels = _checked(probabilities, labels)
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, got {bins}")
    if probabilities.min() < -1e-6 or probabilities.max() > 1 + 1e-6:
        raise ValueError("probabilities: expected values in 0..1, got logits?")
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # (low, high]
    counts = np.bincount(which, minlength=bins)
    middle = (edges[:-1] + edges[1:]) / 2
    some = np.maximum(counts, 1)
    mean = np.bincount(which, confidence, bins) / some
    accuracy = np.bincount(which, right, bins) / some
    ece = float((counts * np.abs(mean - accuracy)).sum() / len(labels))
    mean = np.where(counts > 0, mean, middle)
    return Reliability(
        tuple(edges.tolist()),
        tuple(counts.tolist()),
        tuple(mean.tolist()),
        tuple(accuracy.tolist()),
        ece,
    )


def _checked(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, labels = np.asarray(values, np.float64), np.asarray(labels)
    if values.ndim != 2 or labels.shape != values.shape[:1] or not len(labels):
        raise ValueError(
            f"expected (n, c) values and (n,) labels, n > 0, got {values.shape} and {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= values.shape[1]:
        raise ValueError(f"labels: expected 0..{values.shape[1] - 1}, got {labels.max()}")
    return values, labels.astype(np.int64)
