"""Training through torch.compile: the same training, repeatable, and refused where it cannot be."""

import dataclasses
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from toy import toy_config, toy_data

from ecstfl.errors import UserError
from ecstfl.models.backbones import BackboneConfig
from ecstfl.models.tap import Tap
from ecstfl.runs.config import OptimConfig
from ecstfl.runs.run_folder import run_directory
from ecstfl.training import forward as module
from ecstfl.training.forward import compiled, network_in_training
from ecstfl.training.learner import new_learner
from ecstfl.training.loop import train_run


def config_of(clipset, **changes):
    """A toy run without dropout, whose draws compiled code makes in another way."""
    config = toy_config(clipset)
    return dataclasses.replace(
        config,
        backbone=dataclasses.replace(config.backbone, dropout=0.0),
        optim=dataclasses.replace(config.optim, **changes),
    )


@pytest.fixture(scope="module")
def data():
    return toy_data()


class Killed(BaseException):
    """Raised in the middle of a training, as Ctrl-C is."""


BACKENDS = [
    "eager",  # captures the same graph and compiles nothing
    pytest.param(
        "inductor",
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler"),
        ],
    ),
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_compiled_run_is_the_plain_one_up_to_rounding_and_resumes_to_the_bit(
    backend, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    clipset, clips = data
    plain = train_run(config_of(clipset), clipset, clips, tmp_path / "plain")
    config = config_of(clipset, compile="on")
    whole = train_run(config, clipset, clips, tmp_path / "whole")
    assert whole["name"] != plain["name"]
    for ours, theirs in zip(whole["history"], plain["history"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.02)

    def kill(done, _epochs, _record):
        if done == 1:
            raise Killed

    with pytest.raises(Killed):
        train_run(config, clipset, clips, tmp_path / "killed", progress=kill)
    assert (run_directory(tmp_path / "killed", config) / "checkpoint.pt").exists()
    resumed = train_run(config, clipset, clips, tmp_path / "killed")
    assert resumed["history"] == whole["history"]
    assert resumed["confusion"] == whole["confusion"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("how", ["on", "graphs"])
def test_on_a_gpu_it_is_the_plain_run_up_to_rounding(data, tmp_path, how):
    clipset, clips = data
    plain = train_run(config_of(clipset), clipset, clips, tmp_path, device="cuda")
    run = train_run(config_of(clipset, compile=how), clipset, clips, tmp_path, device="cuda")
    losses = [[record["loss"] for record in one["history"]] for one in (run, plain)]
    np.testing.assert_allclose(*losses, rtol=0.02)


def test_off_is_the_tap_itself():
    tap = Tap(torch.nn.Sequential(torch.nn.Linear(2, 2)), "0")
    assert compiled(tap, "off", "cpu") is tap


def test_graphs_without_a_gpu_are_refused(data, tmp_path):
    clipset, clips = data
    with pytest.raises(UserError, match="CUDA graphs need a GPU: on the CPU use --compile on"):
        train_run(config_of(clipset, compile="graphs"), clipset, clips, tmp_path)


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(module, "world_size", lambda: 2)
    tap = Tap(torch.nn.Sequential(torch.nn.Linear(2, 2)), "0")
    with pytest.raises(UserError, match="one process: leave it out under torchrun"):
        compiled(tap, "on", "cpu")


def test_a_compiler_that_fails_ends_in_a_sentence(monkeypatch):
    def no_compiler(*_):
        raise RuntimeError("no C++ compiler found")

    real = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda network, mode, dynamic: real(network, backend=no_compiler)
    )
    tap = Tap(torch.nn.Sequential(torch.nn.Linear(2, 2)), "0")
    with pytest.raises(UserError, match=r"torch\.compile failed: .*; leave --compile out"):
        compiled(tap, "on", "cpu")(torch.zeros(3, 2))


def test_an_unknown_way_is_refused(data):
    with pytest.raises(UserError, match="unknown compile 'fast': use one of off, on, graphs"):
        config_of(data[0], compile="fast")


@pytest.mark.parametrize("units", [False, True])
def test_an_lstm_in_bfloat16_is_refused_where_the_cpu_has_no_units_for_it(data, monkeypatch, units):
    config = toy_config(
        data[0],
        backbone=BackboneConfig("resnet18-lstm", width=4, fc=8),
        optim=OptimConfig(epochs=1, batch=14, precision="bf16"),
    )
    monkeypatch.setattr("torch.ops.mkldnn._is_mkldnn_bf16_supported", lambda: units)
    model = new_learner(config, "cpu").model
    if units:
        with network_in_training(model, config, "cpu"):
            return  # the arithmetic itself is the processor's
    with (
        pytest.raises(UserError, match=r"LSTM.*--precision fp32"),
        network_in_training(model, config, "cpu"),
    ):
        pass
