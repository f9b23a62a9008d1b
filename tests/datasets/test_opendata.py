from collections import Counter

import pytest
from miniatures import make_cremad, make_dfew, make_folder, make_ravdess

from ecstfl.cli.main import main
from ecstfl.datasets.opening import inspect_data, open_data
from ecstfl.errors import UserError
from ecstfl.experiments import plan
from ecstfl.experiments.profiles import get_profile, select_clips


@pytest.fixture(scope="module")
def minis(tmp_path_factory):
    root = tmp_path_factory.mktemp("minis")
    make_dfew(root / "dfew")
    make_ravdess(root / "ravdess", actors=(1, 3), most=1)
    make_cremad(root / "crema-d", actors=(1001, 1002), most=1)
    make_folder(root / "own")
    rows = [f"own/{k}/{p}/a.mp4,{k}" for k in ("sad", "fear") for p in ("ann", "bob")]
    (root / "own.csv").write_text("\n".join(["path,label", *rows]))
    return root


@pytest.mark.parametrize(("name", "n"), [("dfew", 35), ("ravdess", 14), ("crema-d", 12)])
def test_by_name(minis, name, n):
    clips = open_data(name, minis / name)
    assert (clips.name, len(clips)) == (name, n)
    assert inspect_data(name, minis / name).clipset.ids == clips.ids


def test_by_path(minis):
    assert len(open_data(str(minis / "own"))) == 35
    assert len(open_data("folder", minis / "own")) == 35
    assert len(open_data(str(minis / "own.csv"))) == 4


def test_allow_missing(minis, tmp_path):
    root = make_dfew(tmp_path)
    gone = root / "Clip" / "clip_224x224_16f" / "00001"
    gone.rename(tmp_path / "gone")
    with pytest.raises(UserError, match="00001"):
        open_data("dfew", root)
    assert len(open_data("dfew", root, allow_missing=True)) == 34


def test_layout(minis, tmp_path):
    root = make_dfew(tmp_path, version="clip_224x224")
    make_dfew(root, version="original")
    assert open_data("dfew", root).name == "dfew-clip_224x224"
    assert open_data("dfew", root, layout="original").clips[0].source.is_file()
    with pytest.raises(UserError, match=r"no clip_224x224_16f under .*found: clip_224x224, orig"):
        open_data("dfew", root, layout="clip_224x224_16f")
    with pytest.raises(UserError, match=r"unknown layout 'big': use clip_224x224_16f"):
        open_data("dfew", root, layout="big")
    for name in ("ravdess", "embedded"):
        with pytest.raises(UserError, match="only dfew comes in several layouts"):
            open_data(name, minis / "ravdess", layout="original")


def test_smoke_takes_a_few_clips_of_each_class_where_nobody_is_named(tmp_path):
    """All of DFEW would take hours; groups are unknown there."""
    clips = open_data("dfew", make_dfew(tmp_path, per_fold=3))
    few = select_clips(get_profile("smoke"), clips)
    counts = Counter((c.fold, c.label) for c in few)
    assert counts == {(fold, label): 2 for fold in range(1, 6) for label in range(7)}
    assert list(few.ids) == [i for i in clips.ids if i in few.ids]
    assert select_clips(get_profile("quick"), clips) is clips


def test_the_command_reads_the_layout_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = make_dfew(tmp_path / "dfew")
    make_dfew(root, version="clip_224x224")
    words = ["reproduce", "--data", "dfew", "--root", str(root), "--profile", "smoke"]
    monkeypatch.setattr(plan, "preprocess", lambda clipset, *_, **__: stop(clipset))
    assert main([*words, "--layout", "clip_224x224", "--device", "cpu"]) == 2
    assert "stopped at dfew-clip_224x224" in capsys.readouterr().err
    assert main([*words, "--device", "cpu"]) == 2
    assert "stopped at dfew\n" in capsys.readouterr().err
    folders = sorted(p.name for p in (tmp_path / "results").iterdir())
    assert folders == ["dfew-clip_224x224-smoke", "dfew-smoke"]
    assert main([*words, "--layout", "original"]) == 2
    assert "no original under" in capsys.readouterr().err


def stop(clipset):
    raise UserError(f"stopped at {clipset.name}")


@pytest.mark.parametrize("name", ["dfew", "ravdess", "crema-d"])
def test_root_is_needed(name):
    with pytest.raises(UserError, match="--root"):
        open_data(name)


@pytest.mark.parametrize("name", ["DFEW2", "", "nowhere/at/all"])
def test_unknown_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "":
        name = "x.txt"
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="unknown data"):
        open_data(name)
