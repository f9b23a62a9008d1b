"""Tables as text: the same cells in every form, and in a terminal no line that is too long."""

import pytest

from ecstfl.evaluation.grid import Grid, Page, to_csv

HEAD = ("Method", *(f"measure {n}" for n in range(8)))
GRID = Grid(
    HEAD,
    (
        ("C3D, softmax only", *(f"{10 * n:.2f} [1.0, 2.0]" for n in range(8))),
        ("difference: a method", *([""] * 7), "+1.00 [-1.0, +3.0]"),
    ),
)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_narrow_terminal_gets_every_cell_and_no_line_that_it_breaks(width):
    text = Page((GRID, "A sentence."), ("a note",)).fitted(width)
    assert max(map(len, text.splitlines())) <= width
    for line in GRID.lines:
        assert line[0] in text
        for head, cell in zip(HEAD[1:], line[1:], strict=True):
            assert f"{head} {cell}".strip() in text or not cell
    assert "measure 0 \n" not in text
    assert text.endswith("- a note\n")


def test_a_wide_one_and_a_file_get_the_table():
    page = Page((GRID,))
    assert page.fitted(500) == page.markdown()
    assert page.markdown().startswith("| Method | measure 0 |")
    assert page.markdown().splitlines()[1] == "|---|" + "---:|" * 8


def test_a_file_for_spreadsheets_has_nothing_where_there_is_no_number():
    text = to_csv(["a", "b"], [["x, y", float("nan")], ["z", 0.5]])
    assert text == 'a,b\n"x, y",\nz,0.500000\n'
