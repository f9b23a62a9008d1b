"""Batch views: geometry against torch and NumPy, determinism, bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ecstfl.clips.augment import AugmentConfig, center_view, for_real_faces, training_view
from ecstfl.errors import UserError

PLAIN = AugmentConfig(size=16, frames=4, scale=0, shift=0, rotate=0, flip=0, contrast=0)


@pytest.fixture
def stored():
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (3, 8, 16, 16, 3), dtype=np.uint8)
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_central_view_is_the_standardised_middle_frames(stored):
    view = center_view(stored, PLAIN).numpy()
    frames = stored.numpy()[:, 1::2].astype(np.float64)  # step 2, phase 1
    expected = frames.transpose(0, 4, 1, 2, 3)
    mean = expected.mean(axis=(1, 2, 3, 4), keepdims=True)
    expected = (expected - mean) / expected.std(axis=(1, 2, 3, 4), keepdims=True)
    np.testing.assert_allclose(view, expected, atol=2e-5)


def test_a_crop_equals_interpolation_of_the_middle(stored):
    config = AugmentConfig(size=8, frames=8, crop=0.5)
    view = center_view(stored, config)
    middle = stored[:, :, 4:12, 4:12].permute(0, 4, 1, 2, 3).float()
    centred = middle - middle.mean((1, 2, 3, 4), keepdim=True)
    flat = centred / centred.std((1, 2, 3, 4), keepdim=True, correction=0)
    torch.testing.assert_close(view, flat, atol=1e-4, rtol=1e-4)


def test_flip_mirrors_exactly(stored):
    flipped = training_view(stored, AugmentConfig(16, 8, 1, 0, 0, 0, 1.0, 0), generator())
    plain = training_view(stored, AugmentConfig(16, 8, 1, 0, 0, 0, 0.0, 0), generator())
    torch.testing.assert_close(flipped, plain.flip(-1), atol=1e-4, rtol=1e-4)


def test_every_frame_of_a_clip_moves_alike(stored):
    still = stored[:, :1].expand(-1, 8, -1, -1, -1).contiguous()
    view = training_view(still, AugmentConfig(16, 4), generator())
    assert torch.equal(view, view[:, :, :1].expand_as(view))


def test_same_seed_same_view_and_another_seed_another(stored):
    config = AugmentConfig(16, 4)
    first = training_view(stored, config, generator(1))
    assert torch.equal(first, training_view(stored, config, generator(1)))
    assert not torch.equal(first, training_view(stored, config, generator(2)))
    assert first.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_constant_clip_stays_finite():
    view = center_view(torch.full((1, 4, 16, 16, 3), 7, dtype=torch.uint8), PLAIN)
    assert torch.equal(view, torch.zeros_like(view))


def test_rotation_turns_the_picture():
    picture = torch.zeros(1, 1, 33, 33, 3, dtype=torch.uint8)
    picture[0, 0, 16, 20:32] = 255  # a bar to the right of the centre
    config = AugmentConfig(33, 1, 1, 0, 0, 8.0, 0, 0)
    view = training_view(picture, config, generator(3))[0, 0, 0]
    weight = (view - view.min()).clamp_min(0)
    rows = (weight.sum(1) * (torch.arange(33) - 16.0)).sum() / weight.sum()
    columns = (weight.sum(0) * (torch.arange(33) - 16.0)).sum() / weight.sum()
    assert columns > 8
    assert 0.2 < abs(float(rows)) < 2.5  # 8 degrees at a lever of 10 pixels: at most 1.4


def test_frames_that_do_not_divide_are_named(stored):
    with pytest.raises(UserError, match="3 frames, which must divide the 8"):
        center_view(stored, AugmentConfig(16, 3))


def test_wrong_type_says_expected_and_got(stored):
    with pytest.raises(ValueError, match="uint8, got"):
        center_view(stored.float(), PLAIN)


def test_sampling_matches_grid_sample_of_one_clip(stored):
    config = AugmentConfig(size=12, frames=8, crop=0.8)
    theta = torch.tensor([[[0.8, 0, 0], [0, 0.8, 0]]])
    frames = stored[0].permute(0, 3, 1, 2).float()
    grid = F.affine_grid(theta.expand(8, 2, 3), [8, 3, 12, 12], align_corners=False)
    expected = F.grid_sample(frames, grid, align_corners=False).transpose(0, 1)
    expected = (expected - expected.mean()) / expected.std(correction=0)
    torch.testing.assert_close(center_view(stored[:1], config)[0], expected, atol=1e-4, rtol=1e-4)


# --- what carries over to real faces, all off unless asked for ---------------------------------

EFFECTS = {
    "still": 1.0, "light": 0.5, "channels": 0.3, "grey": 1.0, "blur": 1.5, "half": 1.0,
    "noise": 20.0, "erase": 1.0,
}  # fmt: skip


def before_there_were_effects(stored, config, draws):
    """The training view of the first landed runs, as it was, without their _sample."""
    n, t = stored.shape[0], config.frames

    def uniform(limit):
        return (torch.rand(n, generator=draws) * 2 - 1) * limit

    step = stored.shape[1] // t
    phase = torch.randint(step, (n,), generator=draws)
    side = config.crop * (1 + uniform(config.scale))
    angle = uniform(math.radians(config.rotate))
    mirror = torch.where(torch.rand(n, generator=draws) < config.flip, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = side * angle.cos() * mirror, -side * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = side * angle.sin() * mirror, side * angle.cos()
    theta[:, 0, 2] = 2 * uniform(config.shift)
    theta[:, 1, 2] = 2 * uniform(config.shift)
    gain = 1 + uniform(config.contrast)
    frames = torch.stack([clip[int(p) :: step] for clip, p in zip(stored, phase, strict=True)])
    picture = frames.permute(0, 4, 1, 2, 3).flatten(1, 2).float()
    grid = F.affine_grid(theta, [n, 3, config.size, config.size], align_corners=False)
    values = F.grid_sample(picture, grid, padding_mode="border", align_corners=False).flatten(1)
    values = values - values.mean(1, keepdim=True)
    std = values.square().mean(1, keepdim=True).sqrt()
    clips = (values / std.clamp_min(1.0)).reshape(n, 3, t, config.size, config.size)
    return clips * gain[:, None, None, None, None]


def test_without_effects_every_bit_and_every_number_drawn_is_as_before(stored):
    config, now, then = AugmentConfig(16, 4), generator(5), generator(5)
    for _ in range(2):  # the second batch begins where the first left the generator
        view = training_view(stored, config, now)
        assert torch.equal(view, before_there_were_effects(stored, config, then))
    assert torch.equal(now.get_state(), then.get_state())


@pytest.mark.parametrize("name", EFFECTS)
def test_each_effect_alone(stored, name):
    config = replace(AugmentConfig(16, 4, contrast=0), **{name: EFFECTS[name]})
    view = training_view(stored, config, generator(1))
    assert view.shape == (3, 3, 4, 16, 16)
    assert view.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(view, training_view(stored, config, generator(1)))
    assert not torch.equal(
        view, training_view(stored, replace(config, **{name: 0.0}), generator(1))
    )
    flat = view.flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(flat.std(1, correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_some_rows_see_what_the_whole_batch_sees(stored):
    config, rows = for_real_faces(AugmentConfig(16, 4)), slice(1, 3)
    whole, some = (training_view(stored, config, generator(2), r) for r in (slice(None), rows))
    torch.testing.assert_close(some, whole[rows])


def test_a_clip_that_stands_still_shows_one_frame_of_its_middle(stored):
    config = replace(PLAIN, frames=8, still=1.0)
    seen = set()
    for seed in range(20):
        for clip, view in zip(stored, training_view(stored, config, generator(seed)), strict=True):
            assert torch.equal(view, view[:, :1].expand_as(view))
            fits = [(view[:, 0] - _normal(frame)).abs().max() < 1e-3 for frame in clip]
            seen.add(fits.index(True))
    assert seen == {2, 3, 4, 5}


def _normal(frame):
    picture = frame.permute(2, 0, 1).float()
    return (picture - picture.mean()) / picture.std(correction=0)


def test_probabilities_are_kept():
    pictures = torch.full((2000, 1, 4, 4, 3), 100, dtype=torch.uint8)
    pictures[..., 0] = 200  # red
    view = training_view(pictures, replace(PLAIN, size=4, frames=1, grey=0.3), generator())
    share = (view.flatten(1).abs().amax(1) < 0.01).float().mean()  # grey and flat: nothing left
    assert share == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(("name", "value"), [("grey", 1.1), ("light", 0.8), ("noise", -1.0)])
def test_effects_out_of_range_are_told(name, value):
    with pytest.raises(UserError, match=rf"augmentation: {name} must be in \[0, "):
        AugmentConfig(**{name: value})
