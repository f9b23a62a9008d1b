"""All renderings show the same numbers, and rows are what they say."""

import csv
import io
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from toy import toy_config, toy_data

from ecstfl.evaluation.rows import METHOD_NAMES, method_name, row_names
from ecstfl.evaluation.table import HEAD, build_table, grid, notes, page, to_csv
from ecstfl.files import write_json
from ecstfl.labels import CLASSES
from ecstfl.models.backbones import BackboneConfig
from ecstfl.runs.config import OptimConfig
from ecstfl.runs.run_folder import run_directory, write_features


@pytest.fixture(scope="module")
def clipset():
    return toy_data(groups=6, folds=3)[0]


def land(results, config, clipset, right, seed=0):
    """Write a finished run whose predictions are right with a given probability."""
    rng = np.random.default_rng([seed, config.fold, config.seed])
    chosen = [c for c in clipset if c.fold == config.fold]
    labels = np.array([c.label for c in chosen])
    predictions = np.where(rng.random(len(labels)) < right, labels, (labels + 1) % 7)
    confusion = np.zeros((7, 7), int)
    np.add.at(confusion, (labels, predictions), 1)
    each = np.diag(confusion) / confusion.sum(axis=1)
    directory = run_directory(results, config)
    write_features(
        directory,
        ids=np.array([c.id for c in chosen]),
        labels=labels.astype(np.int8),
        groups=np.array([c.group for c in chosen]),
        predictions=predictions.astype(np.int8),
    )
    run = {
        "schema": 1,
        "name": config.name,
        "config": asdict(config),
        "config_hash": config.hash,
        "synthetic": True,
        "confusion": confusion.tolist(),
        "history": [],
        "recalls": each.tolist(),
        "uar": float(each.mean()),
        "war": float((labels == predictions).mean()),
        "n_held_out": len(labels),
        "seconds": 1.0,
        "device": "cpu",
        "finished": "2026-01-01T00:00:00Z",
        "provenance": {"commit": "0123456789abcdef", "modified": True},
    }
    write_json(directory / "run.json", run)
    return labels, predictions


@pytest.fixture(scope="module")
def landed(tmp_path_factory, clipset):
    """Softmax, EC-STFL and center loss on C3D, two folds, two seeds; softmax on P3D."""
    results = tmp_path_factory.mktemp("results")
    chances = {"softmax": 0.5, "ec-stfl": 0.7, "center": 0.6}
    configs = [
        toy_config(clipset, method=m, weight=0.1, fold=fold, seed=seed)
        for seed in (0, 1)
        for fold in (1, 2)
        for m in chances
    ]
    configs.append(toy_config(clipset, method="softmax", backbone=BackboneConfig("p3d")))
    for config in configs:
        land(results, config, clipset, chances[config.loss.method])
    return results, configs, build_table(results, configs)


def from_markdown(text):
    rows = [x.strip("| ").replace("*", "") for x in text.splitlines() if x.startswith("| ")]
    return [[c.strip() for c in re.split(r"\|", row)] for row in rows]


def padded(rows):
    return [[*row, *[""] * (len(HEAD) - len(row))] for row in rows]


def test_markdown_shows_the_cells(landed):
    table = landed[2]
    expected = [list(HEAD), *(list(line) for line in grid(table).lines)]
    assert padded(from_markdown(page(table).markdown())) == expected
    assert {len(row) for row in expected} == {11}


def test_csv_rounds_to_what_is_drawn(landed):
    table = landed[2]
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    drawn = grid(table).lines[:4]
    assert len(rows) == len(drawn) == 4
    for row, cells in zip(rows, drawn, strict=True):
        assert row["method"] == cells[0]
        for name in CLASSES:
            assert float(row[name]) * 100 == pytest.approx(
                float(cells[HEAD.index(name)]), abs=0.006
            )
        for name in ("uar", "war"):
            numbers = [float(row[f"{name}{end}"]) * 100 for end in ("", "_low", "_high")]
            shown = re.findall(r"[\d.]+", cells[8 if name == "uar" else 9])[:3]
            assert numbers == pytest.approx([float(x) for x in shown], abs=0.051)


