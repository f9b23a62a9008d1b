"""What docs/data.md says is so: its example reader runs, its list of findings is whole."""

import re
from pathlib import Path

from test_badinput import DEFECTS

from ecstfl.datasets.findings import usable_clips

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def test_every_planted_kind_of_finding_is_documented():
    documented = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", TEXT))
    assert {kind for _, _, kind, _, _ in DEFECTS} <= documented


def test_the_example_reader_runs(tmp_path):
    (code,) = re.findall(r'```python\n("""MySet.*?)```', TEXT, re.DOTALL)
    space = {}
    exec(code, space)
    for person in ("anna", "bob", "cy"):
        for label in ("happy", "sad"):
            (tmp_path / f"{person}_{label}_1.mp4").touch()
    (tmp_path / "holiday.mp4").touch()
    clips = usable_clips(space["inspect_myset"](tmp_path))
    assert len(clips) == 6
    assert clips.folds == (1, 2, 3)
    assert {c.id: (c.label, c.group) for c in clips}["bob_sad_1"] == (1, "bob")
    assert any("holiday.mp4" in note for note in clips.notes)
    for fold in clips.folds:
        clips.split(fold)
