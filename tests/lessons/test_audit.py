"""The audit against brute force, scikit-learn, simulation and the numbers in print."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lessonkit.audit import (
    decode,
    decode_hits,
    gain_interval,
    mcnemar_bounds,
    overlaps,
    run_spread,
    wilson,
)
from scipy import stats

from ecstfl.datasets.dfew import FOLD_COUNTS
from ecstfl.evaluation.published import (
    LAMBDA_SWEEP,
    PAPER_ROWS,
    PATENT_TABLE_1,
    SAME_SETTING,
)
from ecstfl.labels import DFEW_COUNTS

BASELINE, CLAIMED = PATENT_TABLE_1


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_decoding_finds_the_clips_that_were_printed(pair):
    hits, clips = pair
    assert decode(round(100 * hits / clips, 2), clips) == hits


@pytest.mark.parametrize(("percent", "clips"), [(33.0, 100), (1.38, 145), (50.0, 2)])
def test_decoding_agrees_with_trying_every_integer(percent, clips):
    tried = [k for k in range(clips + 1) if f"{100 * k / clips:.2f}" == f"{percent:.2f}"]
    assert tried == [decode(percent, clips)]


def test_decoding_refuses_what_no_clips_give_and_what_several_give():
    with pytest.raises(
        ValueError, match=r"one number of 145 clips that prints as 1\.00 %, got non"
    ):
        decode(1.0, 145)
    with pytest.raises(ValueError, match="got 101, from 950 to 1050"):
        decode(0.1, 1_000_000)
    with pytest.raises(ValueError, match="expected 7 recalls, got 2"):
        decode_hits((1.0, 2.0))


@pytest.mark.parametrize("row", PAPER_ROWS, ids=lambda row: row.method)
def test_every_printed_row_is_whole_clips(row):
    hits = decode_hits(row.recalls)
    printed = [f"{100 * h / n:.2f}" for h, n in zip(hits, DFEW_COUNTS, strict=True)]
    assert printed == [f"{r:.2f}" for r in row.recalls]
    # R3D18 is the one row whose averages are a hundredth off
    averages = [100 * np.mean(hits / np.array(DFEW_COUNTS)), 100 * sum(hits) / sum(DFEW_COUNTS)]
    follow = [f"{a:.2f}" for a in averages] == [f"{row.uar:.2f}", f"{row.war:.2f}"]
    assert follow is (row.method != "R3D18")


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(pair):
    hits, clips = pair
    ours = wilson(hits, clips)
    theirs = stats.binomtest(hits, clips).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((100 * theirs.low, 100 * theirs.high), abs=1e-6)


@pytest.mark.parametrize("pair", [(3, 2), (-1, 2), (0, 0)])
def test_wilson_refuses_impossible_counts(pair):
    with pytest.raises(ValueError, match="0 <= hits <= clips"):
        wilson(*pair)


def test_overlaps_are_what_enumeration_finds():
    """All ways for two models to be right on 5 clips, grouped by how often each is."""
    clips = 5
    found = {}
    for a in itertools.product((0, 1), repeat=clips):
        for b in itertools.product((0, 1), repeat=clips):
            both = sum(x & y for x, y in zip(a, b, strict=True))
            found.setdefault((sum(a), sum(b)), []).append(both)
    for (a, b), seen in found.items():
        bounds = overlaps([a], [b], [clips])
        assert (bounds.fewest[0], bounds.most[0]) == (min(seen), max(seen))
        assert bounds.chance[0] == pytest.approx(np.mean(seen))
    with pytest.raises(ValueError, match="hits within"):
        overlaps([6], [2], [5])


def test_mcnemar_bounds_bracket_every_overlap():
    first, second, counts = [6, 3], [8, 2], [10, 6]
    bounds = mcnemar_bounds(first, second, counts)
    ps = []
    for x in range(4, 7):  # 6 + 8 - 10 .. 6
        for y in range(0, 3):  # 0 .. 2
            only_first, only_second = 6 - x + 3 - y, 8 - x + 2 - y
            ps.append(stats.binomtest(only_first, only_first + only_second).pvalue)
    assert bounds["most"] == (1, 2, pytest.approx(min(ps)))
    assert bounds["fewest"] == (5, 6, pytest.approx(max(ps)))
    assert mcnemar_bounds([2], [2], [3])["most"] == (0, 0, 1.0)


def test_mcnemar_of_the_claim():
    bounds = mcnemar_bounds(decode_hits(BASELINE.recalls), decode_hits(CLAIMED.recalls))
    for only_first, only_second, _ in bounds.values():
        assert only_second - only_first == 229
    assert bounds["most"][:2] == (29, 258)  # Neutral -8, Angry -21; the others gain
    assert bounds["most"][2] < bounds["chance"][2] < bounds["fewest"][2] < 0.05


@pytest.mark.parametrize("metric", ["uar", "war"])
@pytest.mark.parametrize("which", ["most", "chance", "fewest"])
def test_the_gains_interval_is_that_of_redrawn_clips(metric, which):
    """Draw clips class by class from the four cells of 'who is right' and score both models."""
    first, second = decode_hits(BASELINE.recalls), decode_hits(CLAIMED.recalls)
    both = getattr(overlaps(first, second), which)
    rng = np.random.default_rng(0)
    differences = np.zeros(8000)
    for a, b, ab, n in zip(first, second, both, DFEW_COUNTS, strict=True):
        cells = np.array([ab, a - ab, b - ab, n - a - b + ab]) / n
        drawn = rng.multinomial(n, cells, size=8000)
        share = 1 / (7 * n) if metric == "uar" else 1 / 11_697
        differences += 100 * (drawn[:, 2] - drawn[:, 1]) * share
    interval = gain_interval(first, second, both, metric)
    low, high = np.quantile(differences, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.06)
    printed = CLAIMED.war - BASELINE.war if metric == "war" else CLAIMED.uar - BASELINE.uar
    assert interval.value == pytest.approx(printed, abs=0.01)


@settings(max_examples=50)
@given(st.data())
def test_less_overlap_never_narrows_the_interval(data):
    counts = data.draw(st.lists(st.integers(1, 50), min_size=2, max_size=4))
    first = [data.draw(st.integers(0, n)) for n in counts]
    second = [data.draw(st.integers(0, n)) for n in counts]
    both = overlaps(first, second, counts)
    for metric in ("uar", "war"):
        tight, middle, wide = (
            gain_interval(first, second, overlap, metric, counts)
            for overlap in (both.most, both.chance, both.fewest)
        )
        assert wide.low - 1e-9 <= middle.low <= tight.low + 1e-9
        assert tight.value == pytest.approx(wide.value)


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="'uar' or 'war', got 'f1'"):
        gain_interval([1], [1], np.array([1]), "f1", [2])


def test_two_runs_of_one_setting_differ_by_more_than_the_gain():
    gain = CLAIMED.war - BASELINE.war
    assert all(abs(a - b) > gain for a, b in SAME_SETTING.values())
    a, b = 2.39, 3.93
    assert run_spread() == pytest.approx(np.sqrt((a**2 + b**2) / 4))
    rng = np.random.default_rng(1)
    drawn = {str(i): tuple(rng.normal(50, 3, 2)) for i in range(5000)}
    assert run_spread(drawn) == pytest.approx(3, rel=0.05)


def test_figures_5_and_6_are_whole_clips_of_fold_1():
    values = [*LAMBDA_SWEEP.values(), *itertools.chain(*SAME_SETTING.values())]
    assert all(
        f"{100 * decode(v, FOLD_COUNTS[0]) / FOLD_COUNTS[0]:.2f}" == f"{v:.2f}" for v in values
    )
    assert LAMBDA_SWEEP[10] == SAME_SETTING["C3D"][0]
