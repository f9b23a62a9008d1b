"""Stamps cannot be missed, and nothing that was changed passes for precomputed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from lessonkit import stamp as stamps
from lessonkit.stamp import label_of, landed, landed_run, load_precomputed, run_id, stamp
from matplotlib.figure import Figure

from ecstfl.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
LANDED = ROOT / "results" / "landed"


def pixels(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def boxes(figure):
    """Boxes in pixels of everything written on or around the figure."""
    renderer = figure.canvas.get_renderer()
    words = [t for t in figure.findobj(lambda a: hasattr(a, "get_text")) if t.get_text().strip()]
    return {t.get_text(): t.get_window_extent(renderer) for t in words if t.get_visible()}


def drawing(layout, title=""):
    figure = Figure(figsize=(6, 3), layout=layout)
    axis = figure.subplots()
    axis.plot([0, 1], [1, 0])
    axis.set(title="a finding", xlabel="epoch", ylabel="nats")
    if title:
        figure.suptitle(title)
    return figure


@pytest.mark.parametrize("layout", ["constrained", "none", None])
@pytest.mark.parametrize("title", ["", "synthetic"])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_stamp_is_readable_and_covers_nothing(layout, title, fresh):
    figure = drawing(layout, title)
    pixels(figure)
    label = label_of("toy-0123456789", fresh=fresh)
    assert stamp(figure, {"name": "toy-0123456789"}, fresh=fresh) is figure
    assert repr(figure) == f"<Figure, {label}>"
    size = pixels(figure).shape
    shown = boxes(figure)
    mine = [text for text in shown if "toy-0123456789" in text]
    assert len(mine) == 1
    word = "FRESH" if fresh else "PRECOMPUTED"
    assert word in mine[0]
    assert ("PRECOMPUTED" if fresh else "FRESH") not in mine[0]
    mark = shown.pop(mine[0])
    assert mark.x0 >= 0
    assert mark.y0 >= 0
    assert mark.x1 <= size[1]
    assert mark.y1 <= size[0]
    assert not [text for text, box in shown.items() if mark.overlaps(box)]
    assert not any(mark.overlaps(axis.get_tightbbox()) for axis in figure.axes)
    if title:
        assert any(title in text for text in (*shown, *mine))


def test_a_figure_is_stamped_once_and_with_a_run():
    figure = stamp(drawing(None), "a", "b", fresh=True)
    assert "a, b" in repr(figure)
    with pytest.raises(ValueError, match="without a stamp"):
        stamp(figure, "c", fresh=False)
    with pytest.raises(ValueError, match="at least one run"):
        stamp(drawing(None), fresh=True)


def test_run_ids_follow_the_settings_and_nothing_else():
    assert run_id("toy", seed=0, weight=0.1) == run_id("toy", weight=0.1, seed=0)
    assert run_id("toy", seed=0) != run_id("toy", seed=1)
    assert run_id("toy", seed=0).startswith("toy-")


def test_checksums_of_the_landed_results_are_in_step():
    """After landing a run: python -m lessonkit.stamp."""
    assert (LANDED / stamps.SUMS).read_text() == stamps.checksums(LANDED)


def test_every_landed_run_passes_its_check():
    runs = sorted(LANDED.glob("*/runs/*/run.json"))
    assert runs
    for path in runs:
        loaded = load_precomputed(path.parent)
        assert loaded.run["name"] == path.parent.name
        assert len(loaded.features["labels"]) == loaded.run["n_held_out"]


def test_landed_run_is_found_by_its_method():
    found = landed_run("ec-stfl")
    assert found.run["config"]["loss"]["method"] == "ec-stfl"
    assert found.run["config"]["fold"] == 1
    with pytest.raises(UserError, match="no landed run of triplets"):
        landed_run("triplets")
    with pytest.raises(UserError, match=r"no landed results 'slow'; there are .*quick"):
        landed("slow")


@pytest.fixture
def copied(tmp_path):
    source = landed_run("softmax").directory
    target = tmp_path / "landed" / "quick" / "runs" / source.name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors", ".lock"))
    assert stamps.main([str(tmp_path / "landed")]) == 0
    return target


def test_a_changed_missing_or_unlisted_file_is_refused_in_one_sentence(copied):
    load_precomputed(copied)
    path = copied / "run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps(run | {"war": 0.99}))
    with pytest.raises(UserError, match=r"run\.json was changed since it landed") as error:
        load_precomputed(copied)
    assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(UserError, match=r"run\.json is missing"):
        load_precomputed(copied)
    path.write_text(json.dumps(run))
    moved = copied.rename(copied.with_name("mine"))
    with pytest.raises(UserError, match="is not in"):
        load_precomputed(moved)


def test_a_changed_array_is_refused(copied):
    path = copied / "features.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"features\.npz was changed"):
        load_precomputed(copied)


def test_without_a_list_nothing_is_precomputed(copied):
    (copied.parents[2] / stamps.SUMS).unlink()
    with pytest.raises(UserError, match="only landed runs"):
        load_precomputed(copied)


def test_command_says_when_there_is_nothing_to_list(tmp_path, capsys):
    assert stamps.main([str(tmp_path)]) == 2
    assert "no results in" in capsys.readouterr().err


def test_weights_and_locks_are_not_listed(tmp_path):
    for name in ("b.json", "a/model.safetensors", "a/.lock", "a/run.json", "x.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [line[66:] for line in stamps.checksums(tmp_path).splitlines()] == [
        "a/run.json",
        "b.json",
    ]
