"""The command itself, among files and settings of the user that have troubled programs like it."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from media import portrait_clip, write_video

ROOT = Path(__file__).parents[2]
SHADOWS = ("random", "cv2", "queue", "json", "numpy", "tqdm", "filelock", "ctypes", "csv")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder with a video that becomes a clip and one without a face."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "face.mp4", portrait_clip(6))
    write_video(folder / "empty.mp4", np.zeros((5, 96, 96, 3), np.uint8))
    return folder


def preprocess(videos, out, program=(sys.executable, "-m", "ecstfl"), path=(), **how):
    """Run the command in a process of its own; all that it says."""
    words = ["preprocess", videos, "--out", out, "--frames", "4", "--size", "32", "--workers", "1"]
    how["env"] = os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, path), str(ROOT)])}
    done = subprocess.run(
        [*program, *map(str, words)], capture_output=True, text=True, timeout=500, **how
    )
    assert done.returncode == 1, done.stderr  # one of two is left out
    assert "left out" in done.stdout, done.stderr
    assert json.loads((out / "report.json").read_text())["n_kept"] == 1, done.stdout
    return done.stdout + done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX rights")
def test_every_file_follows_the_umask(videos, tmp_path):
    out = tmp_path / "deep" / "out"
    preprocess(videos, out, umask=0o027)
    paths = [tmp_path / "deep", *(tmp_path / "deep").rglob("*")]
    names = {path.name for path in paths}
    assert {"contact_sheet.png", "report.json", "clips.npy", "manifest.csv", "lock"} <= names
    assert {path.suffix for path in paths} >= {".npy", ".npz", ".txt"}
    modes = {str(p): stat.S_IMODE(p.stat().st_mode) for p in paths}
    assert modes == {str(p): 0o750 if p.is_dir() else 0o640 for p in paths}


@pytest.mark.parametrize("program", ["ecstfl", "python -m ecstfl"])
def test_files_beside_the_videos_and_start_up_code_change_nothing(videos, tmp_path, program):
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not the library')\n")
    start = tmp_path / "start"
    start.mkdir()
    (start / "sitecustomize.py").write_text("print('hello from start-up', flush=True)\n")
    command = (sys.executable, "-m", "ecstfl")
    if program == "ecstfl":  # as pip writes it
        script = start / "ecstfl-command"
        script.write_text("import sys\nfrom ecstfl.cli.main import main\nsys.exit(main())\n")
        command = (sys.executable, script)
    said = preprocess(videos, tmp_path / "out", command, [start], cwd=tmp_path)
    assert said.count("hello from start-up") == 1  # the command's own
    assert "1 of 2 clips kept" in said
