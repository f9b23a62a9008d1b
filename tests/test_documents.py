"""What the documents show is true: numbers stand in landed results, links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/*.md"))
)
NUMBER = r"[-+−]?\d+(?:\.\d+)?"
CHANGE = re.compile(rf"(?:({NUMBER}) )?\[({NUMBER}), ({NUMBER})\]")


def plain(text):
    return text.replace("−", "-").replace("**", "")


def tables(path):
    return [line for line in plain(path.read_text()).splitlines() if line.startswith("|")]


def changes(lines):
    """(mean or None, low, high) as printed, of every interval in the lines."""
    return [match.groups() for line in lines for match in CHANGE.finditer(line)]


def same(shown, landed):
    """Whether a landed number, rounded to the digits that a document shows, is that number."""
    digits = len(shown.partition(".")[2])
    return abs(float(landed) - float(shown)) <= 0.5 * 10**-digits + 1e-9


@pytest.fixture(scope="module")
def landed():
    """Every change with its interval that a landed table holds."""
    found = set()
    for path in (ROOT / "results" / "landed").glob("*/*.md"):
        found |= set(changes(tables(path)))
    return found


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_every_interval_of_a_table_stands_in_a_landed_one(page, landed):
    shown = changes(tables(ROOT / page))
    assert len(shown) >= 2
    for mean, low, high in shown:
        assert any(
            same(low, a) and same(high, b) and (mean is None or (m is not None and same(mean, m)))
            for m, a, b in landed
        ), f"{page}: {mean} [{low}, {high}] stands in no landed table"


def slugs(text):
    """Anchors of a page's headings, as code hosts make them."""
    out = set()
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        out.add(re.sub(r"[^\w\- ]", "", title.lower().strip()).replace(" ", "-"))
    return out


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    path = ROOT / page
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{page}: {link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in slugs(target.read_text()), f"{page}: {link} has no such heading"
