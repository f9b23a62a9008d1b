"""Training: it learns, it resumes exactly, it never looks at the test fold, it fails loudly."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import stats
from toy import toy_config, toy_data

from ecstfl.errors import UserError
from ecstfl.losses.methods import LossConfig
from ecstfl.models.backbones import BackboneConfig
from ecstfl.predict.checkpoint import load_checkpoint
from ecstfl.runs.checkpoint import write_checkpoint
from ecstfl.runs.config import OptimConfig
from ecstfl.runs.run_folder import read_features, run_directory
from ecstfl.training import forward
from ecstfl.training.loop import train_run
from ecstfl.training.optimizers import learning_rate
from ecstfl.training.samplers import epoch_batches, parts_of_batch
from ecstfl.training.splits import split_clips, training_labels

VOLATILE = ("seconds", "finished", "provenance")


@pytest.fixture(scope="module")
def data():
    return toy_data()


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    """A run with the toy's settings."""
    return train_run(toy_config(data[0]), *data, tmp_path_factory.mktemp("plain"))


class Killed(BaseException):
    """Raised in the middle of a training, as Ctrl-C is."""


def stable(run):
    return {k: v for k, v in run.items() if k not in VOLATILE}


def test_it_learns_the_moving_spots(data, tmp_path):
    clipset, clips = data
    config = toy_config(clipset, epochs=80)
    run = train_run(config, clipset, clips, tmp_path)
    assert run["war"] > 0.8
    assert run["clusters"]["within_between"] < 0.7
    features = read_features(run_directory(tmp_path, config))
    assert sorted(features["ids"]) == sorted(c.id for c in clipset if c.fold == 1)
    assert np.trace(np.array(run["confusion"])) == round(run["war"] * 14)


@pytest.mark.parametrize(("epochs", "scored"), [(5, [2, 4, 5]), (33, [*range(3, 34, 3)])])
def test_held_out_clips_are_scored_about_ten_times_and_at_the_end(data, tmp_path, epochs, scored):
    clipset, clips = data
    run = train_run(toy_config(clipset, epochs=epochs), clipset, clips, tmp_path)
    assert [r["epoch"] for r in run["history"] if "held_out_war" in r] == scored


def test_the_weight_reaches_the_gradient(data, tmp_path):
    clipset, clips = data
    softmax = train_run(toy_config(clipset, method="softmax"), clipset, clips, tmp_path)
    zero = train_run(toy_config(clipset, weight=0.0), clipset, clips, tmp_path)
    joint = train_run(toy_config(clipset, weight=0.3), clipset, clips, tmp_path)
    assert zero["history"] == softmax["history"]  # lambda 0 is softmax-only, to the last bit
    assert joint["history"] != softmax["history"]
    assert all(r["loss"] == pytest.approx(r["ce"]) for r in softmax["history"])
    for record in joint["history"]:
        assert record["loss"] == pytest.approx(record["ce"] + 0.3 * record["ec_stfl"], rel=1e-5)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(data, tmp_path):
    clipset, clips = data
    config = toy_config(clipset)
    first = train_run(config, clipset, clips, tmp_path / "a")
    second = train_run(config, clipset, clips, tmp_path / "b")
    assert stable(first) == stable(second)
    other = train_run(dataclasses.replace(config, seed=1), clipset, clips, tmp_path / "c")
    assert other["history"] != first["history"]


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_killed_run_resumes_to_the_same_result(data, tmp_path, killed_after):
    clipset, clips = data
    config = toy_config(clipset)
    whole = train_run(config, clipset, clips, tmp_path / "whole")

    def kill(done, _epochs, _record):
        if done == killed_after:
            raise Killed

    with pytest.raises(Killed):
        train_run(config, clipset, clips, tmp_path / "killed", progress=kill)
    directory = run_directory(tmp_path / "killed", config)
    assert (directory / "checkpoint.pt").exists()
    assert not (directory / "run.json").exists()
    epochs = []
    resumed = train_run(
        config, clipset, clips, tmp_path / "killed", progress=lambda n, *_: epochs.append(n)
    )
    assert epochs == list(range(killed_after + 1, 4))
    assert stable(resumed) == stable(whole)
    left, right = (read_features(run_directory(tmp_path / n, config)) for n in ("whole", "killed"))
    np.testing.assert_array_equal(left["logits"], right["logits"])
    assert not (directory / "checkpoint.pt").exists()


