"""The benchmark of the loss: it runs to its end, adds slices, and its record is the document's."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("benchmark_of_loss", ROOT / "benchmarks" / "loss.py")
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)


def row(record, n, name):
    (found,) = [r for r in record["rows"] if (r["n"], r["name"]) == (n, name)]
    return found


def test_runs_to_its_end_and_adds_slices(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "step_share", lambda device: STEP | {"device": device})
    path = tmp_path / "loss.json"
    common = ["--device", "cpu", "--widths", "5", "--seconds", "0.01", "--json", str(path)]
    benchmark.main([*common, "--sizes", "6"])
    first = json.loads(path.read_text())
    benchmark.main([*common, "--sizes", "9", "--parts", "sizes"])
    record = json.loads(path.read_text())
    assert {r["n"] for r in record["rows"]} == {6, 9}
    assert [r for r in record["rows"] if r["n"] == 6] == first["rows"]
    for name in ("ec_stfl patent", "ec_stfl released", "patent by torch.cdist"):
        assert row(record, 9, name)["ms"] > 0
        assert row(record, 9, name)["peak MB"] > 0
    assert row(record, 9, "bare torch.cdist")["x cdist"] == 1
    assert record["step"] == [STEP]
    assert "| ec_stfl patent |" in capsys.readouterr().out
    benchmark.main(["--table", str(path)])
    assert "0.500 % (5 ms of 1 s, from batch 1 and 3;" in capsys.readouterr().out


STEP = {
    "device": "cpu",
    "step s": 1.0,
    "measured": "from batch 1 and 3",
    "joint ms": 5.0,
    "softmax ms": 2.0,
    "share": 0.005,
}


def test_time_is_measured_where_it_passes():
    """A pass takes the time that its backward takes as well."""

    def slow(x, y):
        return (x @ x.T).sum()

    x, y = torch.randn(200, 300), torch.zeros(200)
    assert 0 < benchmark.one_pass(slow, x, y) < 60
    assert benchmark.peak_megabytes(slow, x, y) >= 200 * 200 * 4 / 2**20
