"""The numbers of docs/faces.md are those that the benchmark wrote."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "faces.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def benchmark():
    path = ROOT / "benchmarks" / "faces.py"
    spec = importlib.util.spec_from_file_location("benchmark_faces", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results():
    return json.loads((ROOT / "benchmarks" / "faces.json").read_text(encoding="utf-8"))


def test_every_row_of_the_benchmark_is_in_the_document(benchmark, results):
    rows = [line for line in benchmark.render(results).splitlines() if line]
    assert len(rows) > 30
    for row in rows:
        assert row in PAGE


def test_the_plain_transcription_is_tim(benchmark):
    import numpy as np

    from ecstfl.clips import temporal

    frames = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_allclose(benchmark.tim_plain(frames, 16), temporal.tim(frames, 16), atol=1e-8)


def test_the_picture_is_there_and_small():
    picture = ROOT / "docs" / "faces.jpg"
    assert "](faces.jpg)" in PAGE
    assert 10_000 < picture.stat().st_size < 300_000
