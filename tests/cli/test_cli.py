"""The command line as its users meet it: help, doctor, one sentence for bad input."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from media import portrait_clip, write_video

from ecstfl.cli import main as cli
from ecstfl.clips.augment import for_real_faces
from ecstfl.datasets.embedded import open_embedded
from ecstfl.experiments import reproduce as reproducing
from ecstfl.experiments.profiles import get_profile
from ecstfl.labels import CLASSES

COMMANDS = ("doctor", "data", "preprocess", "train", "reproduce", "study", "predict", "evaluate")


def run(*arguments, **environment):
    """Return (exit code, stdout, stderr) of the command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "ecstfl", *map(os.fsdecode, arguments)],
        env=os.environ | environment,
        capture_output=True,
        timeout=3000,
    )
    return done.returncode, *(text.decode(errors="replace") for text in (done.stdout, done.stderr))


def refused(capsys, *arguments):
    """Return the one sentence that the command answers bad input with."""
    code = cli.main([str(a) for a in arguments])
    error = capsys.readouterr().err
    assert code == 2, error
    assert "Traceback" not in error
    (sentence,) = [x for x in error.splitlines() if x.startswith("ecstfl: ")]
    assert error.strip().endswith(sentence)  # after it, nothing more
    return sentence


def test_help_lists_every_command_without_importing_torch():
    code = (
        "import sys; from ecstfl.cli import main as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules, 'help must be instant'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert len(capsys.readouterr().out) > 200


def test_doctor_is_content_and_does_not_care_for_the_users_matplotlib_settings(tmp_path):
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfont.family: no such font\nbackend: TkAgg\n"
    )
    places = ["--results", tmp_path / "r", "--cache", tmp_path / "c"]
    # importing UMAP, Numba compiles for long
    code, out, err = run("doctor", *places, MPLCONFIGDIR=str(tmp_path), NUMBA_DISABLE_JIT="1")
    assert code == 0, out + err
    assert "[ OK ] face detector" in out
    assert "[ OK ] embedded clips" in out
    assert "FAIL" not in out


def test_doctor_names_what_is_missing_and_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ECSTFL_DATA", str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    arguments = ["doctor", "--results", str(tmp_path / "file" / "r"), "--cache", str(tmp_path)]
    assert cli.main(arguments) == 1
    out = capsys.readouterr().out
    assert "[FAIL] embedded clips" in out
    assert "[FAIL] results folder" in out
    assert out.count("-> ") >= 2


