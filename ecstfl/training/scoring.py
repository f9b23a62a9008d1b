"""What a network says of clips: logits and embeddings, without augmentation and in float32."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ecstfl.clips.augment import center_view
from ecstfl.clips.batches import ClipBatches
from ecstfl.distributed import main_process_only
from ecstfl.metrics.recognition import confusion_matrix, uar, war
from ecstfl.models.tap import Tap
from ecstfl.runs.config import RunConfig


def score(
    model: nn.Module, tap: str, clips: Tensor | ClipBatches, config: RunConfig, batch: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Return (logits (n, classes), embeddings (n, d)), float32, of stored clips (n, T, H, W, 3)."""
    model.eval()
    logits, embeddings = [], []
    with torch.inference_mode(), Tap(model, tap) as tapped:
        for start in range(0, len(clips), batch):
            out, embedding = tapped(center_view(clips[start : start + batch], config.augment))
            logits.append(out.float().cpu())
            embeddings.append(embedding.float().cpu())
    return torch.cat(logits).numpy(), torch.cat(embeddings).numpy()


def score_held_out(
    model: nn.Module, clips: Tensor | ClipBatches, config: RunConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return :func:`score` of a run's held-out clips.

    Where only a small step fits into the memory, 64 clips at once might not.
    """
    step = config.optim.batch // config.optim.accumulate
    return score(model, config.backbone.tap, clips, config, min(64, 3 * step))


@main_process_only
def add_held_out_scores(
    record: dict[str, float],
    model: nn.Module,
    clips: ClipBatches,
    labels: Tensor,
    config: RunConfig,
) -> None:
    """Add UAR and WAR of the held-out fold to an epoch's record, to draw curves of them."""
    logits, _ = score_held_out(model, clips, config)
    confusion = confusion_matrix(labels.cpu().numpy(), logits.argmax(1))
    record |= {"held_out_uar": uar(confusion), "held_out_war": war(confusion)}
