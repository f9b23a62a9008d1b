"""From stored uint8 clips to what the network sees, a whole batch at a time on the device.

All clips of a data set lie on the device as one uint8 tensor (n, T, H, W, 3): DFEW's 11,697
clips of 16 x 112 x 112 take 7 GB, the embedded data's a few hundred MB. A batch is an index
into it; cropping, turning, mirroring and standardising are a few tensor operations over the
whole batch, so that no worker process and no copy from the host is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

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
    """

    size: int = 48
    frames: int = 8
    crop: float = 1.0
    scale: float = 0.1
    shift: float = 0.05
    rotate: float = 8.0
    flip: float = 0.5
    contrast: float = 0.2

    def __post_init__(self) -> None:
        if self.size < 1 or self.frames < 1:
            raise UserError(
                f"augmentation: size and frames must be at least 1, got {self.size}, {self.frames}"
            )
        if not 0 < self.crop <= 1:
            raise UserError(f"augmentation: crop must be in (0, 1], got {self.crop}")


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
    phase = torch.randint(step, (n,), generator=generator)
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
    clips = _sample(stored[rows], phase[rows], step, theta[rows], config)
    return clips * gain[rows].to(clips.device)[:, None, None, None, None]


def center_view(stored: Tensor, config: AugmentConfig) -> Tensor:
    """Return the central view of each clip: shapes and layout as in :func:`training_view`."""
    n = stored.shape[0]
    step = _step(stored, config)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = config.crop
    return _sample(stored, torch.full((n,), step // 2), step, theta, config)


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


def _sample(
    stored: Tensor, phase: Tensor, step: int, theta: Tensor, config: AugmentConfig
) -> Tensor:
    n, t, s = stored.shape[0], config.frames, config.size
    device = stored.device
    index = phase[:, None] + step * torch.arange(t)  # (n, frames)
    index += stored.shape[1] * torch.arange(n)[:, None]  # counted over all frames of all clips
    # index_select copies whole frames; indexing with two tensors would visit every byte
    frames = stored.flatten(0, 1).index_select(0, index.flatten().to(device))
    frames = frames.unflatten(0, (n, t))  # (n, frames, H, W, 3) uint8
    # One pose a clip (a face must not jitter in time), so its frames can pass as channels of one
    # picture: the interpolation weights are then computed once for all of them.
    picture = frames.permute(0, 4, 1, 2, 3).flatten(1, 2).float()  # (n, 3 * frames, H, W)
    grid = F.affine_grid(theta.to(device), [n, 3, s, s], align_corners=False)
    views = F.grid_sample(picture, grid, padding_mode="border", align_corners=False)
    # Per-clip standardisation removes exposure and colour cast of the whole clip while keeping
    # every change within it, which is where the expression is.
    values = views.flatten(1)
    values = values - values.mean(1, keepdim=True)
    std = values.square().mean(1, keepdim=True).sqrt()  # Tensor.std is ten times slower here
    clips = (values / std.clamp_min(1.0)).reshape(n, 3, t, s, s)
    return clips.contiguous(memory_format=torch.channels_last_3d)
