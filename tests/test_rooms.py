"""The package is a row of rooms, and imports run one way: a room knows the rooms before it only."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ecstfl"

# The way that data takes. Files at the top (errors, labels, files, ...) stand before all rooms.
ROOMS = (
    *("video", "faces", "datasets", "clips", "models", "losses", "metrics", "runs", "training"),
    *("evaluation", "figures", "predict", "experiments", "cli"),
)
FRONT_DOOR = {"ecstfl/__init__.py", "ecstfl/__main__.py"}  # hand out names of every room


def modules():
    """Every module: dotted name -> its path."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in paths}


def imported(path, known):
    """Dotted names of the package's modules that a module imports, lazily or not."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ecstfl"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("ecstfl")}
    return {name if name in known else f"{name}.__init__" for name in found}


def room(name):
    """0 for a file at the top, 1 .. for the rooms in their order."""
    parts = name.split(".")
    return ROOMS.index(parts[1]) + 1 if len(parts) > 2 else 0


KNOWN = modules()
GRAPH = {
    name: imported(path, KNOWN)
    for name, path in KNOWN.items()
    if path.relative_to(PACKAGE.parent).as_posix() not in FRONT_DOOR
}


def test_every_folder_is_a_room_with_a_docstring():
    folders = {p.parent.name for p in PACKAGE.glob("*/*.py")}
    assert folders == set(ROOMS)
    for folder in ROOMS:
        text = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text()))
        assert text is not None
        assert len(text.splitlines()) >= 3, f"{folder}: say what lives there, in reading order"


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_imports_run_one_way(name):
    for other in GRAPH[name]:
        assert room(other) <= room(name), f"{name} imports {other}, which stands after it"


def test_there_is_no_circle():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


def test_the_package_knows_neither_lessons_nor_tools():
    for name, path in KNOWN.items():
        for word in ("lessonkit", "from tools", "import tools"):
            assert word not in path.read_text(encoding="utf-8"), f"{name} speaks of {word}"
