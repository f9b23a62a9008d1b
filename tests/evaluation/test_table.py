"""The table is what its runs say, and says what it is."""

import csv
import io

import numpy as np
import pytest
from madeup import made_up_run
from sklearn.metrics import accuracy_score, recall_score
from toy import toy_config, toy_data

from ecstfl.errors import UserError
from ecstfl.evaluation.table import build_table, notes, page, to_csv
from ecstfl.files import write_json
from ecstfl.runs.run_folder import read_features, run_directory, write_features
from ecstfl.training.loop import train_run


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    clipset, clips = toy_data()
    configs = [
        toy_config(clipset, method=method, epochs=1, fold=fold, seed=seed)
        for seed in (0, 1)
        for fold in (1, 2)
        for method in ("softmax", "ec-stfl")
    ]
    for config in configs:
        train_run(config, clipset, clips, results)
    return results, configs


def test_values_are_scikit_learns_on_the_pooled_predictions(landed):
    results, configs = landed
    table = build_table(results, configs)
    for row, method in zip(table.rows, ("softmax", "ec-stfl"), strict=True):
        runs = [
            read_features(run_directory(results, c)) for c in configs if c.loss.method == method
        ]
        labels = np.concatenate([r["labels"] for r in runs])
        predictions = np.concatenate([r["predictions"] for r in runs])
        expected = recall_score(labels, predictions, labels=range(7), average=None, zero_division=0)
        np.testing.assert_allclose(row.recalls, expected)
        assert row.war.value == pytest.approx(accuracy_score(labels, predictions))
        assert row.uar.value == pytest.approx(expected.mean())
        assert (row.runs, row.planned, row.clips) == (4, 4, 56)
        assert row.sd is not None
    (difference,) = table.differences
    assert difference.war.value == pytest.approx(table.rows[1].war.value - table.rows[0].war.value)
    assert difference.war.low <= difference.war.value <= difference.war.high


def test_marks_cannot_be_missed(landed):
    results, configs = landed
    text = page(build_table(results, configs)).markdown()
    assert "synthetic" in text
    assert "toy profile: small network" in text
    assert "INCOMPLETE" not in text
    assert "*published, DFEW: C3D*" in text
    assert "42.74" in text


def test_an_unfinished_plan_says_incomplete_and_pairs_only_what_both_have(landed, tmp_path):
    results, configs = landed
    clipset, _ = toy_data()
    more = [*configs, toy_config(clipset, method="ec-stfl", epochs=1, fold=3)]
    table = build_table(results, more)
    assert any("INCOMPLETE: 8 of 9" in mark for mark in table.marks)
    with pytest.raises(UserError, match="no finished run"):
        build_table(tmp_path, configs)


def test_the_notes_say_over_what_the_intervals_are_and_whether_rows_compare(landed):
    results, configs = landed
    half = [c for c in configs if c.loss.method == "softmax" or c.seed == 0]
    first = [c for c in configs if c.seed == 0]
    cases = (
        (configs, "test identities and training seeds", False),
        (first, "test identities and do not cover the choice of training seed", False),
        (half, "test identities, and training seeds in rows of several", True),
    )
    for plan, over, differ in cases:
        told = notes(build_table(results, plan))
        assert any(note.endswith(f"intervals resample {over}") for note in told)
        assert any("rows pool different runs" in note for note in told) == differ


def test_a_collapsed_run_is_told(tmp_path):
    """As when center loss puts out every unit of the tapped layer: one answer for every clip."""
    clipset, _ = toy_data()
    configs = [toy_config(clipset, method="center", weight=1.0, fold=fold) for fold in (1, 2, 3)]
    for config in configs:
        run, features = made_up_run(config)
        if config.fold != 2:
            features["predictions"][:] = 4
        write_features(run_directory(tmp_path, config), **features)
        write_json(run_directory(tmp_path, config) / "run.json", run)
    said = [note for note in notes(build_table(tmp_path, configs)) if "say one class" in note]
    assert len(said) == 1
    assert said[0].startswith("C3D, center loss (lambda 1): 2 of 3 run(s)")


def test_mcnemar_is_given_only_where_clips_count_once(landed):
    results, configs = landed
    two_seeds = build_table(results, configs)
    assert two_seeds.differences[0].p is None
    assert "McNemar" not in page(two_seeds).markdown()
    one_seed = build_table(results, [c for c in configs if c.seed == 0])
    assert 0 <= one_seed.differences[0].p <= 1
    assert "McNemar" in page(one_seed).markdown()


def test_csv_reads_back(landed):
    results, configs = landed
    table = build_table(results, configs)
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [r["method"] for r in rows] == [r.method for r in table.rows]
    assert float(rows[0]["war"]) == pytest.approx(table.rows[0].war.value, abs=1e-6)
    assert "synthetic" in rows[0]["marks"]


def test_every_markdown_line_has_the_same_cells(landed):
    results, configs = landed
    lines = [x for x in page(build_table(results, configs)).markdown().splitlines() if x[:1] == "|"]
    assert {line.count("|") for line in lines} == {12}
