"""A run lands as a checkpoint: its temperature, its card, its ONNX file."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from toy import toy_config, toy_data

from ecstfl.errors import UserError
from ecstfl.metrics.calibration import fit_temperature, reliability
from ecstfl.models.model_file import SHIPPED
from ecstfl.predict.checkpoint import HONESTY, load_checkpoint
from ecstfl.predict.recognizer import Recognizer
from ecstfl.runs.run_folder import read_features, run_directory
from ecstfl.training.loop import train_run
from ecstfl.video.files import content_sha256
from tools import real_faces
from tools.calibrate import calibrate, reliability_figure
from tools.model_card import find_validation_runs, land, main, render_card

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A tested run and a validation run of the same settings."""
    clipset, clips = toy_data()
    results = tmp_path_factory.mktemp("all") / "results"
    test = toy_config(clipset, epochs=4)
    validation = dataclasses.replace(test, evaluate="validation", seed=1)
    for config in (test, validation):
        train_run(config, clipset, clips, results)
    return run_directory(results, test), run_directory(results, validation)


def test_the_temperature_comes_from_the_validation_fold_alone(runs):
    test, validation = runs
    result = calibrate(test, [validation])
    features = read_features(validation)
    expected = fit_temperature(features["logits"].astype(float), features["labels"].astype(int))
    assert result.temperature == pytest.approx(expected)
    assert result.fitted_on == len(features["labels"])
    assert sum(result.after.counts) == len(read_features(test)["labels"])


def test_only_a_validation_run_of_the_same_settings_will_do(runs, tmp_path):
    test, validation = runs
    with pytest.raises(UserError, match="nothing may be fitted"):
        calibrate(test, [test])
    with pytest.raises(UserError, match="is a validation run"):
        calibrate(validation, [validation])
    with pytest.raises(UserError, match="needs a validation run"):
        calibrate(test, [])
    with pytest.raises(UserError, match="no finished run"):
        calibrate(tmp_path, [validation])
    clipset, clips = toy_data()
    other = toy_config(clipset, epochs=3, evaluate="validation")
    train_run(other, clipset, clips, tmp_path)
    with pytest.raises(UserError, match="another optim"):
        calibrate(test, [run_directory(tmp_path, other)])


def test_landing_a_run_twice_writes_the_same_bytes(runs, tmp_path):
    for name in ("once", "again", "and again"):
        land(runs[0], tmp_path / name)
    for path in (tmp_path / "once").iterdir():
        for name in ("again", "and again"):
            assert (tmp_path / name / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_run_lands_with_card_and_temperature(runs, tmp_path):
    test, validation = runs
    config = load_checkpoint(test / "model.safetensors")[0]
    assert find_validation_runs(test, config) == [validation]
    written = land(test, tmp_path, clip_seconds=0.96, longest_seconds=1.28)
    assert all(path.stat().st_size for path in written)
    recognizer = Recognizer(tmp_path / "ecstfl-small.safetensors")
    facts = json.loads((tmp_path / "model_card.json").read_text())
    run = json.loads((test / "run.json").read_text())
    assert recognizer.notes.temperature == facts["calibration"]["temperature"]
    assert recognizer.notes.calibrated
    assert (recognizer.plan().length, recognizer.plan().whole) == (0.96, 1.28)
    assert facts["metrics"]["war"]["value"] == pytest.approx(run["war"])
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert HONESTY in card
    assert "rendered faces (synthetic)" in card
    assert f"optimiser: AdamW {config.optim.lr:g}; augmentation: " in card
    assert f"shift {config.augment.shift:g}" in card
    assert f"{100 * run['uar']:.1f} %" in card
    assert "None" not in card
    assert "nan" not in card.split()
    for name, tensor in load_checkpoint(test / "model.safetensors")[1].state_dict().items():
        assert torch.equal(tensor, recognizer.model.state_dict()[name])


def test_landing_without_validation_tells_the_command(runs, tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path / "models")]) == 2
    assert "no finished run" in capsys.readouterr().err
    clipset, clips = toy_data()
    alone = toy_config(clipset, epochs=1)
    train_run(alone, clipset, clips, tmp_path / "results")
    assert main([str(run_directory(tmp_path / "results", alone)), str(tmp_path / "models")]) == 2
    assert "ecstfl train --validate" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_the_reliability_figure_shows_both_errors():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (300, 7)), rng.integers(0, 7, 300)
    before = reliability(softmax(logits, axis=1), labels)
    after = reliability(softmax(logits / 2, axis=1), labels)
    figure = reliability_figure(before, after, "toy (synthetic)")
    titles = [axis.get_title() for axis in figure.axes]
    assert f"{100 * before.ece:.1f} %" in titles[0]
    assert f"{100 * after.ece:.1f} %" in titles[1]


def test_onnx_gives_the_same_logits(runs, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    from tools.export_onnx import export_onnx

    path = runs[0] / "model.safetensors"
    out = tmp_path / "m.onnx"
    done = export_onnx(path, out)
    _, network, _ = load_checkpoint(path)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    clips = np.random.default_rng(0).normal(size=(3, *done["shape"][1:])).astype(np.float32)
    (logits,) = session.run(["logits"], {"clips": clips})
    with torch.inference_mode():
        ours = network(torch.from_numpy(clips)).numpy()
    np.testing.assert_allclose(logits, ours, atol=1e-4)
    properties = session.get_modelmeta().custom_metadata_map
    assert len(json.loads(properties["classes"])) == 7
    assert HONESTY in properties["statement"]


def test_onnx_without_its_packages_says_what_to_install(runs, tmp_path, monkeypatch):
    import sys

    from tools.export_onnx import export_onnx

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"ecstfl\[onnx\]"):
        export_onnx(runs[0] / "model.safetensors", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_the_card_that_is_shipped_is_what_its_numbers_render_to():
    facts = json.loads((ROOT / "models" / "model_card.json").read_text())
    assert render_card(facts) == (ROOT / "models" / "MODEL_CARD.md").read_text()
    shipped = content_sha256(ROOT / "models" / SHIPPED)
    assert all(real["model_sha256"] == shipped for real in facts["real"])


def test_real_faces_are_added_to_the_card_of_the_model_that_was_measured(runs, tmp_path, capsys):
    models, evaluation = tmp_path / "models", tmp_path / "evaluation"
    land(runs[0], models)
    assert "has not been measured (" in (models / "MODEL_CARD.md").read_text()
    measured = json.loads((ROOT / "models" / "model_card.json").read_text())["real"][0]
    named = ["--name", "Smiles", "--source", "doi 1", "--licence", "CC BY 4.0"]
    command = [str(evaluation), str(models), *named]
    assert real_faces.main(command) == 2
    assert "cannot read" in capsys.readouterr().err
    evaluation.mkdir()
    for sha, n in ((content_sha256(models / SHIPPED), 203), ("another", 204)):
        changed = measured | {"model_sha256": sha, "n_clips": n}
        (evaluation / "evaluation.json").write_text(json.dumps(changed))
        assert real_faces.main(command) == (0 if n == 203 else 2)
    assert "not an evaluation of" in capsys.readouterr().err
    card = (models / "MODEL_CARD.md").read_text()
    assert "doi 1; CC BY 4.0. 203 clips of 102 people" in card
    assert "has not been measured (" not in card
    land(runs[0], models)  # another model lands: its card begins without
    assert "## Real faces" not in (models / "MODEL_CARD.md").read_text()
