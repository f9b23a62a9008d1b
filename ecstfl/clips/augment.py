"""From stored uint8 clips to what the network sees, a whole batch at a time on the device.

All clips of a data set lie on the device as one uint8 tensor (n, T, H, W, 3): DFEW's 11,697
clips of 16 x 112 x 112 take 7 GB, the embedded data's a few hundred MB. A batch is an index
into it; cropping, turning, mirroring and standardising are a few tensor operations over the
whole batch, so that no worker process and no copy from the host is needed.

What helps networks that see rendered faces only to meet real ones is off unless asked for: light,
colour, sharpness, noise, patches (``photometric``), and clips that stand still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ecstfl.clips.photometric import (
    add_noise,
    colour_cast,
    cover,
    grey,
    light_from_a_side,
    per_clip,
    soften,
)
from ecstfl.errors import UserError


@dataclass(frozen=True)
class AugmentConfig:
    """What is random in training; the test view is the centre of each range.

    Attributes:
        size: S, height and width of the network's input in pixels.
        frames: frames the network sees; must divide the T of the stored clips. In training
            every (T / frames)-th frame is taken from a random phase, in test from the middle.
        crop: side of the square shown, as a share of the stored frame, in (0, 1].
        scale: the crop's side is multiplied by a factor drawn from [1 - scale, 1 + scale].
        shift: the crop's centre moves by up to this share of the stored frame, each way.
        rotate: degrees, each way.
        flip: probability of mirroring left and right (faces are near enough symmetric).
        contrast: the clip's standard deviation is multiplied by a factor in [1 - c, 1 + c].
        still: probability that a clip stands still: one frame of its middle half, shown throughout.
        light: light from one side, drawn up to this strength, at most 0.7.
        channels: red, green and blue are multiplied by a factor in [1 - c, 1 + c] each.
        grey: probability of losing all colour.
        blur: Gaussian blur, drawn up to this standard deviation in pixels of the input.
        half: probability of being shown at half the resolution.
        noise: noise, drawn up to this standard deviation in grey levels of 255.
        erase: probability that a rectangle is covered, each side 0.1 to 0.4 of the picture's.
    """

    size: int = 48
    frames: int = 8
    crop: float = 1.0
    scale: float = 0.1
    shift: float = 0.05
    rotate: float = 8.0
    flip: float = 0.5
    contrast: float = 0.2
    still: float = 0.0
    light: float = 0.0
    channels: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    half: float = 0.0
    noise: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 1 or self.frames < 1:
            raise UserError(
                f"augmentation: size and frames must be at least 1, got {self.size}, {self.frames}"
            )
        if not 0 < self.crop <= 1:
            raise UserError(f"augmentation: crop must be in (0, 1], got {self.crop}")
        limits = {"light": 0.7, "blur": math.inf, "noise": 255.0}
        for name in ("still", "light", "channels", "grey", "blur", "half", "noise", "erase"):
            value, most = getattr(self, name), limits.get(name, 1.0)
            if not 0 <= value <= most:
                raise UserError(f"augmentation: {name} must be in [0, {most:g}], got {value}")


def for_real_faces(config: AugmentConfig) -> AugmentConfig:
    """Add what should carry over from rendered faces to real ones (``--augment real``).

    The strengths are plausible, not tuned: they were chosen by looking at pictures. Whether they
    help is for a measurement to say (``ecstfl evaluate``).
    """
    return replace(
        config,
        still=0.3,
        light=0.4,
        channels=0.2,
        grey=0.2,
        blur=1.0,
        half=0.3,
        noise=10.0,
        erase=0.3,
    )


def training_view(
    stored: Tensor,
    config: AugmentConfig,
    generator: torch.Generator,
    rows: slice = slice(None),
) -> Tensor:
    """Draw one random view of each clip.

    Args:
        stored: (n, T, H, W, 3) uint8, H = W.
        config: ranges.
        generator: on the CPU, so that CPU and GPU runs draw the same numbers.
        rows: make these views only, k of the n; all are drawn, so that processes that share a
            batch see what one process would have seen.

    Returns:
        (k, 3, frames, size, size) float32 in channels_last_3d layout; each clip has mean 0
        and a standard deviation within ``contrast`` of 1.
    """
    n = stored.shape[0]

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    step = _step(stored, config)
    shown = torch.randint(step, (n, 1), generator=generator) + step * torch.arange(config.frames)
    side = config.crop * (1 + uniform(config.scale))
    angle = uniform(math.radians(config.rotate))
    mirror = torch.where(torch.rand(n, generator=generator) < config.flip, -1.0, 1.0)
    # Rows of the map from output to input coordinates, both in [-1, 1].
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = side * angle.cos() * mirror
    theta[:, 0, 1] = -side * angle.sin()
    theta[:, 1, 0] = side * angle.sin() * mirror
    theta[:, 1, 1] = side * angle.cos()
    theta[:, 0, 2] = 2 * uniform(config.shift)
    theta[:, 1, 2] = 2 * uniform(config.shift)
    gain = 1 + uniform(config.contrast)
    # What is off draws no number, so that runs without it see what they have always seen.
    if config.still:
        stands = torch.rand(n, 1, generator=generator) < config.still
        middle = 0.25 + 0.5 * torch.rand(n, 1, generator=generator)
        shown = torch.where(stands, (middle * config.frames).long() * step + step // 2, shown)
    clips = _sample(stored[rows], shown[rows], theta[rows], config)
    clips = _standardised(_varied(clips, config, generator, n, rows))
    return clips * per_clip(gain[rows].to(clips.device))


def center_view(stored: Tensor, config: AugmentConfig) -> Tensor:
    """Return the central view of each clip: shapes and layout as in :func:`training_view`."""
    n = stored.shape[0]
    step = _step(stored, config)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = config.crop
    shown = (step // 2 + step * torch.arange(config.frames)).expand(n, -1)
    return _standardised(_sample(stored, shown, theta, config))


def _step(stored: Tensor, config: AugmentConfig) -> int:
    t = stored.shape[1]
    if stored.dtype != torch.uint8 or stored.ndim != 5 or stored.shape[-1] != 3:
        raise ValueError(
            f"expected stored clips (n, T, H, W, 3) uint8, got {tuple(stored.shape)} {stored.dtype}"
        )
    if t % config.frames:
        raise UserError(
            f"the network takes {config.frames} frames, which must divide the {t} frames stored; "
            "change frames in the profile or preprocess again"
        )
    return t // config.frames


def _sample(stored: Tensor, shown: Tensor, theta: Tensor, config: AugmentConfig) -> Tensor:
    """Cut the frames ``shown`` (n, frames) out of stored clips: (n, 3, frames, size, size)."""
    n, t, s = stored.shape[0], config.frames, config.size
    device = stored.device
    index = shown + stored.shape[1] * torch.arange(n)[:, None]  # over all frames of all clips
    # index_select copies whole frames; indexing with two tensors would visit every byte
    frames = stored.flatten(0, 1).index_select(0, index.flatten().to(device))
    frames = frames.unflatten(0, (n, t))  # (n, frames, H, W, 3) uint8
    # One pose a clip (a face must not jitter in time), so its frames can pass as channels of one
    # picture: the interpolation weights are then computed once for all of them.
    picture = frames.permute(0, 4, 1, 2, 3).flatten(1, 2).float()  # (n, 3 * frames, H, W)
    grid = F.affine_grid(theta.to(device), [n, 3, s, s], align_corners=False)
    views = F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
    return views.unflatten(1, (3, t))


def _varied(
    clips: Tensor, config: AugmentConfig, generator: torch.Generator, n: int, rows: slice
) -> Tensor:
    """Change light, colour, sharpness and noise of clips, which are ``rows`` of a batch of n."""

    def uniform(low: float, high: float) -> Tensor:
        drawn = low + (high - low) * torch.rand(n, generator=generator)
        return drawn[rows].to(clips.device)

    if config.light:
        strength, direction = uniform(0, config.light), uniform(0, 2 * math.pi)
        clips = light_from_a_side(clips, strength, direction)
    if config.channels:
        gains = [uniform(1 - config.channels, 1 + config.channels) for _ in range(3)]
        clips = colour_cast(clips, torch.stack(gains, 1))
    if config.grey:
        clips = torch.where(per_clip(uniform(0, 1) < config.grey), grey(clips), clips)
    if config.erase:
        width, height = uniform(0.1, 0.4), uniform(0.1, 0.4)
        left, top = uniform(0, 1) * (1 - width), uniform(0, 1) * (1 - height)
        right = torch.where(uniform(0, 1) < config.erase, left + width, left)
        box = torch.stack([left, top, right, top + height], 1)
        clips = cover(clips, box, uniform(0, 255))
    if config.blur or config.half:
        clips = soften(clips, uniform(0, config.blur), uniform(0, 1) < config.half)
    if config.noise:
        deviation = uniform(0, config.noise)
        noise = torch.randn(n, *clips.shape[2:], generator=generator)
        clips = add_noise(clips, deviation, noise[rows].to(clips.device))
    return clips


def _standardised(clips: Tensor) -> Tensor:
    """Bring each clip to mean 0 and standard deviation 1.

    This removes exposure and colour cast of the whole clip while keeping every change within it,
    which is where the expression is.
    """
    values = clips.flatten(1)
    values = values - values.mean(1, keepdim=True)
    std = values.square().mean(1, keepdim=True).sqrt()  # Tensor.std is ten times slower here
    clips = (values / std.clamp_min(1.0)).view_as(clips)
    return clips.contiguous(memory_format=torch.channels_last_3d)
