"""The package's pages: one a room, from signatures and docstrings, without importing anything.

Torch is not needed to read what a function does. Only public names are shown: what begins with an
underscore is left out.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from docutils.parsers.rst.tableparser import SimpleTableParser, TableMarkupError
from docutils.statemachine import StringList
from sphinx.ext.napoleon import Config, GoogleDocstring

_CONFIG = Config(napoleon_google_docstring=True, napoleon_use_rtype=False)


def write_api(package: Path, out: Path) -> None:
    """Write ``index.rst``, a page for each room, and one for the modules outside of rooms.

    Args:
        package: folder of the package.
        out: folder for the pages.
    """
    out.mkdir(parents=True, exist_ok=True)
    rooms = sorted(path.parent for path in package.glob("*/__init__.py"))
    for room in rooms:
        files = sorted(room.glob("*.py"), key=lambda path: (path.stem != "__init__", path.stem))
        _write(out / f"{room.name}.rst", room.name, files, package)
    alone = [path for path in sorted(package.glob("*.py")) if path.stem not in _NOT_SHOWN]
    _write(out / "around.rst", "Around the rooms", alone, package)
    tree = ast.parse((package / "__init__.py").read_text("utf-8"))
    listed = [".. toctree::", "   :maxdepth: 1", "", *(f"   {room.name}" for room in rooms)]
    lines = [*_title("The package, room by room", "="), ".. py:module:: ecstfl", ""]
    lines += [_docstring(tree), "", *listed, "   around", ""]
    (out / "index.rst").write_text("\n".join(lines), "utf-8")


_NOT_SHOWN = ("__init__", "__main__")


def _write(target: Path, title: str, files: list[Path], package: Path) -> None:
    lines = _title(title, "=")
    for path in files:
        tree = ast.parse(path.read_text("utf-8"))
        parts = path.relative_to(package.parent).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        if path.stem != "__init__":
            lines += _title(module, "-")
        lines += [f".. py:module:: {module}", "", _docstring(tree), ""]
        lines += _members(tree.body)
    target.write_text("\n".join(lines), "utf-8")


def _title(text: str, mark: str) -> list[str]:
    return [text, mark * len(text), ""]


def _members(body: list[ast.stmt], *, within: bool = False) -> Iterator[str]:
    """The lines of all public functions, classes and described values of a module or class."""
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            kind, name = ("method" if within else "function"), node.name
            if any(ast.unparse(mark) == "property" for mark in node.decorator_list):
                yield from _entry("property", name, _docstring(node))
            else:
                yield from _entry(kind, f"{name}{_signature(node, within)}", _docstring(node))
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            start = next((n for n in node.body if getattr(n, "name", "") == "__init__"), None)
            call = _signature(start, True) if isinstance(start, ast.FunctionDef) else ""
            text = "\n".join([_docstring(node), "", *_members(node.body, within=True)])
            yield from _entry("class", f"{node.name}{call.partition(' -> ')[0]}", text)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(following, ast.Expr):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            words = following.value
            if (
                isinstance(target, ast.Name)
                and not target.id.startswith("_")
                and isinstance(words, ast.Constant)
                and isinstance(words.value, str)
            ):
                yield from _entry("attribute" if within else "data", target.id, words.value)


def _entry(kind: str, signature: str, text: str) -> Iterator[str]:
    yield f".. py:{kind}:: {signature}"
    yield ""
    yield textwrap.indent(text, "   ")
    yield ""


def _signature(node: ast.FunctionDef, method: bool) -> str:
    args = node.args
    if method and args.args and args.args[0].arg in ("self", "cls"):
        args.args = args.args[1:]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(args)}){returns}"


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    return str(GoogleDocstring(_as_written(ast.get_docstring(node) or ""), _CONFIG))


def _as_written(text: str) -> str:
    """Let Sphinx keep what a docstring means to show as it stands: formulas, |N|, odd tables."""
    lines = text.splitlines()
    out, literal = [], False
    for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        literal = literal and (not line or line.startswith(" "))
        out.append(line if literal else _escaped(line))
        begins = before[:1].strip() and not before.startswith(("* ", "- ")) and before[-2:] != "::"
        if not line.strip() and begins and after.startswith("    "):
            out += ["::", ""]  # a formula below a paragraph
            literal = True
    table = re.compile(r"^=+  .*^=+  [= ]+$", re.MULTILINE | re.DOTALL)
    return table.sub(_table, "\n".join(out))


def _escaped(line: str) -> str:
    parts = re.split(r"(``.*?``)", line)
    return "".join(part if k % 2 else part.replace("|", r"\|") for k, part in enumerate(parts))


def _table(found: re.Match[str]) -> str:
    """Return a table as it is where docutils can read it, else as text."""
    try:
        SimpleTableParser().parse(StringList(found[0].splitlines()))
    except TableMarkupError:
        return "::\n\n" + textwrap.indent(found[0], "    ")
    return found[0]
