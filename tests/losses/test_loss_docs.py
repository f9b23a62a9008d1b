"""docs/loss.md leads from formula to code to test: every link must arrive."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from lessonkit.composition import composition

PAGE = Path(__file__).parents[2] / "docs" / "loss.md"
TEXT = PAGE.read_text(encoding="utf-8")
LINKS = re.findall(r"\[`(\w+)`\]\((\S+?\.py)\)", TEXT)


def test_there_are_links():
    assert len(LINKS) > 20


@pytest.mark.parametrize(("name", "path"), sorted(set(LINKS)))
def test_the_named_function_is_where_the_link_points(name, path):
    source = (PAGE.parent / path).resolve().read_text(encoding="utf-8")
    assert re.search(rf"^\s*(def|class) {name}\b", source, re.MULTILINE)


def test_the_table_of_chances_is_the_computed_one():
    for row in composition(24):
        shares = (row.missing, row.alone, row.pair)
        line = f"| {row.name} | {100 * row.share:.2f} % | "
        line += " | ".join(f"{100 * share:.1f} %" for share in shares) + " |"
        assert line in TEXT


def test_every_line_of_the_tables_of_costs_is_the_measured_one():
    spec = importlib.util.spec_from_file_location(
        "benchmark_of_loss", PAGE.parents[1] / "benchmarks" / "loss.py"
    )
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    record = json.loads((PAGE.parents[1] / "benchmarks" / "loss.json").read_text(encoding="utf-8"))
    assert {(row["n"], row["d"]) for row in record["rows"]} >= {
        (n, d) for n in benchmark.SIZES for d in benchmark.WIDTHS
    }
    for line in benchmark.tables(record).splitlines():
        assert line in TEXT.splitlines()
