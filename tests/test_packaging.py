"""pyproject.toml is the truth about dependencies; the other files must agree with it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import ecstfl

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch"}


def requirements():
    """Every direct dependency of every extra, once."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    found = {r.name: r for texts in lists for r in map(Requirement, texts)}
    found.pop("ecstfl")
    return list(found.values())


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("requirement", requirements(), ids=lambda r: r.name)
def test_constraints_pin_every_dependency_within_its_range(requirement):
    assert requirement.specifier.contains(pins()[requirement.name])


def test_constraints_pin_nothing_unknown():
    assert set(pins()) - {r.name for r in requirements()} == set()


@pytest.mark.parametrize("requirement", requirements(), ids=lambda r: r.name)
def test_environment_lists_every_dependency_with_its_purpose(requirement):
    name = CONDA_NAMES.get(requirement.name, requirement.name)
    lines = re.findall(r"^ +- (\S+?)([=<>].*?)?  # (.+)$", environment(), re.M)
    ranges = {n: r for n, r, purpose in lines if purpose.strip()}
    assert name in ranges
    given = Requirement(name + ranges[name]).specifier
    assert given == requirement.specifier


def environment():
    return (ROOT / "environment.yml").read_text()


def test_environment_holds_the_packages_of_the_design():
    for name in (
        *("pytorch", "torchvision", "jupyterlab", "matplotlib", "seaborn", "opencv-python"),
        *("face-alignment", "umap-learn", "ipywidgets"),
    ):
        assert f"- {name}" in environment()


def test_version_is_said_once():
    assert PROJECT["version"] == ecstfl.__version__
    assert f"## {ecstfl.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_core_imports_without_torchvision_and_optional_packages():
    """torchvision's wheel raises beside a CPU-only torch; the core must never touch it."""
    code = (
        "import sys\n"
        "for name in ('torchvision', 'face_alignment', 'pytorch_metric_learning', 'numba',\n"
        "             'jupyterlab', 'ipywidgets', 'umap'):\n"
        "    sys.modules[name] = None\n"
        "import pkgutil, importlib, ecstfl\n"
        "for module in pkgutil.walk_packages(ecstfl.__path__, 'ecstfl.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_ci_calls_the_readmes_test_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


def test_the_layout_of_the_design():
    for name in ("README.md", "environment.yml", "notebooks", "ecstfl", "data", "figures", "tests"):
        assert (ROOT / name).exists()


def test_every_module_says_what_it_is():
    for path in (ROOT / "ecstfl").rglob("*.py"):
        assert re.match(r'r?"""\S', path.read_text()), path.name


def test_nothing_tracked_names_a_home_or_scratch_folder():
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    places = re.compile(r"(?<![\w.])/(?:root|home|work|opt)/[A-Za-z0-9_.-]+")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        text = {".py", ".md", ".txt", ".toml", ".yml", ".json", ".ipynb"}
        if path.suffix in text and path.is_file():
            assert not places.search(path.read_text(encoding="utf-8")), name
