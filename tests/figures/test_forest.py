"""Forest plot: every pair, and the pooled difference with its interval."""

import pytest
from madeup import made_up_run, made_up_table
from toy import toy_config, toy_data

from ecstfl.evaluation.differences import WAR, change, compare
from ecstfl.figures.forest import forest


@pytest.fixture(scope="module")
def table():
    return made_up_table(folds=(1, 2, 3, 4), seeds=(0, 1, 2))


def test_runs_without_a_twin_are_refused():
    clipset = toy_data()[0]
    with pytest.raises(ValueError, match="softmax-only twins"):
        forest([made_up_run(toy_config(clipset, fold=f))[0] for f in (1, 2)])


def test_the_picture_shows_every_pair_and_the_numbers(table):
    runs = [run for run, _ in table.values()]
    figure = forest(runs)
    left = figure.axes[0]
    (compared,) = compare(runs)
    drawn = {round(float(x), 9) for line in left.lines for x in line.get_xdata()}
    assert {round(p.gain(WAR), 9) for p in compared.pairs} <= drawn
    pooled = change(compared.pairs, WAR)
    text = "\n".join(t.get_text() for t in left.texts)
    assert f"{pooled.value:+.1f} [{pooled.low:+.1f}, {pooled.high:+.1f}]" in text
    assert [t.get_text() for t in left.get_yticklabels()][1:] == [f"fold {f}" for f in (1, 2, 3, 4)]
    assert "SYNTHETIC" in figure.get_suptitle()
    assert "jackknife over folds" in figure.get_suptitle()


def test_it_is_drawn_from_run_json_alone_also_for_a_single_pair():
    clipset = toy_data()[0]
    runs = [made_up_run(toy_config(clipset, method=m))[0] for m in ("softmax", "ec-stfl")]
    assert "no interval" in forest(runs).get_suptitle()
