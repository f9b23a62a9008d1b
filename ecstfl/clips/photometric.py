"""What real pictures vary in: light, colour, sharpness, noise, and things in front of the face.

Each effect is one function over a batch of clips (n, 3, T, S, S), float32 on the scale 0..255.
It is the same in all frames of a clip, except noise: a lamp or a lens does not change while a
face moves. Nothing is random in here: ``augment`` draws the numbers, one for each clip.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def per_clip(values: Tensor) -> Tensor:
    """Shape one value a clip (n,) so that it meets clips (n, 3, T, S, S)."""
    return values[:, None, None, None, None]


def light_from_a_side(clips: Tensor, strength: Tensor, direction: Tensor) -> Tensor:
    """Make each clip brighter towards one side and darker towards the other.

    Args:
        clips: (n, 3, T, S, S).
        strength: (n,), at the middle of the bright side's border light is 1 + strength times
            what it was.
        direction: (n,) radians, where the light comes from: 0 right, pi / 2 below.
    """
    x = _pixel_centres(clips)
    right, down = direction.cos()[:, None, None], direction.sin()[:, None, None]
    slope = right * x[None, None, :] + down * x[None, :, None]  # (n, S, S)
    return clips * (1 + strength[:, None, None] * slope)[:, None, None]


def colour_cast(clips: Tensor, gains: Tensor) -> Tensor:
    """Multiply red, green and blue by a gain each: coloured light, or a wrong white balance.

    Args:
        clips: (n, 3, T, S, S).
        gains: (n, 3).
    """
    return clips * gains[:, :, None, None, None]


def grey(clips: Tensor) -> Tensor:
    """Replace colours by their luma (ITU-R BT.601), as old cameras do."""
    red, green, blue = clips.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None].expand_as(clips)


def soften(clips: Tensor, sigma: Tensor, halved: Tensor) -> Tensor:
    """Blur each clip, and show some at half their resolution.

    Both are linear along rows and along columns, so all that happens to a clip is one matrix
    (S, S), multiplied from the left and from the right.

    Args:
        clips: (n, 3, T, S, S).
        sigma: (n,) standard deviation of the Gaussian blur in pixels; 0 leaves the clip sharp.
        halved: (n,) bool.
    """
    matrix = torch.where(halved[:, None, None], _half_resolution(clips), _identity(clips))
    matrix = (matrix @ _gaussian(clips, sigma))[:, None]  # (n, 1, S, S)
    frames = clips.flatten(1, 2)  # (n, 3 T, S, S)
    return (matrix @ frames @ matrix.mT).unflatten(1, clips.shape[1:3])


def add_noise(clips: Tensor, deviation: Tensor, noise: Tensor) -> Tensor:
    """Add noise to the brightness; compression leaves little of a camera's noise in colours.

    Args:
        clips: (n, 3, T, S, S).
        deviation: (n,) standard deviation in grey levels.
        noise: (n, T, S, S) standard normal.
    """
    return clips + per_clip(deviation) * noise[:, None]


def cover(clips: Tensor, box: Tensor, level: Tensor) -> Tensor:
    """Cover a rectangle of each clip, in all of its frames, with one grey level.

    Args:
        clips: (n, 3, T, S, S).
        box: (n, 4) left, top, right, bottom as shares of the picture; pixels whose centre is in
            it are covered. An empty box covers nothing.
        level: (n,) 0..255.
    """
    x = (_pixel_centres(clips) + 1) / 2
    left, top, right, bottom = box.T[:, :, None]
    column = (left <= x) & (x < right)  # (n, S)
    row = (top <= x) & (x < bottom)
    inside = row[:, :, None] & column[:, None, :]  # (n, S, S)
    return torch.where(inside[:, None, None], per_clip(level), clips)


def _pixel_centres(clips: Tensor) -> Tensor:
    """(S,) of pixels along a side of the picture, which reaches from -1 to 1."""
    size = clips.shape[-1]
    return (2 * torch.arange(size, device=clips.device) + 1) / size - 1


def _identity(clips: Tensor) -> Tensor:
    return torch.eye(clips.shape[-1], device=clips.device)


def _gaussian(clips: Tensor, sigma: Tensor) -> Tensor:
    """(n, S, S): row i says how much of each pixel goes into pixel i. Rows sum to 1."""
    at = torch.arange(clips.shape[-1], device=clips.device)
    distance = (at[:, None] - at[None, :]).float()
    weights = torch.exp(-0.5 * (distance / sigma[:, None, None].clamp_min(1e-3)) ** 2)
    return weights / weights.sum(2, keepdim=True)


def _half_resolution(clips: Tensor) -> Tensor:
    """(S, S): means over pairs of pixels, stretched to the full size again by interpolation."""
    size = clips.shape[-1]
    pulses = _identity(clips)[None]  # channel i is a single bright pixel at place i
    coarse = F.interpolate(pulses, size=max(1, size // 2), mode="area")
    return F.interpolate(coarse, size=size, mode="linear", align_corners=False)[0].T
