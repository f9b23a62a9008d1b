"""The lessons run from first to last cell in the smoke profile, and meet mistakes with a sentence.

A kernel takes its seconds, so by default one lesson is executed as a whole; the rest is ``slow``.
"""

import asyncio
import re
from pathlib import Path
from queue import Empty

import pytest

pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

from lessonkit.builder import books, execution, reading  # noqa: E402
from lessonkit.builder import build as notebooks  # noqa: E402
from lessonkit.frames import MIME as FRAMES  # noqa: E402

from ecstfl.errors import UserError  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NAMES = [path.stem for path in reading.sources(ROOT)]


def complete(name):
    return books.read_notebook(notebooks.complete_path(ROOT, name))


HOME = f"import sys\nsys.path.append({str(ROOT / 'notebooks')!r})\n"
"""What the first cell of a lesson does, for notebooks that have none."""


def trial(*cells):
    """Return a notebook of code cells."""
    lesson = reading.Lesson("99_trial", ())
    texts = [reading.Cell("code", text) for text in cells]
    return books._notebook(lesson, [books._plain_cell(c, c.text) for c in texts], {})


@pytest.mark.parametrize(
    "name",
    [n if n.startswith("04") else pytest.param(n, marks=pytest.mark.slow) for n in NAMES],
)
def test_lesson_runs_in_the_smoke_profile_and_shows_what_it_showed(name, tmp_path, monkeypatch):
    """From another folder than its own; same cells, and the same kinds of output in each."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    built = complete(name)
    done = execution.execute(built, tmp_path, profile="smoke")
    assert execution.examine_outputs(done.notebook, [str(tmp_path), str(ROOT)]) == []
    for cell, shown in zip(done.notebook.cells, built.cells, strict=True):
        if cell.cell_type == "code":
            assert kinds(cell) == kinds(shown), cell.source
    assert done.memory < 4e9


def kinds(cell):
    """Kinds of each output; the frames of a slider are drawn for built lessons only."""
    return [sorted({*o.get("data", {"text": 0})} - {FRAMES}) for o in cell.outputs]


def mistaken(text):
    """Return a cell that is expected to fail."""
    cell = nbformat.v4.new_code_cell(text)
    cell.metadata["tags"] = ["raises-exception"]
    return cell


def told(cell):
    """Return what a failed cell shows, without colours."""
    (error,) = (o for o in cell.outputs if o.output_type == "error")
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in error.traceback]


MISTAKES = {
    "os.environ['ECSTFL_PROFILE'] = 'fast'\nstart('99')": "set it to one of smoke, quick, full",
    "os.environ['ECSTFL_PROFILE'] = 'smoke'\nstart('99')\nnot_defined_above": "Run All Above",
    "from ecstfl.errors import UserError\nraise UserError('Do this.')": "Do this.",
    "raise NotImplementedError('Exercise 9.8')\nmade_there = 1": "9.8 is not solved yet",
    "further = made_there + 1": "made_there is made by a cell above that waits for Exercise 9.8",
    "print(further)": "further is made by a cell above that waits for Exercise 9.8",
    "with check('9.9'):\n    raise NotImplementedError": "waits for your answer",
    "with check('9.9'):\n    answer(1)": "Run the cells above first",
    "with check('9.9'):\n    assert 1 == 2, 'one is not two'": "one is not two",
    "def f():\n    return 1 / 0\nwith check('9.9'):\n    f()": "in f: return 1 / 0",
    "os.environ['ECSTFL_DATA'] = 'nowhere'\nlessons.embedded_clip('Happy')": "no embedded data",
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Cells executed in one kernel: mistakes, then sliders and a quiz, which raise if wrong."""
    book = trial(
        HOME + "import os\nfrom lessonkit import lessons, plots_formula\n"
        "from lessonkit.checks import check\nfrom lessonkit.lessons import start",
        "settings = lessons.start('99')\ndrawn = []\ndef draw(**values):\n"
        "    drawn.append(values)\n    return plots_formula.loss_field(**values)\n"
        "w = lessons.play(draw, separation=(0.0, 4.0), spread=(0.1, 1.5))\nw.update()",
        "first = [o['data']['image/png'] for o in w.out.outputs]\nw.children[0].value = 4.0",
        "later = [o['data']['image/png'] for o in w.out.outputs]\n"
        "assert len(first) == len(later) == 1 and first != later\n"
        "assert drawn[-1]['separation'] == 4.0\n"
        "assert not w.children[0].continuous_update",
        "q = lessons.ask('Which?', ['a', 'b'], lessons.seal('Which?', 1, ['no', 'yes <b>']))\n"
        "import ipywidgets\nmade = []\nkeep = ipywidgets.VBox\n"
        "ipywidgets.VBox = lambda c: made.append(keep(c)) or made[0]\nq\nq._ipython_display_()\n"
        "head, buttons, reply = made[0].children\nassert reply.value == ''\nbuttons.index = 1\n"
        "assert reply.value == 'Right. yes &lt;b&gt;'",
    )
    book.cells[1:1] = [mistaken(text) for text in MISTAKES]
    folder = tmp_path_factory.mktemp("kernel")
    return execution.execute(book, folder, profile="smoke", widgets=True).notebook.cells[1:]


