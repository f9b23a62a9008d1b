"""The one command, for real: rendered videos in, table and figures out, nothing done twice."""

import dataclasses
import json
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from toy import toy_config, toy_data

from ecstfl.cli import main as cli
from ecstfl.cli.train import _profile
from ecstfl.clips.config import PreprocessConfig
from ecstfl.errors import UserError
from ecstfl.experiments.profiles import (
    NAMES,
    SOFTMAX,
    choose_methods,
    get_profile,
    plan_runs,
    select_clips,
)
from ecstfl.files import cores
from ecstfl.losses.methods import method_names
from ecstfl.models.backbones import TAPS
from ecstfl.runs.config import OptimConfig
from ecstfl.runs.run_folder import claim, finished_run, run_directory
from ecstfl.training import estimate, train_all

AS_ITS_USERS = """
import sys
from ecstfl.figures import maps
maps._import_umap = lambda: None  # it compiles for 20 seconds
maps.umap_map = lambda features, *_, **__: features[:, :2].astype(float)
from ecstfl.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, smoke_cache):
    """The folder and the output of the smoke profile, as its users run it."""
    folder = tmp_path_factory.mktemp("smoke")
    words = ["reproduce", "--profile", "smoke", "--cache", smoke_cache]
    done = subprocess.run(
        [sys.executable, "-c", AS_ITS_USERS, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr  # every process came to its own end
    return folder, done.stdout


@pytest.fixture
def reproduce(monkeypatch, capsys, quick_maps, smoke_cache):
    """Run the smoke profile below a folder, in this process; return what it printed."""

    def run(folder, *more):
        monkeypatch.chdir(folder)
        words = ["reproduce", "--profile", "smoke", "--workers", "1", "--cache"]
        assert cli.main([*words, str(smoke_cache), *more]) == 0
        return capsys.readouterr().out

    return run


def test_the_plan_comes_first_and_the_table_and_figures_are_there(made):
    folder, out = made
    assert "Plan: smoke profile on embedded (synthetic)" in out
    assert out.index("Plan:") < out.index("Step 1 of 3") < out.index("Step 2 of 3")
    assert "about" in out
    table = (folder / "results/smoke/table.md").read_text()
    assert table in out
    assert "synthetic" in table
    for name in ("umap", "confusion", "curves"):
        for suffix in ("png", "svg", "json"):
            path = folder / f"figures/smoke/{name}.{suffix}"
            assert path.stat().st_size > 100
        sidecar = json.loads((folder / f"figures/smoke/{name}.json").read_text())
        assert sidecar["synthetic"] is True
        assert len(sidecar["runs"]) == 2
        assert sidecar["command"] == "ecstfl reproduce --profile smoke"
    assert "figures/smoke/umap.png" in out


def test_a_second_time_everything_is_reused_and_said(made, reproduce):
    folder, first = made
    stamps = {p: p.stat().st_mtime_ns for p in folder.glob("figures/**/*")}
    runs = {p: p.read_text() for p in folder.glob("results/smoke/runs/*/run.json")}
    again = reproduce(folder)
    assert again.count("finished, reused") == 2
    assert "nothing to do, every run of this plan is finished" in again
    assert {p: p.stat().st_mtime_ns for p in folder.glob("figures/**/*")} == stamps
    assert {p: p.read_text() for p in folder.glob("results/smoke/runs/*/run.json")} == runs
    assert again.split("Step 3")[1] == first.split("Step 3")[1]


def test_a_lost_run_alone_is_trained_again_to_the_same_numbers(made, reproduce, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(made[0], folder)
    (lost,) = folder.glob("results/smoke/runs/ec-stfl-*")
    before = json.loads((lost / "run.json").read_text())
    shutil.rmtree(lost)
    # as many threads as each of the two runs had side by side: sums in another order drift apart
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // 2))
    try:
        out = reproduce(folder, "--against", str(made[0] / "results/smoke"))
    finally:
        torch.set_num_threads(threads)
    assert out.count("finished, reused") == 1
    repeat = (folder / "results/smoke/trained-again.md").read_text()
    assert repeat in out
    assert [line.split(" | ")[1:3] for line in repeat.splitlines()[2:4]] == [["1", "1"]] * 2
    assert "synthetic" in repeat
    after = json.loads((lost / "run.json").read_text())
    assert after["confusion"] == before["confusion"]
    first, second = (r["history"][-1]["loss"] for r in (before, after))
    assert second == pytest.approx(first, rel=1e-4)


def test_nothing_to_compare_with_is_said_before_anything_is_trained(tmp_path, capsys):
    command = ["reproduce", "--profile", "smoke", "--against", str(tmp_path / "elsewhere")]
    places = [f"--{name}={tmp_path / name}" for name in ("results", "figures", "cache")]
    assert cli.main([*command, *places]) == 2
    assert "elsewhere holds no finished run to compare with" in capsys.readouterr().err
    assert not (tmp_path / "results" / "runs").exists()


def test_without_training_an_incomplete_plan_is_rendered_and_marked(made, reproduce, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(made[0], folder)
    (lost,) = folder.glob("results/smoke/runs/ec-stfl-*")
    shutil.rmtree(lost)
    out = reproduce(folder, "--no-train")
    assert "left out; 1 of 2 run(s) are missing" in out
    assert "INCOMPLETE: 1 of 2 runs are finished" in out
    assert not lost.exists()


@pytest.mark.parametrize("name", NAMES)
def test_every_run_of_a_profile_is_planned_beside_its_softmax_twin(name):
    clipset, _ = toy_data()
    profile = get_profile(name)
    runs = plan_runs(profile, select_clips(profile, clipset))
    k = len(profile.methods)
    assert len(runs) == profile.folds * len(profile.seeds) * k
    assert profile.methods[0] == SOFTMAX
    assert profile.methods[1].method == "ec-stfl"
    for start in range(0, len(runs), k):
        softmax, *others = runs[start : start + k]
        assert [run.loss for run in (softmax, *others)] == list(profile.methods)
        for other in others:
            assert dataclasses.replace(other, loss=SOFTMAX) == softmax  # nothing else differs


def test_a_profile_with_few_groups_keeps_whole_groups():
    clipset, _ = toy_data(groups=20)
    small = select_clips(get_profile("smoke"), clipset)
    assert len(small) == 5 * 2 * 7
    assert small.folds == clipset.folds


def test_a_set_without_folds_is_refused():
    clipset, _ = toy_data()
    bare = dataclasses.replace(
        clipset, clips=tuple(dataclasses.replace(c, fold=None) for c in clipset)
    )
    with pytest.raises(UserError, match="has no folds"):
        plan_runs(get_profile("quick"), bare)


def test_runs_claimed_elsewhere_are_left_alone(tmp_path):
    clipset, clips = toy_data()
    mine, theirs = (toy_config(clipset, epochs=1, seed=s) for s in (0, 1))

    class Prepared:
        pass

    prepared = Prepared()
    prepared.clipset, prepared.clips = clipset, clips
    places = Prepared()
    places.results = tmp_path
    directory = run_directory(tmp_path, theirs)
    # a second handle of the lock, as of another process
    with claim(directory) as held:
        assert held
        train_all._train_pending(
            [mine, theirs], prepared, places, "cpu", lambda *_: None, lambda *_: None
        )
    assert finished_run(tmp_path, mine) is not None
    assert finished_run(tmp_path, theirs) is None
    with claim(directory) as free:
        assert free


def test_profiles_differ_only_in_price():
    quick, full = get_profile("quick"), get_profile("full")
    assert quick.preprocess == full.preprocess
    assert isinstance(quick.preprocess, PreprocessConfig)
    assert quick.backbone == full.backbone
    assert full.optim == quick.optim
    assert full.augment == quick.augment
    assert full.seeds == quick.seeds
    assert set(quick.methods) < set(full.methods)
    assert isinstance(quick.optim, OptimConfig)
    assert np.prod([full.folds, len(full.seeds)]) >= 15


def test_the_other_precision_is_named_where_it_is_clearly_faster(monkeypatch):
    clipset, _ = toy_data(groups=5)
    plain = toy_config(clipset)
    half = dataclasses.replace(plain, optim=dataclasses.replace(plain.optim, precision="bf16"))
    seconds, asked = {"bf16": 3.0, "fp32": 1.0}, []

    def timed(*arguments):
        asked.append(arguments[-1])
        return seconds[arguments[-1]]

    monkeypatch.setattr(estimate, "seconds_per_clip", timed)
    advice = estimate.bfloat16_advice(half, None, 1, "cpu")
    assert "3.0 times as long" in advice
    assert "--precision fp32" in advice
    assert estimate.bfloat16_advice(plain, None, 1, "cuda") is None
    seconds["bf16"] = 1.2
    assert estimate.bfloat16_advice(half, None, 1, "cpu") is None
    seconds["bf16"] = 0.5
    advice = estimate.bfloat16_advice(plain, None, 1, "cuda")
    assert "--precision bf16 this cuda takes 0.50 of the time" in advice
    assert estimate.bfloat16_advice(half, None, 1, "cuda") is None
    # a processor without the units is not asked to emulate them
    asked.clear()
    units = types.SimpleNamespace(_is_mkldnn_bf16_supported=lambda: False)
    monkeypatch.setattr(estimate.torch.ops, "mkldnn", units)
    assert estimate.bfloat16_advice(plain, None, 1, "cpu") is None
    assert asked == []
    units._is_mkldnn_bf16_supported = lambda: True
    assert "--precision bf16 this cpu" in estimate.bfloat16_advice(plain, None, 1, "cpu")


@pytest.mark.parametrize("name", TAPS)
def test_every_network_can_take_the_profiles_place(name, tmp_path, capsys):
    where = ["--results", str(tmp_path / "r"), "--figures", str(tmp_path / "f")]
    assert cli.main(["reproduce", "--backbone", name, "--no-train", *where]) == 2
    assert "no finished run of this plan" in capsys.readouterr().err


def test_chosen_methods_are_a_part_of_the_same_plan():
    clipset, _ = toy_data()
    full = get_profile("full")
    whole = plan_runs(full, clipset)
    part = plan_runs(choose_methods(full, ["softmax", "ec-stfl:patent:0.3"]), clipset)
    assert len(part) == 30
    assert set(part) < set(whole)  # the same runs, so that the rest can follow later
    assert {(c.loss.form, c.loss.weight) for c in part} == {("patent", 0.0), ("patent", 0.3)}
    assert choose_methods(full, ["ec-stfl"]).methods == full.methods[1:5]
    assert choose_methods(full, ["ec-stfl:paper", "center"]).methods == (
        full.methods[3],
        full.methods[5],
    )
    for weight in ("0.00025", "2.5e-4", "2.5E-04", "25e-5"):
        assert choose_methods(full, [f"center:{weight}"]).methods == full.methods[5:6]
    assert choose_methods(full, ["contrastive-center"]).methods == full.methods[6:]
    assert len(set(map(method_names, full.methods))) == len(full.methods)
    with pytest.raises(UserError, match="the full profile has no method 'focal'; it has softmax, "):
        choose_methods(full, ["focal"])


def test_each_profile_takes_the_weight_that_was_chosen_for_its_features():
    for name in NAMES:
        profile = get_profile(name)
        first = next(m for m in profile.methods if m.method == "ec-stfl")
        assert first.weight == (0.3 if profile.backbone.fc_batch_norm else 0.03), name


@pytest.mark.parametrize("name", NAMES)
def test_another_network_takes_the_weights_of_features_that_nothing_bounds(name):
    parser = cli.build_parser("reproduce")
    same, other = (
        parser.parse_args(["reproduce", "--profile", name, "--backbone", network])
        for network in ("c3d", "r3d18")
    )
    plain = get_profile(name)
    assert _profile(same, plain) == plain
    methods = _profile(other, plain).methods
    weights = [0, 0.03] if name != "full" else [0, 0.03, 0.1, 0.7, 2.6, 2.5e-5, 0.06]
    assert [m.weight for m in methods] == pytest.approx(weights)
    assert [(m.method, m.form) for m in methods] == [(m.method, m.form) for m in plain.methods]
    same.width = 20
    assert _profile(same, plain) == dataclasses.replace(
        plain, backbone=dataclasses.replace(plain.backbone, width=20)
    )
    other.weight = 0.2
    asked = _profile(other, plain).methods
    assert {m.weight for m in asked if m.method == "ec-stfl"} == {0.2}


def test_two_rows_of_one_form_become_one_under_a_weight():
    parser = cli.build_parser("reproduce")
    arguments = parser.parse_args(["reproduce", "--profile", "full", "--weight", "1"])
    methods = _profile(arguments, get_profile("full")).methods
    assert [m.weight for m in methods if m.method == "ec-stfl"] == [1.0, 1.0, 1.0]
    assert [m.form for m in methods if m.method == "ec-stfl"] == [
        "patent",
        "paper",
        "released",
    ]