def test_doctor_names_whatever_is_broken_and_goes_on(tmp_path):
    """As packages break in the field; the last one where numba may write its cache nowhere."""
    broken = {
        "seaborn": "ValueError('numpy.dtype size changed')",
        "cv2": "ImportError('libGL.so.1: cannot open shared object file')",
        "torch": "OSError('libtorch_cpu.so: undefined symbol')",
        "onnxruntime": "SystemExit('no processor')",
        "jupyterlab": "AttributeError('module has no attribute')",  # optional
        "umap": "RuntimeError('cannot cache function: no locator available')",
    }
    for package, raises in broken.items():
        (tmp_path / f"{package}.py").write_text(f"raise {raises}\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    code, out, error = run("doctor", "--results", tmp_path, "--cache", tmp_path, PYTHONPATH=path)
    assert code == 1
    assert "Traceback" not in out + error
    for package, raises in broken.items():
        name = "UMAP" if package == "umap" else f"package {package}"
        state = "--" if package == "jupyterlab" else "FAIL"
        (line,) = [x for x in out.splitlines() if f"] {name}:" in x]
        assert line.startswith(f"[{state:^4}]")
        assert raises.split("'")[1] in line
    assert "NUMBA_CACHE_DIR" in out
    assert "GPU" in out  # the last check: nothing was left out


NAMES = {
    "cp1252": "łódź 脸.mp4".encode(),
    "ascii": "señal 🎬.mp4".encode(),
    "utf-8": b"caf\xe9 \xff.mp4",
}


@pytest.fixture
def named(tmp_path):
    """A function: name in bytes -> (folder, video), in bytes."""

    def make(name):
        folder = os.fsencode(tmp_path / "videos")
        os.mkdir(folder)
        video = os.path.join(folder, name)
        try:
            write_video(tmp_path / "v.mp4", portrait_clip(4))
            shutil.move(tmp_path / "v.mp4", os.fsdecode(video))
        except (OSError, UnicodeError):
            pytest.skip("this file system takes no such name")
        return folder, video

    return make


@pytest.mark.parametrize("encoding", NAMES)
def test_any_name_in_any_terminal(encoding, named, tmp_path, monkeypatch):
    folder, video = named(NAMES[encoding])

    def terminal(*arguments):
        """Return (exit code, stdout, stderr) of the command in a terminal of this encoding."""
        streams = io.BytesIO(), io.BytesIO()
        out, error = (
            io.TextIOWrapper(stream, encoding, errors)
            for stream, errors in zip(streams, ("strict", "backslashreplace"), strict=True)
        )
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", out)
            patch.setattr("sys.stderr", error)
            code = cli.main([os.fsdecode(a) for a in arguments])
            out.flush(), error.flush()
        return code, *(s.getvalue().decode(errors="replace") for s in streams)

    out = tmp_path / "o.json", tmp_path / "o.csv"
    code, said, error = terminal("predict", video, "--json", out[0], "--csv", out[1])
    assert code == 0, error
    assert "face in" in said
    (prediction,) = json.loads(out[0].read_text())["predictions"]
    assert os.fsencode(prediction["source"]) == video
    assert os.fsencode(NAMES[encoding]) in out[1].read_bytes()
    code, said, error = terminal(
        "preprocess", folder, "--out", tmp_path / "clips", "--workers", "1", "--quiet"
    )
    assert code == 0, error
    manifest = json.loads((tmp_path / "clips" / "report.json").read_text())
    assert manifest["n_kept"] == 1
    os.truncate(video, 40)
    code, said, error = terminal("predict", video)
    assert code == 2
    assert "Traceback" not in error
    assert "mp4" in error


def test_any_name_in_a_process_of_its_own(named):
    _, video = named(NAMES["ascii"])
    os.truncate(video, 40)
    code, _, error = run("predict", video, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert code == 2
    assert "Traceback" not in error
    assert "mp4" in error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--profile", "fast"], "unknown profile 'fast': use one of smoke, quick, full, paper"),
        (["--folds", "9"], "no fold 9; its folds: 1, 2, 3, 4, 5"),
        (["--data", "nosuch"], "unknown data 'nosuch'"),
        (["--data", "dfew"], "--root"),
        (["--weight", "-1"], "must not be negative, and a number, got -1"),
        (["--epochs", "0"], "epochs >= 1"),
        (["--workers", "0"], "--workers must be at least 1"),
        (["--device", "tpu"], "unknown device 'tpu'"),
    ],
)
def test_bad_options_of_reproduce(arguments, sentence, tmp_path, capsys):
    places = ["--results", tmp_path / "r", "--figures", tmp_path / "f", "--cache", tmp_path / "c"]
    assert sentence in refused(capsys, "reproduce", *arguments, *places)


