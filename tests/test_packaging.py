"""pyproject.toml is the truth about dependencies; the other files must agree with it."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
from media import portrait_clip, write_video
from packaging.requirements import Requirement

import ecstfl
from ecstfl.labels import CLASSES

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


def test_the_public_names_are_loaded_when_used_and_need_no_optional_package():
    """torchvision's wheel raises beside a CPU-only torch; the core must never touch it."""
    code = (
        "import sys\n"
        "for name in ('torchvision', 'face_alignment', 'pytorch_metric_learning', 'numba',\n"
        "             'jupyterlab', 'ipywidgets', 'umap'):\n"
        "    sys.modules[name] = None\n"
        "import ecstfl\n"
        "assert set(ecstfl.__all__) <= set(dir(ecstfl))\n"
        "for heavy in ('torch', 'numpy', 'cv2', 'onnxruntime'):\n"
        "    assert heavy not in sys.modules, heavy\n"
        "from ecstfl import *\n"
        "assert all(name in globals() for name in ecstfl.__all__)\n"
        "try: ecstfl.nothing\n"
        "except AttributeError as error: assert 'nothing' in str(error)\n"
        "else: raise SystemExit('an unknown name was found')\n"
        "import pkgutil, importlib\n"
        "for module in pkgutil.walk_packages(ecstfl.__path__, 'ecstfl.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
    documented = re.findall(r"^``(\w+)`` ", ecstfl.__doc__, re.M)
    assert documented == ecstfl.__all__


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The command of a wheel, installed where the repository is out of reach."""
    pytest.importorskip("setuptools")
    root = tmp_path_factory.mktemp("wheel")
    source = root / "source"  # building leaves files behind
    shutil.copytree(
        ROOT / "ecstfl", source / "ecstfl", ignore=shutil.ignore_patterns("__pycache__")
    )
    (source / "models").mkdir()
    model = "models/ecstfl-small.safetensors"
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE", "README.md", model):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", root, source]
    subprocess.run([*pip, *map(str, build)], check=True, timeout=600)
    (wheel,) = root.glob("*.whl")
    shutil.rmtree(source)
    venv.create(root / "venv")
    scripts = root / "venv" / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run(
        [
            *pip,
            "--python",
            str(scripts / "python"),
            "install",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        check=True,
        timeout=600,
    )
    (packages,) = (root / "venv").rglob("site-packages")
    # the dependencies of these tests; a .pth file in there is not followed to the repository
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts / "ecstfl"


def away(command, *arguments, cwd):
    """Run an installed command outside the repository: (exit code, stdout, stderr)."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and "ECSTFL" not in k}
    done = subprocess.run(
        [str(command), *map(str, arguments)],
        cwd=cwd, env=kept, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_an_installed_wheel_recognises_a_video(installed, tmp_path):
    video = write_video(tmp_path / "me.mp4", portrait_clip(24))
    code, out, error = away(installed, "predict", video, "--json", "me.json", cwd=tmp_path)
    assert code == 0, error
    assert "trained on rendered faces" in out
    (prediction,) = json.loads((tmp_path / "me.json").read_text())["predictions"]
    assert prediction["expression"] in CLASSES
    assert prediction["frames"] == 24
    assert prediction["coverage"] > 0.9
    shipped = Path(json.loads((tmp_path / "me.json").read_text())["model"])
    assert installed.parent.parent in shipped.parents
    assert shipped.read_bytes() == (ROOT / "models" / shipped.name).read_bytes()


def test_what_needs_the_repositorys_data_says_so_in_one_sentence(installed, tmp_path):
    code, _, error = away(installed, "reproduce", "--profile", "smoke", cwd=tmp_path)
    assert code == 2
    (line,) = error.strip().splitlines()
    assert line.startswith("ecstfl: the embedded data was not found")
    assert "ECSTFL_DATA" in line


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