def test_a_broken_checkpoint_is_moved_aside_and_the_run_redone(data, tmp_path):
    clipset, clips = data
    config = toy_config(clipset, epochs=1)
    directory = run_directory(tmp_path, config)
    directory.mkdir(parents=True)
    (directory / "checkpoint.pt").write_bytes(b"garbage")
    with pytest.warns(UserWarning, match=r"kept as checkpoint.pt.broken-1"):
        run = train_run(config, clipset, clips, tmp_path)
    assert len(run["history"]) == 1


def test_a_checkpoint_is_never_unpickled(data, tmp_path):
    """A pickle that would run code is refused and moved aside, not executed."""
    clipset, clips = data
    config = toy_config(clipset, epochs=1)
    directory = run_directory(tmp_path, config)
    directory.mkdir(parents=True)
    write_checkpoint(
        directory / "checkpoint.pt", {"model": _Bomb(tmp_path / "exploded")}, config.hash
    )
    with pytest.warns(UserWarning, match="broken"):
        train_run(config, clipset, clips, tmp_path)
    assert not (tmp_path / "exploded").exists()


class _Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nan_stops_the_run_and_keeps_the_last_good_epoch(data, tmp_path, monkeypatch):
    clipset, clips = data
    config = toy_config(clipset)
    view = forward.training_view
    calls = []

    def poisoned(*arguments):
        calls.append(1)
        return view(*arguments) * (float("nan") if len(calls) == 6 else 1)

    monkeypatch.setattr(forward, "training_view", poisoned)  # step 2 of epoch 2
    with pytest.raises(UserError, match="NaN or infinite at epoch 2, step 2; the checkpoint of ep"):
        train_run(config, clipset, clips, tmp_path)
    assert (run_directory(tmp_path, config) / "checkpoint.pt").exists()


OTHER_TRAININGS = {
    "bf16": {"optim": OptimConfig(epochs=3, batch=14, lr=5e-3, precision="bf16")},
    "average": {"optim": OptimConfig(epochs=3, batch=14, lr=5e-3, ema=0.9)},
    "parts": {"optim": OptimConfig(epochs=3, batch=14, lr=5e-3, accumulate=2)},
    "warm-up": {"loss": LossConfig("ec-stfl", weight=0.1, warmup=0.5)},
    "fewer people": {"train_groups": 4},
    "wrong labels": {"label_noise": 0.3},
    "one rater": {"votes": 1},
    "Muon": {"optim": OptimConfig(epochs=3, batch=14, lr=5e-3, optimizer="muon")},
    "Muon, bf16": {
        "optim": OptimConfig(epochs=3, batch=14, lr=5e-3, optimizer="muon", precision="bf16")
    },
}


@pytest.mark.parametrize("changes", OTHER_TRAININGS.values(), ids=OTHER_TRAININGS)
def test_every_setting_trains_changes_the_result_and_resumes_exactly(
    data, plain, tmp_path, changes
):
    clipset, clips = data
    config = toy_config(clipset, **changes)
    whole = train_run(config, clipset, clips, tmp_path / "whole")
    assert stable(whole)["history"] != stable(plain)["history"]
    assert all(np.isfinite(record["loss"]) for record in whole["history"])
    last = [run["history"][-1]["ce"] for run in (whole, plain)]
    assert abs(last[0] - last[1]) < 0.5  # another road to much the same place

    def kill(done, *_):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        train_run(config, clipset, clips, tmp_path / "killed", progress=kill)
    resumed = train_run(config, clipset, clips, tmp_path / "killed")
    assert stable(resumed) == stable(whole)


def test_the_moving_average_is_what_is_scored_and_kept(data, tmp_path):
    clipset, clips = data
    slow = OptimConfig(epochs=3, batch=14, lr=5e-3, ema=0.9999)  # hardly leaves its first value
    run = train_run(toy_config(clipset, optim=slow), clipset, clips, tmp_path)
    assert run["history"][-1]["train_war"] > 0.3 > run["war"]