@pytest.mark.parametrize(("number", "sentence"), enumerate(MISTAKES.values()))
def test_mistakes_are_met_with_a_sentence(cells, number, sentence):
    """What a student sees: no traceback from the depth of the package."""
    lines = told(cells[number])
    assert sentence in lines[-1], lines
    assert not any("site-packages" in line or "lessons.py" in line for line in lines), lines
    assert len(lines) == 1 or "Run All Above" in sentence  # there the student's line helps


def test_sliders_redraw_and_quizzes_answer(cells):
    assert len(cells) == len(MISTAKES) + 4  # all without an error


@pytest.mark.slow
def test_a_lesson_without_its_data_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ECSTFL_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"stops with UserError: no embedded data in .* name the"):
        execution.execute(complete("03_frames"), tmp_path, profile="smoke")


@pytest.mark.slow
def test_a_lesson_run_out_of_order_says_what_to_run(tmp_path):
    """After the first two cells, a cell from the middle: a hint below the student's own line."""
    book = complete("04_formula")
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    use = next(c for c in code if c.source.startswith("for i in range(4)"))
    graded = next(c for c in code if c.source.startswith('with check("4.3")'))
    cells = [*code[:2], mistaken(use.source), mistaken(graded.source)]
    trial_book = trial("pass")
    trial_book.cells = cells
    done = execution.execute(trial_book, tmp_path, profile="smoke").notebook
    lines = told(done.cells[2])
    assert "NameError" in "".join(lines)
    assert "Run All Above" in lines[-1]
    assert not any("site-packages" in line or "ecstfl/" in line for line in lines)
    (line,) = told(done.cells[3])
    assert "Run the cells above first, your answer too" in line


def test_a_reply_whose_wake_up_was_used_up_is_still_read():
    """Writing on the socket that is waited on can use up the wake-up: nbclient does it."""
    import zmq.asyncio

    class Channel:
        def __init__(self, socket):
            self.socket = socket

        async def get_msg(self, timeout=None):
            if await self.socket.poll(None if timeout is None else int(1000 * timeout)):
                return await self.socket.recv()
            raise Empty

    async def lose(patient):
        context = zmq.asyncio.Context()
        with (
            context.socket(zmq.PAIR) as here,
            zmq.Context.shadow(context).socket(zmq.PAIR) as there,
        ):
            here.bind("inproc://reply")
            there.connect("inproc://reply")
            channel = Channel(here)
            if patient:
                execution._ask_again(channel, every=0.05)
            waiting = asyncio.ensure_future(channel.get_msg(timeout=200))
            await asyncio.sleep(0.05)
            there.send(b"reply")
            zmq.Socket.shadow(here.underlying).get(zmq.EVENTS)  # what a write does, too
            done, _ = await asyncio.wait([waiting], timeout=100 if patient else 1)
            waiting.cancel()
            return bool(done) and waiting.result() == b"reply"

    assert not asyncio.run(lose(patient=False)), "nothing was lost: the trial proves nothing"
    assert asyncio.run(lose(patient=True))


def test_a_failing_cell_is_named(tmp_path):
    with pytest.raises(UserError, match=r"99_trial, cell 1 stops with ZeroDivisionError"):
        execution.execute(trial("x = 1", "x / 0"), tmp_path)


@pytest.mark.slow
def test_a_cell_that_takes_too_long_is_named(tmp_path):
    with pytest.raises(UserError, match=r"99_trial, cell 0 takes longer than 1 s"):
        execution.execute(trial("import time\ntime.sleep(60)"), tmp_path, timeout=1)
