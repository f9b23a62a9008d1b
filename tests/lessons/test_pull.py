"""A network with features in the plane, trained with any loss; its film; the line of progress."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from lessonkit.film import film, main, moment, write_gif
from lessonkit.formula import gradients, loop_and_package, upside_down
from lessonkit.progress import falling_loss, sparkline
from lessonkit.pull import Faces, Pull, pull
from PIL import Image

from ecstfl.errors import UserError
from ecstfl.losses.ec_stfl import ec_stfl_loss
from ecstfl.losses.report import within_between_ratio


@pytest.fixture(scope="module")
def faces():
    """Three expressions that differ by where a bright bar is; 18 clips, 6 of them held out."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 3] * 6)
    clips = 0.3 * torch.randn(18, 1, 4, 24, 24, generator=draw)
    for k, label in enumerate(labels):
        clips[k, :, :, 6 * int(label) : 6 * int(label) + 5] += 1
    return Faces(clips, labels, torch.arange(18) >= 12)


@pytest.fixture(scope="module")
def pulled(faces):
    return pull(ec_stfl_loss, 0.1, faces, epochs=12, batch=6)


def test_a_network_learns_three_expressions_and_notes_every_epoch(pulled):
    assert pulled.points.shape == (13, 18, 2)
    assert pulled.loss.shape == (12,)
    assert pulled.loss[-1] < pulled.loss[0]
    assert pulled.seen == 1.0
    assert pulled.ratio < 0.8
    assert pulled.held_out.sum() == 6


def test_the_same_seed_gives_the_same_points_and_the_loss_is_not_called_at_0(faces):
    def forbidden(x, y):
        raise AssertionError

    one, two = (pull(forbidden, 0, faces, epochs=2, batch=6) for _ in range(2))
    assert np.array_equal(one.points, two.points)


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (lambda x, y: ec_stfl_loss(x, y).item(), "one number as a tensor.*got float"),
        (lambda x, y: x, r"one number as a tensor.*shape \(6, 2\)"),
        (lambda x, y: None, "one number as a tensor.*got NoneType"),
        (lambda x, y: ec_stfl_loss(x.detach(), y), "no gradient: somewhere it leaves PyTorch"),
        (lambda x, y: x.sum() / 0, "divide by 0"),
        (lambda x, y: ((x[:, None] - x) ** 2).sum(-1).sqrt().sum(), "square root"),
    ],
)
def test_a_loss_that_cannot_train_is_told_why(faces, loss, told):
    with pytest.raises(UserError, match=told):
        pull(loss, 1.0, faces, epochs=1, batch=6)


def test_held_out_clips_do_not_move_the_weights(faces):
    other = Faces(faces.clips.clone(), faces.labels, faces.held_out)
    other.clips[12:] = 0
    one, two = (pull(ec_stfl_loss, 0.1, f, epochs=2, batch=6) for f in (faces, other))
    assert np.array_equal(one.points[:, :12], two.points[:, :12])
    assert not np.array_equal(one.points[:, 12:], two.points[:, 12:])


def test_a_film_has_a_picture_an_epoch_and_words(pulled, tmp_path):
    shown = film({"one": pulled, "two": pulled}, "Three expressions")
    data, about = shown._repr_png_()
    picture = Image.open(io.BytesIO(data))
    assert picture.n_frames == 13
    assert about["alt"].startswith("Film: Three expressions.")
    assert "one: 0." in about["alt"]
    assert repr(shown).startswith("<Figure, FRESH: ")
    write_gif(shown, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.n_frames == 13
        assert gif.size == picture.size
        assert gif.info["loop"] == 0


def test_the_middle_of_a_film_can_be_looked_at(pulled):
    figure = moment(pulled, 3)
    (axis,) = figure.axes
    shown = np.concatenate([c.get_offsets() for c in axis.collections])
    np.testing.assert_allclose(np.sort(shown, axis=0), np.sort(pulled.points[3], axis=0))
    assert "FRESH" in figure.stamped


def test_the_command_wants_a_file_name(capsys):
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_upside_down_grows_when_classes_part():
    y = torch.tensor([0, 0, 1, 1])
    near, far = (torch.tensor([[0.0], [1.0], [gap], [gap + 1]]) for gap in (2.0, 9.0))
    assert upside_down(near, y) < upside_down(far, y)
    assert upside_down(near, y) == (2 + 3 + 1 + 2) / (1 + 1)  # both sides have equal counts


def test_loop_package_and_three_gradients_agree():
    assert max(loop_and_package(12).values()) < 1e-10
    x = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gaps = gradients(x, torch.arange(9) % 3)
    assert gaps["autograd"] < 1e-12
    assert 0 < gaps["finite differences"] < 1e-6


def test_the_line_of_progress_shows_the_loss_as_it_falls(monkeypatch):
    texts = []

    class Handle:
        def update(self, line):
            texts.append(str(line))

    def display(line, display_id):
        texts.append(str(line))
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    step = falling_loss("softmax only")
    for k, loss in enumerate((2.0, 1.0, 0.5)):
        step(k + 1, 3, {"loss": loss})
    assert all(re.search(r"  about \d+ s left$", text) for text in texts[:2])
    assert [re.sub("  about .*", "", text) for text in texts] == [
        "softmax only  epoch 1/3  █  loss 2.00 → 2.00",
        "softmax only  epoch 2/3  █▅  loss 2.00 → 1.00",
        "softmax only  epoch 3/3  █▅▃  loss 2.00 → 0.50",
    ]
    assert len(sparkline([1.0] * 300)) == 30
    assert sparkline([float("nan"), 0.0]) == ""


def test_ratio_of_a_pull_is_the_packages(pulled):
    assert isinstance(pulled, Pull)
    wanted = within_between_ratio(
        torch.from_numpy(pulled.points[-1]), torch.from_numpy(pulled.labels)
    )
    assert pulled.ratio == wanted.item()


def test_a_class_that_flies_off_is_named(pulled):
    where = {0: (0.0, 0.0), 1: (1.0, 0.0), 3: (9.0, 0.0)}
    points = np.array([[where[int(c)] for c in pulled.labels]], dtype=np.float32)
    assert replace(pulled, points=points).lonely == "Angry"
    points[0, pulled.labels == 1] = (4.5, 5.0)
    assert replace(pulled, points=points).lonely is None