def test_parts_hold_the_whole_batch_and_never_a_single_clip():
    for n in range(2, 30):
        for wanted in range(1, 9):
            parts = parts_of_batch(list(range(n)), wanted)
            assert [i for part in parts for i in part] == list(range(n))
            assert min(map(len, parts)) >= 2
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
            assert len(parts) == min(wanted, n // 2)


def test_one_batch_in_parts_gives_the_mean_gradient_of_cross_entropy(data, tmp_path, monkeypatch):
    # without BatchNorm, dropout and EC-STFL a batch in parts is the same training
    clipset, clips = data
    backbone = BackboneConfig(width=4, fc=16, dropout=0, batch_norm=False)
    histories = []
    for parts in (1, 2):
        optim = OptimConfig(epochs=1, batch=14, lr=5e-4, accumulate=parts)
        config = toy_config(clipset, method="softmax", backbone=backbone, optim=optim)
        config = dataclasses.replace(
            config, augment=dataclasses.replace(config.augment, scale=0, shift=0, contrast=0)
        )
        run = train_run(config, clipset, clips, tmp_path)
        histories.append(run["history"][0]["ce"])
    assert histories[0] == pytest.approx(histories[1], rel=1e-4)


def test_smaller_training_sets_are_nested_and_hold_whole_people(data):
    clipset, _ = data
    chosen = []
    for groups in (2, 5, 0):
        config = toy_config(clipset, method="softmax", train_groups=groups)
        train, held_out = split_clips(clipset, config)
        chosen.append(set(clipset.groups[train]))
        assert len(train) == 7 * (groups or 8)
        assert len(held_out) == 14
    assert chosen[0] < chosen[1] < chosen[2]
    with pytest.raises(UserError, match="train_groups is 9, but only 8 can train"):
        split_clips(clipset, toy_config(clipset, method="softmax", train_groups=9))


def test_a_share_of_the_training_labels_is_wrong_and_the_same_for_every_method(data):
    clipset, _ = data
    train, _ = split_clips(clipset, toy_config(clipset))
    right = clipset.labels[train]
    np.testing.assert_array_equal(training_labels(clipset, train, toy_config(clipset)), right)
    told = {}
    for seed in (0, 1):
        for method in ("softmax", "ec-stfl"):
            config = toy_config(clipset, method=method, seed=seed, label_noise=0.25)
            told[method, seed] = training_labels(clipset, train, config)
            assert (told[method, seed] != right).sum() == round(0.25 * len(train))
            assert set(told[method, seed]) <= set(range(7))
        np.testing.assert_array_equal(told["softmax", seed], told["ec-stfl", seed])
    assert (told["softmax", 0] != told["softmax", 1]).any()
    np.testing.assert_array_equal(clipset.labels[train], right)  # the data set keeps its own


def test_wrong_labels_are_spread_over_the_other_classes(data):
    clipset, _ = data
    train = np.tile(np.arange(len(clipset)), 200)
    config = toy_config(clipset, label_noise=0.5)
    moved = (training_labels(clipset, train, config) - clipset.labels[train]) % 7
    counts = np.bincount(moved, minlength=7)
    assert counts[0] == len(train) - round(0.5 * len(train))
    assert stats.chisquare(counts[1:]).pvalue > 1e-4


def test_labels_of_few_raters_are_what_most_of_the_asked_say(data):
    clipset, _ = data  # of ten raters 7 name the label, 2 the next class, 1 the one after
    train = np.tile(np.arange(len(clipset)), 200)
    right = clipset.labels[train]

    def moved(votes, **changes):
        config = toy_config(clipset, votes=votes, **changes)
        return np.bincount((training_labels(clipset, train, config) - right) % 7, minlength=7)

    assert stats.chisquare(moved(1)[:3], np.array([0.7, 0.2, 0.1]) * len(train)).pvalue > 1e-4
    # two of three raters agree, or all three differ and one of them is drawn: hypergeometric
    three = [stats.hypergeom(10, k, 3).sf(1) for k in (7, 2, 1)] + np.full(3, 7 * 2 / 120 / 3)
    assert stats.chisquare(moved(3)[:3], three * len(train)).pvalue > 1e-4
    assert moved(1)[3:].sum() == moved(3)[3:].sum() == 0
    assert moved(10)[0] == len(train)
    np.testing.assert_array_equal(clipset.labels[train], right)  # the data set keeps its own


def test_every_method_hears_the_same_raters_and_a_tie_is_drawn(data):
    clipset, _ = data
    train = np.arange(len(clipset))
    one, other = (
        training_labels(clipset, train, toy_config(clipset, method=method, votes=1))
        for method in ("softmax", "ec-stfl")
    )
    np.testing.assert_array_equal(one, other)
    again = training_labels(clipset, train, toy_config(clipset, votes=1, seed=1))
    assert (one != again).any()
    torn = dataclasses.replace(clipset.clips[0], votes=(0, 0, 5, 0, 0, 5, 0))
    torn = dataclasses.replace(clipset, clips=(torn,))
    drawn = training_labels(torn, np.zeros(400, int), toy_config(clipset, votes=10))
    assert set(drawn) == {2, 5}
    assert stats.binomtest(int((drawn == 2).sum()), 400).pvalue > 1e-4


def test_more_votes_than_there_are_is_told(data):
    clipset, _ = data
    with pytest.raises(UserError, match=r"11 votes a clip are asked for, and 'g00-0' has 10"):
        training_labels(clipset, np.arange(3), toy_config(clipset, votes=11))
    none = dataclasses.replace(clipset.clips[0], votes=())
    none = dataclasses.replace(clipset, clips=(none,))
    with pytest.raises(UserError, match="ask for fewer, or train on the labels"):
        training_labels(none, np.arange(1), toy_config(clipset, votes=1))


def test_clips_without_a_group_count_as_people_of_their_own(data):
    clipset, _ = data
    nobody = dataclasses.replace(
        clipset, clips=tuple(dataclasses.replace(c, group="") for c in clipset)
    )
    config = toy_config(nobody, method="softmax", train_groups=5)
    assert len(split_clips(nobody, config)[0]) == 5


def test_test_clips_never_reach_training(data, tmp_path):
    """Garbling the test fold changes its score and nothing of the trained network."""
    clipset, clips = data
    config = toy_config(clipset)
    garbled = clips.copy()
    garbled[[c.fold == 1 for c in clipset]] = 255
    weights = []
    for name, videos in (("clean", clips), ("garbled", garbled)):
        train_run(config, clipset, videos, tmp_path / name)
        path = run_directory(tmp_path / name, config) / "model.safetensors"
        weights.append(load_checkpoint(path)[1].state_dict())
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_validation_holds_the_next_fold_out_and_never_sees_the_test_fold(data):
    clipset, _ = data
    folds = np.array([c.fold for c in clipset])
    for fold, following in ((1, 2), (5, 1)):
        config = toy_config(clipset, fold=fold, evaluate="validation")
        train, held_out = split_clips(clipset, config)
        assert set(folds[held_out]) == {following}
        assert set(folds[train]) == {1, 2, 3, 4, 5} - {fold, following}


def test_batches_cover_an_epoch_once():
    labels = np.arange(50) % 7
    for epoch in range(3):
        seen = [i for b in epoch_batches(labels, OptimConfig(batch=8), 0, epoch) for i in b]
        assert sorted(seen) == list(range(50))
    balanced = epoch_batches(labels, OptimConfig(batch=14, per_class=2), 0, 0)
    assert all(np.bincount(labels[b], minlength=7).min() == 2 for b in balanced)


def test_a_last_batch_of_one_clip_is_left_out():
    sizes = [len(b) for b in epoch_batches(np.zeros(9, int), OptimConfig(batch=4), 0, 0)]
    assert sizes == [4, 4]


def test_learning_rate_is_one_cycle():
    rates = [learning_rate(s, 100, 1.0) for s in range(100)]
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == 1.0
    assert rates.index(1.0) == 30
    assert rates[-1] < 0.01
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)
    early = [learning_rate(s, 100, 1.0, 0.1) for s in range(100)]
    assert early.index(max(early)) == 10


def test_run_json_holds_what_a_reader_needs(data, tmp_path):
    clipset, clips = data
    config = toy_config(clipset, epochs=1)
    train_run(config, clipset, clips, tmp_path)
    run = json.loads((run_directory(tmp_path, config) / "run.json").read_text())
    assert run["config_hash"] == config.hash
    assert run["synthetic"] is True
    assert np.array(run["confusion"]).sum() == run["n_held_out"] == 14
    assert run["n_train"] == 56
    for key in ("commit", "packages", "processor", "ecstfl"):
        assert key in run["provenance"]
    assert run["history"][0]["one_class_batches"] == 0


def test_a_fold_with_one_clip_a_class_has_no_cluster_measures(tmp_path):
    clipset, clips = toy_data(groups=5)
    run = train_run(toy_config(clipset, epochs=1), clipset, clips, tmp_path)
    assert run["n_held_out"] == 7
    assert run["clusters"] is None
