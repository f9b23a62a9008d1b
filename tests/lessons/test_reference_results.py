"""Reference results: nothing that was changed is shown, and only equal settings are compared."""

import json
import shutil
from pathlib import Path

import pytest
from lessonkit.reference_results import (
    SUMS,
    find_reference_run,
    load_reference_run,
    reference_pairs,
    reference_runs,
)

from ecstfl.errors import UserError
from tools import checksums

LANDED = Path(__file__).resolve().parents[2] / "results" / "landed"


def test_a_pair_differs_in_the_loss_alone():
    for plain, joint in reference_pairs():
        one, other = dict(plain.run["config"]), dict(joint.run["config"])
        assert one.pop("loss")["method"] == "softmax"
        assert other.pop("loss")["method"] == "ec-stfl"
        assert one == other
        assert list(plain.features["ids"]) == list(joint.features["ids"])


def test_kinds_are_kept_apart_and_ordered():
    for folder in ("quick", "unbounded"):
        runs = [one.run for one in reference_runs(folder)]
        assert {run["config"]["evaluate"] for run in runs} == {"test"}
        order = [(run["config"]["fold"], run["config"]["seed"]) for run in runs]
        assert order == sorted(order)
    with pytest.raises(UserError, match="no finished validation run"):
        reference_runs("quick", evaluate="validation")
    with pytest.raises(UserError, match="no pair of softmax and island"):
        reference_pairs("quick", "island")
    with pytest.raises(UserError, match="there are"):
        reference_runs("no-such-folder")


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
    (folder / SUMS).write_text(checksums.checksums(folder))
    monkeypatch.setattr("lessonkit.reference_results.reference_folder", lambda _: folder)


def test_runs_of_different_settings_are_no_pair(tmp_path, monkeypatch):
    plain, joint = reference_pairs()[0]
    land(tmp_path, monkeypatch, (plain, "optim", "epochs", 20), (joint, "optim", "epochs", 21))
    assert len(reference_runs()) == 2
    with pytest.raises(UserError, match="no pair"):
        reference_pairs()


def test_forms_are_kept_apart(tmp_path, monkeypatch):
    plain, joint = reference_pairs()[0]
    forms = ((plain, "patent"), (joint, "patent"), (joint, "paper"))
    land(tmp_path, monkeypatch, *((one, "loss", "form", form) for one, form in forms))
    for form in ("patent", "paper"):
        ((_, chosen),) = reference_pairs(form=form)
        assert chosen.run["config"]["loss"]["form"] == form
    with pytest.raises(UserError, match="no pair"):
        reference_pairs(form="released")


def test_weights_are_kept_apart_and_asked_for(tmp_path, monkeypatch):
    plain, joint = reference_pairs()[0]
    weights = ((plain, 0.0), (joint, 0.1), (joint, 0.03))
    land(tmp_path, monkeypatch, *((one, "loss", "weight", weight) for one, weight in weights))
    for weight in (0.03, 0.1):
        ((_, chosen),) = reference_pairs(weight=weight)
        assert chosen.run["config"]["loss"]["weight"] == weight
    with pytest.raises(UserError, match=r"several weights: ask for one of 0\.03, 0\.1"):
        reference_pairs()
    with pytest.raises(UserError, match="no pair"):
        reference_pairs(weight=1.0)


def test_a_run_is_found_by_its_name_in_any_folder():
    for folder in ("quick", "unbounded"):
        one = reference_runs(folder)[0]
        assert find_reference_run(one.run["name"]).directory == one.directory
    with pytest.raises(UserError, match="no landed run is named 'nobody'"):
        find_reference_run("nobody")


def test_checksums_of_the_landed_results_are_in_step():
    """After landing a run: python -m tools.checksums."""
    assert (LANDED / SUMS).read_text() == checksums.checksums(LANDED)


def test_every_landed_run_passes_its_check():
    runs = sorted(LANDED.glob("*/runs/*/run.json"))
    assert runs
    for path in runs:
        loaded = load_reference_run(path.parent)
        assert loaded.run["name"] == path.parent.name
        assert len(loaded.features["labels"]) == loaded.run["n_held_out"]


@pytest.fixture
def copied(tmp_path):
    source = reference_pairs()[0][0].directory
    target = tmp_path / "landed" / "quick" / "runs" / source.name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors", ".lock"))
    assert checksums.main([str(tmp_path / "landed")]) == 0
    return target


def test_a_changed_missing_or_unlisted_file_is_refused_in_one_sentence(copied):
    load_reference_run(copied)
    path = copied / "run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps(run | {"war": 0.99}))
    with pytest.raises(UserError, match=r"run\.json was changed since it landed") as error:
        load_reference_run(copied)
    assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(UserError, match=r"run\.json is missing"):
        load_reference_run(copied)
    path.write_text(json.dumps(run))
    moved = copied.rename(copied.with_name("mine"))
    with pytest.raises(UserError, match="is not in"):
        load_reference_run(moved)


def test_a_changed_array_is_refused(copied):
    path = copied / "features.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"features\.npz was changed"):
        load_reference_run(copied)


def test_without_a_list_nothing_is_precomputed(copied):
    (copied.parents[2] / SUMS).unlink()
    with pytest.raises(UserError, match="only landed runs"):
        load_reference_run(copied)


def test_command_says_when_there_is_nothing_to_list(tmp_path, capsys):
    assert checksums.main([str(tmp_path)]) == 2
    assert "no results in" in capsys.readouterr().err


def test_weights_and_locks_are_not_listed(tmp_path):
    for name in ("b.json", "a/model.safetensors", "a/.lock", "a/run.json", "x.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [line[66:] for line in checksums.checksums(tmp_path).splitlines()] == [
        "a/run.json",
        "b.json",
    ]
