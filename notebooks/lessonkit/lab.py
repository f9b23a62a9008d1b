"""``make lab``: a student's JupyterLab, over copies of the lessons that are the student's own.

In ``notebooks/my`` (git ignores it) each lesson of ``notebooks/student`` gets a copy, and each
solved lesson one in ``solved/``. One rule: **a copy in which somebody wrote is never changed.** To
write means that the text of a cell differs; running cells is not writing. A copy without writing
follows its lesson. Beside a written one, a new version of the lesson is put as
``NN_name-version2.ipynb``. Delete ``NN_name.ipynb`` to begin that lesson afresh.

JupyterLab opens on the list of lessons, shows no tool of graders and asks nobody outside. All of
that holds for this server alone, by its arguments and ``labsettings/``: what a user has set in
their own configuration is neither changed nor lost.

    PYTHONPATH=notebooks python -m lessonkit.lab [any argument of jupyter lab]
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ecstfl.errors import UserError
from ecstfl.files import write_json, write_text

ROOT: Final = Path(__file__).resolve().parents[2]
RECORD: Final = ".copies.json"
"""In the folder of copies: copy -> [newest file of it, digest of its cells' text, of all of it]"""

_BADGE: Final = re.compile(r"\[!\[[^]]*\]\([^)]*\)\]\([^)]*\)")  # its picture lies in the net
_HEAD: Final = """\
# Lessons

These are **your own copies**: write in them. Nobody overwrites what you changed, and git does not
see this folder. To begin a lesson afresh, delete its file and give `make lab` again. *Solved* shows
a lesson with all answers and outputs (a copy, too): try it yourself first.
"""


def copies_folder(root: Path) -> Path:
    """Where the student's copies lie."""
    return root / "notebooks" / "my"


def copy_lessons(root: Path) -> list[str]:
    """Give the student each lesson that is not there, and each new version; write the list.

    Returns:
        A sentence for each new version that was put beside a changed copy.

    Raises:
        UserError: there are no lessons, or the folder cannot be read or written.
    """
    folder = copies_folder(root)
    sources = sorted((root / "notebooks" / "student").glob("*.ipynb"))
    if not sources:
        raise UserError(f"no lessons in {root / 'notebooks' / 'student'}: give make notebooks")
    record = _read_record(folder / RECORD)
    told = []
    for source in sources:
        told += _follow(folder, source.name, _at_home(_read(source)), record)
        if (solved := root / "notebooks" / source.name).is_file():
            told += _follow(folder, _solved(source.name), _solved_at_home(_read(solved)), record)
    write_text(folder / "README.md", list_page(root))
    return told


def _follow(folder: Path, name: str, text: str, record: dict[str, list[str]]) -> list[str]:
    """Bring one copy in step with its lesson, or put the lesson's new version beside it."""
    told = []
    cells, whole = _cells(text), _digest(text)
    file, cells_then, whole_then = record.get(name, [name, "", ""])
    first, newest = folder / name, folder / file
    if not first.exists():
        target = first
    elif newest.exists() and _cells(_read(newest)) in (cells_then, cells):  # nobody wrote in it
        if whole == whole_then:
            return []
        target = newest
    elif cells == cells_then:  # nothing new since somebody wrote
        return []
    else:
        target = _free(first)
        told.append(f"{first.name} has a new version: it is in {target.name}, yours stays.")
    write_text(target, text)
    record[name] = [target.relative_to(folder).as_posix(), cells, whole]
    write_json(folder / RECORD, record)
    return told


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _read_record(path: Path) -> dict[str, list[str]]:
    """Return what was written; without a readable record, what differs is the student's."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(name): [str(one) for one in entry]
            for name, entry in found.items()
            if len(entry) == 3
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _cells(text: str) -> str:
    """Return a digest of what is written in a notebook's cells, of all its text if it is broken."""
    try:
        cells = json.loads(text)["cells"]
        return _digest(json.dumps([[c["cell_type"], "".join(c["source"])] for c in cells]))
    except (ValueError, TypeError, KeyError):
        return _digest(text)


def _free(path: Path) -> Path:
    number = 2
    while (target := path.with_stem(f"{path.stem}-version{number}")).exists():
        number += 1
    return target


def _at_home(text: str) -> str:
    """Return a lesson whose list is the one beside it, without what only a website needs."""
    return _BADGE.sub("", text).replace("](../README.md)", "](README.md)")


def _solved(name: str) -> str:
    """Where the solved copy lies: in a folder and under a name that nobody takes for their own."""
    return f"solved/{name.removesuffix('.ipynb')}-solved.ipynb"


def _solved_at_home(text: str) -> str:
    """Return a solved lesson whose neighbours are solved; list and documents lie further up."""
    text = re.sub(r"\]\((\d\d_\w+)\.ipynb\)", r"](\1-solved.ipynb)", _BADGE.sub("", text))
    return text.replace("](README.md)", "](../README.md)").replace("](../docs/", "](../../../docs/")


def list_page(root: Path) -> str:
    """Return the list of lessons as seen from the copies: own copies first, then the solved ones.

    The table and what follows are those of ``notebooks/README.md``, its links turned.

    Raises:
        UserError: that page cannot be read, or holds no table.
    """
    path = root / "notebooks" / "README.md"
    _, line, rest = _read(path).partition("\n| lesson |")
    if not line:
        raise UserError(f"{path} has no table of lessons: give make notebooks")

    def turned(link: re.Match[str]) -> str:
        if not link[1].startswith("student/"):
            return f"]({_solved(link[1])})" if link[1].endswith(".ipynb") else f"](../{link[1]})"
        file = Path(link[1])
        newer = sorted(copies_folder(root).glob(f"{file.stem}-version*.ipynb"))
        more = (f" · [{one.stem.removeprefix(f'{file.stem}-')}]({one.name})" for one in newer)
        return f"]({file.name}){''.join(more)}"

    return _HEAD + line + re.sub(r"\]\(((?!https?:|#)[^)]+)\)", turned, _BADGE.sub("", rest))


def arguments(root: Path, given: Sequence[str] = ()) -> list[str]:
    """Return what JupyterLab is started with: ours where ``given`` does not say it, then given."""
    graders = ("formgrader", "validate_assignment", "assignment_list", "course_list")
    folder = copies_folder(root)
    ours = [
        f"--ServerApp.root_dir={root}",  # documents are within reach
        f"--LabApp.default_url=/lab/tree/{folder.relative_to(root).as_posix()}/README.md",
        # no grader's buttons, no question about news, Markdown opens as a page
        f"--LabApp.app_settings_dir={Path(__file__).resolve().with_name('labsettings')}",
        *(f"--ServerApp.jpserver_extensions=nbgrader.server_extensions.{g}=False" for g in graders),
        # nothing leaves the machine: no news, no search for updates, no shop of extensions
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        # which tabs are open is kept here, apart from a lab that is used for other work
        f"--LabApp.workspaces_dir={folder / '.workspaces'}",
        "--log-level=WARN",
    ]
    said = {one.partition("=")[0] for one in given} - {"--ServerApp.jpserver_extensions"}
    if "--debug" in said:
        said.add("--log-level")
    return [*(one for one in ours if one.partition("=")[0] not in said), *given]


def main(given: Sequence[str] | None = None) -> int:
    """Make the copies, say where they are, start JupyterLab. Returns the exit code."""
    given = sys.argv[1:] if given is None else given
    try:
        try:
            from jupyterlab.labapp import LabApp
        except ImportError:
            raise UserError(
                "JupyterLab is missing: pip install -c constraints.txt -e '.[notebooks]'"
            ) from None
        told = copy_lessons(ROOT)
    except UserError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    print(f"Your copies of the lessons: {copies_folder(ROOT)}")
    print(f"Solved lessons: {copies_folder(ROOT) / 'solved'}. Ctrl-C ends JupyterLab.")
    print(*told, sep="\n", end="\n" if told else "", flush=True)
    LabApp.launch_instance(argv=arguments(ROOT, given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
