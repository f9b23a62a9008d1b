"""What docs/data.md says is so: its example reader runs, its list of findings is whole."""

import re
from pathlib import Path

from test_badinput import DEFECTS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
READERS = ("survey", "dfew", "ravdess", "cremad", "folder", "datadoctor")


def kinds_in_code():
    found = set()
    for name in READERS:
        code = (ROOT / "ecstfl" / f"{name}.py").read_text(encoding="utf-8")
        found |= set(re.findall(r'"([a-z]+(?:-[a-z]+)*)",\s*"(?:error|warning|info)"', code))
        found |= set(re.findall(r'kind(?:, severity, text)? = "([a-z-]+)"', code))
    found |= {"label-range", "bad-row"}  # chosen by a condition in folder.py
    return found - {"error", "warning", "info"}


def test_every_kind_of_finding_is_documented():
    kinds = kinds_in_code()
    assert len(kinds) > 30
    documented = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", TEXT))
    assert kinds <= documented


def test_every_kind_of_finding_is_planted_somewhere():
    planted = {kind for _, _, kind, _, _ in DEFECTS}
    elsewhere = {  # tests/datasets/test_dfew.py, test_ravdess.py, test_datadoctor.py
        "label-offset", "label-ambiguous", "class-counts", "fold-counts", "missing-actor",
        "votes-disagree", "votes-unread", "cut-off", "duplicate",
    }  # fmt: skip
    assert kinds_in_code() - planted <= elsewhere
    for kind in elsewhere:
        tests = (ROOT / "tests").glob("test_*.py")
        assert any(f'"{kind}"' in path.read_text() for path in tests if path != Path(__file__)), (
            kind
        )


def test_the_example_reader_runs(tmp_path):
    (code,) = re.findall(r'```python\n("""MySet.*?)```', TEXT, re.DOTALL)
    space = {}
    exec(code, space)
    for person in ("anna", "bob", "cy"):
        for label in ("happy", "sad"):
            (tmp_path / f"{person}_{label}_1.mp4").touch()
    (tmp_path / "holiday.mp4").touch()
    clips = space["open_myset"](tmp_path)
    assert len(clips) == 6
    assert clips.folds == (1, 2, 3)
    assert {c.id: (c.label, c.group) for c in clips}["bob_sad_1"] == (1, "bob")
    assert any("holiday.mp4" in note for note in clips.notes)
    for fold in clips.folds:
        clips.split(fold)
