"""Which landed runs may be compared."""

import json
import shutil

import pytest
from lessonkit import stamp
from lessonkit.landed import find_landed, landed_pairs, landed_runs, short_names

from ecstfl.errors import UserError


def test_a_pair_differs_in_the_loss_alone():
    for plain, joint in landed_pairs():
        one, other = dict(plain.run["config"]), dict(joint.run["config"])
        assert one.pop("loss")["method"] == "softmax"
        assert other.pop("loss")["method"] == "ec-stfl"
        assert one == other
        assert list(plain.features["ids"]) == list(joint.features["ids"])


def test_kinds_are_kept_apart_and_ordered():
    for folder, kind in (("quick", "test"), ("lambda-sweep", "validation")):
        runs = [one.run for one in landed_runs(folder, evaluate=kind)]
        assert {run["config"]["evaluate"] for run in runs} == {kind}
        order = [(run["config"]["fold"], run["config"]["seed"]) for run in runs]
        assert order == sorted(order)
    with pytest.raises(UserError, match="no finished test run"):
        landed_runs("lambda-sweep", evaluate="test")
    with pytest.raises(UserError, match="no pair of softmax and island"):
        landed_pairs("quick", "island")
    with pytest.raises(UserError, match="there are"):
        landed_runs("no-such-folder")


def land(folder, monkeypatch, *copies):
    """Make ``folder`` the landed one, of copies (run, section of its config, key, new value)."""
    for one, section, key, value in copies:
        place = folder / "runs" / f"{one.directory.name}-{value}"
        place.mkdir(parents=True)
        for name in ("run.json", "features.npz"):
            shutil.copy(one.directory / name, place)
        run = json.loads((place / "run.json").read_text())
        run["config"][section][key] = value
        (place / "run.json").write_text(json.dumps(run))
    (folder / stamp.SUMS).write_text(stamp.checksums(folder))
    monkeypatch.setattr("lessonkit.landed.landed", lambda _: folder)


def test_runs_of_different_settings_are_no_pair(tmp_path, monkeypatch):
    plain, joint = landed_pairs()[0]
    land(tmp_path, monkeypatch, (plain, "optim", "epochs", 20), (joint, "optim", "epochs", 21))
    assert len(landed_runs()) == 2
    with pytest.raises(UserError, match="no pair"):
        landed_pairs()


def test_forms_are_kept_apart(tmp_path, monkeypatch):
    plain, joint = landed_pairs()[0]
    forms = ((plain, "patent"), (joint, "patent"), (joint, "paper"))
    land(tmp_path, monkeypatch, *((one, "loss", "form", form) for one, form in forms))
    for form in ("patent", "paper"):
        ((_, chosen),) = landed_pairs(form=form)
        assert chosen.run["config"]["loss"]["form"] == form
    with pytest.raises(UserError, match="no pair"):
        landed_pairs(form="released")


def test_weights_are_kept_apart_and_asked_for(tmp_path, monkeypatch):
    plain, joint = landed_pairs()[0]
    weights = ((plain, 0.0), (joint, 0.1), (joint, 0.03))
    land(tmp_path, monkeypatch, *((one, "loss", "weight", weight) for one, weight in weights))
    for weight in (0.03, 0.1):
        ((_, chosen),) = landed_pairs(weight=weight)
        assert chosen.run["config"]["loss"]["weight"] == weight
    with pytest.raises(UserError, match=r"several weights: ask for one of 0\.03, 0\.1"):
        landed_pairs()
    with pytest.raises(UserError, match="no pair"):
        landed_pairs(weight=1.0)


def test_many_runs_have_a_short_stamp():
    runs = [{"name": f"r{k}"} for k in range(6)]
    assert short_names(runs[:2]) == ["r0", "r1"]
    assert short_names(runs) == ["r0 to r5 (6 runs)"]


def test_a_run_is_found_by_its_name_in_any_folder():
    for folder, kind in (("quick", "test"), ("lambda-sweep", "validation")):
        one = landed_runs(folder, evaluate=kind)[0]
        assert find_landed(one.run["name"]).directory == one.directory
    with pytest.raises(UserError, match="no landed run is named 'nobody'"):
        find_landed("nobody")
