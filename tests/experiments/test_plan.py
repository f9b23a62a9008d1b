"""The plan says what will fail before anything costs time, and finds out what it is not told."""

from dataclasses import replace
from pathlib import Path

import pytest
from toy import toy_config, toy_data

from ecstfl.cli import main as cli
from ecstfl.cli.train import _infer
from ecstfl.errors import UserError
from ecstfl.experiments.plan import check_folds, settings_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        (
            {"g00-0", "g01-1"},
            r"fold 1 of toy leaves 1 clip\(s\) to train on \(Sad\): at least 2 of two",
        ),
        ({"g00-0", "g01-1", "g02-1", "g03-1"}, r"leaves 3 clip\(s\) to train on \(Sad\)"),
        ({"g00-0", "g00-1"}, "fold 1 leaves no clips to train on or to score"),
    ],
    ids=["one clip", "one expression", "one person"],
)
def test_folds_too_small_to_train_on_are_one_sentence(kept, sentence):
    clipset = toy_data()[0]
    few = clipset.subset([clip.id in kept for clip in clipset])
    with pytest.raises(UserError, match=sentence):
        check_folds(few, [toy_config(few)])


def test_folds_that_can_be_trained_on_pass():
    clipset = toy_data()[0]
    runs = [toy_config(clipset, fold=fold) for fold in clipset.folds]
    check_folds(clipset, [*runs, replace(runs[0], evaluate="validation")])


def test_a_folder_with_one_happy_and_one_sad_clip_is_refused_before_any_work(tmp_path, capsys):
    for name in ("happy/ann.mp4", "sad/bob.mp4"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no film")
    places = [f"--{name}={tmp_path / name}" for name in ("results", "figures", "cache")]
    for command in (["reproduce"], ["train"], ["study"]):
        assert cli.main([*command, "--data", str(tmp_path / "videos"), *places]) == 2
        (*_, line) = capsys.readouterr().err.splitlines()
        assert line.startswith("ecstfl: ")
        assert not (tmp_path / "results").exists()


def inferred(*arguments):
    args = cli.build_parser("reproduce").parse_args(["reproduce", *map(str, arguments)])
    _infer(args)
    return args.profile, args.data


def test_profile_and_data_are_those_of_the_runs_that_are_named(tmp_path):
    landed = ROOT / "results" / "landed"
    assert inferred() == ("quick", "embedded")
    assert inferred("--results", landed / "unbounded") == ("full", "embedded")
    longtail = landed / "unbounded-longtail"
    assert inferred("--results", longtail) == ("full", "embedded-longtail")
    assert inferred("--results", longtail, "--profile", "smoke")[0] == "smoke"
    assert inferred("--results", tmp_path / "new") == ("quick", "embedded")
    for text in ("{", "[]", '{"profile": "full"}', '{"profile": "full", "data": "my-videos"}'):
        (tmp_path / "plan.json").write_text(text)
        assert inferred("--results", tmp_path)[1] == "embedded"
    (tmp_path / "plan.json").write_bytes(b"\xff")
    assert settings_of(tmp_path) == {}
