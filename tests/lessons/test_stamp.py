"""Stamps cannot be missed."""

import numpy as np
import pytest
from lessonkit.stamp import label_of, run_id, stamp
from matplotlib.figure import Figure


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
    word = "FRESH" if fresh else "PRECOMPUTED"
    mine = [text for text in shown if word in text]
    assert len(mine) == 1
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
    assert repr(stamp(drawing(None), "a", "b", "c", fresh=True)).endswith("a to c (3 runs)>")
    with pytest.raises(ValueError, match="without a stamp"):
        stamp(figure, "c", fresh=False)
    with pytest.raises(ValueError, match="at least one run"):
        stamp(drawing(None), fresh=True)


def test_run_ids_follow_the_settings_and_nothing_else():
    assert run_id("toy", seed=0, weight=0.1) == run_id("toy", weight=0.1, seed=0)
    assert run_id("toy", seed=0) != run_id("toy", seed=1)
    assert run_id("toy", seed=0).startswith("toy-")