def test_an_empty_folder_and_an_unknown_label(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(capsys, "reproduce", "--data", tmp_path / "empty")
    (tmp_path / "odd" / "Joyful").mkdir(parents=True)
    (tmp_path / "odd" / "Joyful" / "a.mp4").write_bytes(b"0")
    assert "Joyful" in refused(capsys, "reproduce", "--data", tmp_path / "odd")


def test_one_unreadable_clip_stops_a_table_unless_allowed(tmp_path, capsys):
    root = tmp_path / "own"
    for clip in open_embedded().clips[: 5 * 7]:
        folder = root / CLASSES[clip.label] / clip.group
        folder.mkdir(parents=True)
        shutil.copy(clip.source, folder / clip.source.name)
    broken = root / "Sad" / clip.group
    broken = next(broken.glob("*.mp4"))
    broken.write_bytes(broken.read_bytes()[:500])
    places = ["--results", tmp_path / "r", "--figures", tmp_path / "f", "--cache", tmp_path / "c"]
    arguments = ["reproduce", "--profile", "smoke", "--data", root, *places]
    sentence = refused(capsys, *arguments)
    assert broken.name in sentence
    assert "--allow-missing" in sentence
    assert not list(tmp_path.glob("r/runs"))


def test_no_write_permission_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    sentence = refused(
        capsys, "reproduce", "--profile", "smoke", "--results", tmp_path / "file" / "r"
    )
    assert "cannot write" in sentence


def test_results_of_another_profile_are_not_mixed(tmp_path, capsys):
    (tmp_path / "plan.json").write_text('{"profile": "full", "data": "dfew"}')
    sentence = refused(capsys, "reproduce", "--profile", "smoke", "--results", tmp_path)
    assert "full profile on dfew" in sentence
    assert "--results" in sentence


def test_predict_without_a_model_or_with_a_foreign_one(tmp_path, capsys):
    video = tmp_path / "v.mp4"
    video.write_bytes(b"no video")
    model = tmp_path / "m.safetensors"
    assert "no model" in refused(capsys, "predict", video, "--model", model)
    model.write_bytes(b"\x80\x04pickle")
    assert "not a readable safetensors" in refused(capsys, "predict", video, "--model", model)


@pytest.mark.skipif(os.name != "posix", reason="signals as on a terminal")
def test_ctrl_c_ends_with_130_and_keeps_what_is_finished(tmp_path, smoke_cache):
    places = ["--results", tmp_path / "r", "--figures", tmp_path / "f", "--cache", smoke_cache]
    command = [sys.executable, "-m", "ecstfl", "reproduce", "--profile", "smoke", "--epochs"]
    log = tmp_path / "log"
    with log.open("w") as stderr:  # a pipe that nobody reads would fill and stop the process
        process = subprocess.Popen(
            [*command, "500", *map(str, places)],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            # Tests started in the background inherit a SIGINT that is ignored; a terminal's is not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        deadline = time.monotonic() + 1200
        while not list(tmp_path.glob("r/runs/*/checkpoint.pt")) and time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells the whole group
        process.wait(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    error = log.read_text()
    assert process.returncode == 130
    assert "interrupted; finished work is kept" in error
    assert "Traceback" not in error
    assert list(tmp_path.glob("r/runs/*/checkpoint.pt"))
    assert not list(tmp_path.glob("r/runs/*/run.json"))
    assert not list(tmp_path.glob("r/**/*.part"))


def test_recorded_commands_name_no_place_of_the_machine(tmp_path):
    recorded = cli._recorded(
        [
            "reproduce",
            "--cache",
            str(tmp_path),
            "--profile",
            "quick",
            f"--root={tmp_path}",
            "--seeds",
            "1",
        ]
    )
    assert recorded == "ecstfl reproduce --profile quick --seeds 1"


def test_an_unknown_method_is_named_before_a_weight_is_asked_for(capsys):
    assert cli.main(["train", "--method", "foo"]) == 2
    assert "unknown method 'foo': use one of softmax, ec-stfl, center" in capsys.readouterr().err


def test_a_weight_beside_a_method_of_the_profile_and_an_augmentation_count(monkeypatch, tmp_path):
    chosen = []
    monkeypatch.setattr(
        reproducing, "reproduce", lambda plan, *_, **__: chosen.append(plan.profile)
    )
    monkeypatch.chdir(tmp_path)
    for method in ("center", "ec-stfl"):
        arguments = ["train", "--profile", "full", "--method", method, "--weight", "0.7"]
        assert cli.main(arguments) == 0
        (only,) = chosen[-1].methods
        assert (only.method, only.weight) == (method, 0.7)
        assert chosen[-1].augment == get_profile("full").augment
    assert cli.main(["train", "--augment", "real"]) == 0
    assert chosen[-1].augment == for_real_faces(get_profile("quick").augment)
