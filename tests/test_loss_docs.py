"""docs/loss.md leads from formula to code to test: every link must arrive."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ecstfl.sampler import composition

PAGE = Path(__file__).parents[1] / "docs" / "loss.md"
TEXT = PAGE.read_text(encoding="utf-8")
LINKS = re.findall(r"\[`(\w+)`\]\((\S+?\.py)\)", TEXT)


def test_there_are_links():
    assert len(LINKS) > 25


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
