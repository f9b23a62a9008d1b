"""Which optimiser takes which weights, and what becomes of a checkpoint of another one."""

import dataclasses

import pytest
from torch import nn
from toy import toy_config, toy_data

from ecstfl.errors import UserError
from ecstfl.labels import N_CLASSES
from ecstfl.models.backbones import BACKBONES, BackboneConfig, build_backbone
from ecstfl.runs.checkpoint import write_checkpoint
from ecstfl.runs.config import OptimConfig
from ecstfl.runs.run_folder import run_directory
from ecstfl.training.learner import new_learner
from ecstfl.training.loop import train_run
from ecstfl.training.optimizers import build_optimizers, inner_weights, set_learning_rates

MUON = OptimConfig(epochs=1, batch=14, lr=5e-3, optimizer="muon", muon_lr=0.03)


@pytest.mark.parametrize("name", BACKBONES)
def test_muon_takes_kernels_and_matrices_but_the_classifier(name):
    model = build_backbone(BackboneConfig(name, width=8, fc=16), 8, 32)
    optimizers = build_optimizers(model, nn.Identity(), MUON)
    taken = {
        kind: {id(p) for group in optimizers[kind].param_groups for p in group["params"]}
        for kind in ("muon", "adamw")
    }
    assert not taken["muon"] & taken["adamw"]
    assert taken["muon"] | taken["adamw"] == {id(p) for p in model.parameters()}
    left = [p for p in model.parameters() if p.ndim > 1 and id(p) in taken["adamw"]]
    assert [len(p) for p in left] == [N_CLASSES]
    assert len(taken["muon"]) == len(inner_weights(model)) > 0


def test_each_optimiser_has_its_own_peak_of_one_cycle():
    model = build_backbone(BackboneConfig(width=8, fc=16), 8, 32)
    optimizers = build_optimizers(model, nn.Identity(), MUON)
    for step, share in ((30, 1.0), (0, 1 / 25)):
        set_learning_rates(optimizers.values(), step, 100, 0.3)
        for name, peak in (("adamw", 5e-3), ("muon", 0.03)):
            rates = [group["lr"] for group in optimizers[name].param_groups]
            assert rates == pytest.approx([peak * share] * len(rates))


def test_a_network_without_inner_weights_is_refused():
    with pytest.raises(UserError, match="Muon has nothing to orthogonalise"):
        build_optimizers(nn.Linear(3, 7), nn.Identity(), MUON)


def test_settings_are_checked_and_unused_ones_make_no_other_run():
    with pytest.raises(UserError, match="unknown optimizer 'sgd': use one of adamw, muon"):
        OptimConfig(optimizer="sgd")
    with pytest.raises(UserError, match="must be above 0, got -1"):
        OptimConfig(optimizer="muon", muon_lr=-1)
    assert OptimConfig(muon_lr=0.5) == OptimConfig()
    clipset, _ = toy_data()
    names = {toy_config(clipset, optim=one).name for one in (OptimConfig(), MUON)}
    assert len(names) == 2


@pytest.mark.parametrize(("theirs", "ours"), [("muon", "adamw"), ("adamw", "muon")])
def test_a_checkpoint_of_another_optimiser_starts_anew(tmp_path, theirs, ours):
    clipset, clips = toy_data()
    config = toy_config(clipset, optim=dataclasses.replace(MUON, optimizer=ours))
    other = dataclasses.replace(config, optim=dataclasses.replace(MUON, optimizer=theirs))
    state = new_learner(other, "cpu").state() | {"history": [], "seconds": 0.0}
    write_checkpoint(run_directory(tmp_path, config) / "checkpoint.pt", state, config.hash)
    said = rf"broken \(it is of the optimiser {theirs}, this run takes {ours}\); it is kept as"
    with pytest.warns(UserWarning, match=said):
        assert len(train_run(config, clipset, clips, tmp_path)["history"]) == 1
