"""Light, colour, sharpness, noise and patches: each against loops over pixels in NumPy."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from ecstfl.clips.photometric import (
    add_noise,
    colour_cast,
    cover,
    grey,
    light_from_a_side,
    soften,
)

N, T, S = 2, 2, 12


def close(found, expected):
    return math.isclose(float(found), float(expected), rel_tol=1e-5, abs_tol=1e-3)


@pytest.fixture
def clips():
    return torch.from_numpy(np.random.default_rng(1).uniform(0, 255, (N, 3, T, S, S))).float()


def test_light_from_a_side(clips):
    strength, direction = torch.tensor([0.5, 0.3]), torch.tensor([0.7, 4.0])
    lit = light_from_a_side(clips, strength, direction).numpy()
    for n, c, t, row, column in np.ndindex(lit.shape):
        x, y = (2 * column + 1) / S - 1, (2 * row + 1) / S - 1
        a = float(direction[n])
        factor = 1 + float(strength[n]) * (x * math.cos(a) + y * math.sin(a))
        assert close(lit[n, c, t, row, column], factor * clips[n, c, t, row, column])
    brighter_right = light_from_a_side(torch.ones_like(clips), strength, torch.zeros(N))
    assert (brighter_right.diff(dim=4) > 0).all()
    assert (brighter_right.diff(dim=3) == 0).all()


def test_colour_cast_and_grey(clips):
    gains = torch.tensor([[0.8, 1.0, 1.2], [1.1, 0.9, 1.0]])
    cast, luma = colour_cast(clips, gains).numpy(), grey(clips).numpy()
    for n, c, t, row, column in np.ndindex(cast.shape):
        here = float(clips[n, c, t, row, column])
        assert close(cast[n, c, t, row, column], gains[n, c] * here)
        red, green, blue = (float(clips[n, k, t, row, column]) for k in range(3))
        expected = 0.299 * red + 0.587 * green + 0.114 * blue
        assert close(luma[n, c, t, row, column], expected)


def test_blur_is_a_gaussian_in_the_middle_and_keeps_flat_pictures(clips):
    sigma, sharp = torch.tensor([0.7, 1.0]), torch.zeros(N, dtype=torch.bool)
    blurred = soften(clips, sigma, sharp).numpy()
    for n in range(N):
        expected = clips[n].numpy().astype(np.float64)
        for axis in (-1, -2):  # 4 pixels from the border nothing is cut off
            expected = gaussian_filter1d(expected, float(sigma[n]), axis=axis, truncate=6)
        inner = (..., slice(4, -4), slice(4, -4))
        np.testing.assert_allclose(blurred[n][inner], expected[inner], atol=0.3)
    flat = torch.full_like(clips, 90.0)
    torch.testing.assert_close(soften(flat, sigma, ~sharp), flat)
    assert torch.equal(soften(clips, torch.zeros(N), sharp), clips)


@pytest.mark.parametrize("size", [12, 13])
def test_half_resolution_is_the_mean_of_blocks_stretched_again(size):
    clips = torch.rand(1, 3, 2, size, size) * 255
    halved = soften(clips, torch.zeros(1), torch.tensor([True]))
    frames = clips[0].transpose(0, 1)  # (T, 3, S, S), as pictures are given to torch
    small = torch.nn.functional.interpolate(frames, size=size // 2, mode="area")
    again = torch.nn.functional.interpolate(small, size=size, mode="bilinear")
    torch.testing.assert_close(halved[0].transpose(0, 1), again, atol=1e-3, rtol=1e-4)
    if size == 12:  # by hand: a corner is the mean of its block, its neighbour a quarter on
        block, beside = clips[0, 0, 0, :2, :2].mean(), clips[0, 0, 0, :2, 2:4].mean()
        assert halved[0, 0, 0, 0, 0] == pytest.approx(float(block), rel=1e-4)
        expected = 0.75 * float(block) + 0.25 * float(beside)
        assert halved[0, 0, 0, 0, 1] == pytest.approx(expected, rel=1e-4)


def test_noise(clips):
    noise = torch.randn(N, T, S, S, generator=torch.Generator().manual_seed(0))
    noisy = add_noise(clips, torch.tensor([0.0, 5.0]), noise)
    assert torch.equal(noisy[0], clips[0])
    for c, t, row, column in np.ndindex(3, T, S, S):
        expected = clips[1, c, t, row, column] + 5 * noise[1, t, row, column]
        assert close(noisy[1, c, t, row, column], expected)


def test_cover(clips):
    box = torch.tensor([[0.25, 0.5, 0.5, 0.75], [0.3, 0.3, 0.3, 0.6]])
    covered = cover(clips, box, torch.tensor([77.0, 1.0])).numpy()
    for n, c, t, row, column in np.ndindex(covered.shape):
        left, top, right, bottom = box[n].tolist()
        x, y = (column + 0.5) / S, (row + 0.5) / S
        inside = left <= x < right and top <= y < bottom
        expected = 77.0 if inside else float(clips[n, c, t, row, column])
        assert covered[n, c, t, row, column] == expected
    assert (covered[0, 0, 0] == 77).sum() == 9
    assert np.array_equal(covered[1], clips[1].numpy())  # an empty box