def test_every_mark_is_in_every_rendering(landed):
    table = landed[2]
    assert table.marks
    for text in (page(table).markdown(), to_csv(table)):
        for mark in table.marks:
            assert mark in text


def test_rows_are_methods_on_backbones(landed):
    table = landed[2]
    assert [row.method for row in table.rows] == [
        "C3D, softmax only",
        "C3D, EC-STFL (patent, lambda 0.1)",
        "C3D, center loss (lambda 0.1)",
        "P3D-63, softmax only",
    ]
    assert [row.runs for row in table.rows] == [4, 4, 4, 1]
    assert [row.seeds for row in table.rows] == [2, 2, 2, 1]
    assert [d.method for d in table.differences] == [r.method for r in table.rows[1:3]]
    assert [row.method for row in table.published] == [
        "C3D",
        "C3D, EC-STFL",
        "C3D, center loss",
        "P3D",
    ]


def test_every_method_has_a_name(clipset):
    for method in METHOD_NAMES:
        config = toy_config(clipset, method=method, weight=0.1)
        assert METHOD_NAMES[method] in method_name(config)


def test_differences_pair_runs_of_one_fold_and_seed(landed, clipset):
    results, configs, table = landed
    (difference,) = [d for d in table.differences if "EC-STFL" in d.method]
    import json

    wars = {
        (c.loss.method, c.fold, c.seed): json.loads(
            (run_directory(results, c) / "run.json").read_text()
        )["war"]
        for c in configs
        if c.backbone.name == "c3d"
    }
    gains = [
        wars["ec-stfl", fold, seed] - wars["softmax", fold, seed]
        for fold in (1, 2)
        for seed in (0, 1)
    ]
    assert difference.pairs == 4
    assert difference.war.value == pytest.approx(np.mean(gains))  # folds of one size
    signs = np.array(np.meshgrid(*[[1, -1]] * 4)).reshape(4, -1).T
    expected = (np.abs(signs @ gains) >= abs(sum(gains)) - 1e-12).mean()
    assert difference.p_war == pytest.approx(expected)
    assert any("4 paired runs" in note for note in notes(table))
    assert any("training seeds in rows of several" in note for note in notes(table))  # P3D has one


def test_settings_that_differ_are_never_pooled_and_are_named(tmp_path, clipset):
    plain = toy_config(clipset, method="softmax")
    larger = replace(plain, optim=OptimConfig(epochs=3, batch=28, lr=5e-3))
    tapped = toy_config(clipset, backbone=replace(plain.backbone, tap="fc7"))
    configs = [plain, larger, tapped, replace(tapped, optim=larger.optim)]
    names = list(row_names(configs).values())
    assert names == [
        "C3D, softmax only, batch 14",
        "C3D, softmax only, batch 28",
        "C3D, EC-STFL (patent, lambda 0.1), batch 14",
        "C3D, EC-STFL (patent, lambda 0.1), batch 28",
    ]
    for number, config in enumerate(configs):
        land(tmp_path, config, clipset, 0.2 + 0.2 * number)
    table = build_table(tmp_path, configs)
    assert [row.runs for row in table.rows] == [1, 1, 1, 1]
    # each against the softmax-only row of its own batch, whose tap changes nothing
    for difference, ours, base in zip(
        table.differences, table.rows[2:], table.rows[:2], strict=True
    ):
        assert difference.war.value == pytest.approx(ours.war.value - base.war.value)
    alone = build_table(tmp_path, [plain, configs[3]])
    assert alone.differences == ()


def test_a_row_without_common_runs_has_no_difference(tmp_path, clipset):
    one = toy_config(clipset, method="softmax", fold=1)
    other = toy_config(clipset, fold=2)
    for config in (one, other):
        land(tmp_path, config, clipset, 0.5)
    table = build_table(tmp_path, [one, other])
    assert len(table.rows) == 2
    assert table.differences == ()
