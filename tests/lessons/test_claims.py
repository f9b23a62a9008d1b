"""Claims lead to code, a test and a lesson."""

from pathlib import Path

import pytest
from lessonkit import claims

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "notebooks" / "src"


def test_every_claim_leads_to_code_a_test_and_its_lesson():
    assert claims.broken(ROOT) == []
    assert len(claims.markdown().splitlines()) == len(claims.LINKS) + 2


def test_stale_links_are_found():
    test = "test_values_by_hand"
    used = claims.sections_with((SOURCES / "04_formula.py").read_text(), "ec_stfl_loss")
    links = (
        claims.Link("a", "", "ecstfl.losses.ec_stfl.no_such_loss", test),
        claims.Link("b", "", "ecstfl.no_module.x", test),
        claims.Link("c", "", "ecstfl.losses.ec_stfl.ec_stfl_loss", "test_values_by_nobody"),
        claims.Link("d", "", "ecstfl.losses.ec_stfl.ec_stfl_loss", "test_x_of_none"),
        claims.Link("e", "", "ecstfl.losses.ec_stfl.ec_stfl_loss", test, "98_none", "x"),
        claims.Link("f", "", "ecstfl.losses.ec_stfl.ECSTFLLoss", test, "07_table", "x"),
        claims.Link("g", "", "ecstfl.losses.ec_stfl.ec_stfl_loss", test, "04_formula", used[1]),
        claims.Link("h", "", "ecstfl.losses.ec_stfl.ec_stfl_loss", test, "04_formula", used[0]),
    )
    assert [line[0] for line in claims.broken(ROOT, links)] == ["a", "b", "c", "d", "e", "f", "g"]
    with pytest.raises(ValueError, match="claim 99"):
        claims.find("claim 99")


def test_only_what_a_student_sees_counts_as_use():
    source = (
        '# %% [markdown] part="header"\n# # 01 · Test\n#\n# `tim` here\n\n'
        '# %% part="setup"\nfrom x import tim\n\n'
        "# %% [markdown]\n# ## One\n#\n# tim without its marks\n#\n# ## Two\n\n"
        "# %%\nfrom x import (\n    tim,\n)\n\n# %% [markdown]\n# ## Three\n\n"
        '# %% exercise="1.1" part="answer"\ntim()\n\n# %% exercise="1.1" part="hidden"\ntim()\n\n'
        "# %% [markdown]\n# ### Four\n#\n# Now `tim(x)`.\n#\n# ## Five\n\n# %%\nx.tim(1)\n"
    )
    assert claims.sections_with(source, "tim") == ["Four", "Five"]


def test_every_step_of_the_claims_has_its_row():
    text = " ".join(link.where for link in claims.LINKS)
    steps = ["1 (1)", "1 (2)", "1 (3)", "1 (5)", "2 (2-1)", "2 (2-2)", "2 (2-3)", "2 (2-4)"]
    steps += ["3 (3-1)", "3 (3-2)", "3 (3-3)", "4", "5"]
    for step in steps:
        assert f"claim {step}" in text, step
    assert all(link.lesson for link in claims.LINKS)
