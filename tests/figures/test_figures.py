"""Figures of runs: they say what they are, name their runs, and do not flatter a method."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from madeup import made_up_run, made_up_table
from scipy.stats import ortho_group
from toy import toy_config, toy_data

from ecstfl.figures import maps, style
from ecstfl.figures.confusion import confusion_matrices
from ecstfl.figures.curves import learning_curves
from ecstfl.figures.files import save_figure, up_to_date
from ecstfl.figures.maps import laid_onto, umap_grid, umap_pair


@pytest.fixture(scope="module")
def table():
    return made_up_table()


def runs_of(table):
    return [run for run, _ in table.values()]


def texts(figure):
    """All text in a figure, axes titles and tick labels included."""
    import matplotlib.text

    return "\n".join(t.get_text() for t in figure.findobj(matplotlib.text.Text))


def test_marks_tell_data_folds_clips_and_seeds(table):
    runs = runs_of(table)
    assert style.marks(runs) == (
        "SYNTHETIC: rendered clips · toy profile, test folds 1-3 · n = 168 clips, seeds 0, 1"
    )
    one = style.marks(runs[:2])
    assert "test fold 1 · n = 56 clips, seed 0" in one


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_a_turned_mirrored_scaled_map_is_laid_onto_itself(seed, scale):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(20, 2))
    turned = scale * points @ ortho_group.rvs(2, random_state=rng) + rng.normal(size=2)
    left, right = laid_onto(points, points), laid_onto(points, turned)
    np.testing.assert_allclose(left, right, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_a_map_that_disagrees_is_not_drawn_smaller(seed):
    rng = np.random.default_rng(seed)
    reference, other = rng.normal(size=(2, 30, 2))
    laid = laid_onto(reference, other)
    assert np.linalg.norm(laid) == pytest.approx(1)
    np.testing.assert_allclose(laid.mean(0), 0, atol=1e-12)


def test_confusions_are_pooled_by_method_as_integers(table):
    runs = runs_of(table)
    figure = confusion_matrices(runs)
    axes = [a for a in figure.axes if a.get_title()]
    assert len(axes) == 2
    for axis, method in zip(axes, ("softmax", "ec-stfl"), strict=True):
        chosen = [r for r in runs if r["config"]["loss"]["method"] == method]
        expected = np.sum([r["confusion"] for r in chosen], axis=0)
        shown = [int(t.get_text()) for t in axis.texts]
        assert shown == expected.ravel().tolist()
        assert f"{np.trace(expected)} of {expected.sum()} right" in axis.get_title()
    assert "SYNTHETIC" in texts(figure)


def test_both_panels_of_the_pair_name_their_method(table, quick_maps):
    (run, features), (other, more) = list(table.values())[:2]
    drawn = texts(umap_pair((run, other), (features, more)))
    assert "softmax only" in drawn
    assert "EC-STFL (patent form, λ = 0.1)" in drawn
    assert "within / between 0.70" in drawn


def test_the_same_seed_gives_the_same_map():
    """UMAP itself, without Numba, which would compile for 20 seconds to map 14 clips."""
    code = """
        import numpy as np
        from ecstfl.figures.maps import umap_map, why_no_map
        rng = np.random.default_rng(0)
        features = np.repeat(50 * np.eye(2, 8), 7, axis=0) + rng.normal(size=(14, 8))
        assert why_no_map(features) == ""
        one, same = umap_map(features, 1, 5), umap_map(features, 1, 5)
        assert (one == same).all()
        assert one.shape == (14, 2)
        assert np.isfinite(one).all()
    """
    code = "\n".join(line.strip() for line in code.splitlines())
    alone = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_map_leaves_torch_its_threads():
    """Numba gives them away once a process, at its first map: so a process of its own."""
    code = """
        import os
        os.environ["NUMBA_NUM_THREADS"] = "2"
        import numpy as np, torch
        from ecstfl.figures.maps import umap_map
        torch.set_num_threads(1)
        assert torch.get_num_threads() == 1  # the first look sets them anew
        umap_map(np.random.default_rng(0).normal(size=(280, 64)))
        print(torch.get_num_threads())
    """
    code = "\n".join(line.strip() for line in code.splitlines())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.stdout.split() == ["1"], done.stdout + done.stderr


@pytest.mark.parametrize("broken", [False, True])
def test_what_a_map_does_to_torchs_threads_is_undone(monkeypatch, broken):
    """Also where it fails; a stand-in for umap-learn, which compiles for 20 seconds."""
    before = torch.get_num_threads()

    class Greedy:
        def __init__(self, **how):
            self.n = how["n_neighbors"]

        def fit_transform(self, features):
            torch.set_num_threads(before + 1)
            if broken:
                raise ZeroDivisionError
            return features[:, : self.n]

    monkeypatch.setattr(maps, "_import_umap", lambda: SimpleNamespace(UMAP=Greedy))
    features = np.arange(9.0).reshape(3, 3)
    if broken:
        with pytest.raises(ZeroDivisionError):
            maps.umap_map(features)
    else:
        np.testing.assert_array_equal(maps.umap_map(features), features[:, :2])
    assert torch.get_num_threads() == before


def test_the_grid_varies_map_seeds_for_one_pair_and_trainings_for_several(table, quick_maps):
    entries = list(table.values())
    pairs = [
        (tuple(r for r, _ in entries[i : i + 2]), tuple(f for _, f in entries[i : i + 2]))
        for i in (0, 6)  # fold 1 under seeds 0 and 1
    ]
    one = umap_grid(pairs[:1], neighbours=(5, 10), map_seeds=(0, 1))
    assert len(one.axes) == 2 * 4
    assert "map seed 1" in texts(one)
    two = umap_grid(pairs, neighbours=(5, 500), map_seeds=(0, 1))
    assert len(two.axes) == 2 * 4
    drawn = texts(two)
    assert "training seed 1" in drawn
    assert "map seed" not in drawn
    assert "55 neighbours" in drawn  # 500 is cut to n - 1
    assert "SYNTHETIC" in drawn
    assert "10-NN purity 0.50" in drawn
    points = [len(c.get_offsets()) for c in two.axes[0].collections]
    assert sum(points) == 56


def test_the_grid_refuses_other_clips_and_nothing(table):
    entries = list(table.values())
    mixed = ((entries[0][0], entries[3][0]), (entries[0][1], entries[3][1]))
    with pytest.raises(ValueError, match="different ids"):
        umap_grid([mixed])
    with pytest.raises(ValueError, match="at least one pair"):
        umap_grid([])


def test_the_same_figure_twice_is_the_same_bytes_and_the_sidecar_names_its_runs(table, tmp_path):
    runs = runs_of(table)[:2]
    for name in ("a", "b"):
        drawn = learning_curves(runs)
        written = save_figure(drawn, tmp_path / name, runs, "ecstfl reproduce")
        assert all(path.exists() for path in written)
    for suffix in (".png", ".svg", ".json"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    sidecar = json.loads((tmp_path / "a.json").read_text())
    assert sidecar == {
        "runs": [run["name"] for run in runs],
        "commit": "commit-of-seed-0",
        "synthetic": True,
        "command": "ecstfl reproduce",
    }
    assert up_to_date(tmp_path / "a", runs)
    assert not up_to_date(tmp_path / "a", runs[:1])


def test_runs_of_several_commits_are_all_named(tmp_path):
    clipset = toy_data()[0]
    runs = [made_up_run(toy_config(clipset, seed=seed))[0] for seed in (1, 0)]
    save_figure(confusion_matrices(runs), tmp_path / "a", runs, "ecstfl")
    commits = json.loads((tmp_path / "a.json").read_text())["commit"]
    assert commits == ["commit-of-seed-0", "commit-of-seed-1"]


def test_colours_keep_apart_in_greyscale_or_by_marker():
    """Classes whose colours are alike in grey must at least have markers of their own."""
    assert len(set(style.COLOURS)) == len(set(style.MARKERS)) == 7
