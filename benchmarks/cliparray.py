"""How fast a cache of prepared clips opens, and random batches come from disk, memory and a GPU.

Makes a cache of DFEW's size (11,697 x 16 x 112 x 112 x 3, 7.04 GB) with generated content, as
:mod:`ecstfl.clips.preprocess_set` writes it, or opens one. Run:
``python benchmarks/cliparray.py --folder /fast/disk/cache [--device cuda]``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.cache import ClipCache, StoredClips
from ecstfl.clips.preprocess import PreparedClip


def main() -> None:
    """Build or open the cache, then time opening and batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=11_697)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    shape = (16, args.size, args.size, 3)
    result: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "clips": args.clips,
        "shape": shape,
        "batch": args.batch,
    }
    cache = ClipCache(args.folder, shape)
    if not (args.folder / "options.json").exists():
        start = time.perf_counter()
        build(cache, args.clips)
        result["build_s"] = time.perf_counter() - start
    start = time.perf_counter()
    clips = StoredClips(cache, [cache.load(f"{k:05d}") for k in range(args.clips)])
    result["open_s"] = time.perf_counter() - start

    everything = np.arange(len(clips))
    batches = ClipBatches(clips, everything, "cpu")
    drop_cache(args.folder)
    result["cold_clips_per_s"] = throughput(batches, args.batch, args.batches, seed=0)
    for clip in clips:  # bring everything into the page cache
        clip.max()
    result["warm_clips_per_s"] = throughput(batches, args.batch, args.batches, seed=1)
    if args.device != "cpu":
        start = time.perf_counter()
        held = ClipBatches(clips, everything, args.device)
        torch.cuda.synchronize()
        result["device"] = torch.cuda.get_device_name(args.device)
        result["held_whole"] = held.held
        result["to_device_s"] = time.perf_counter() - start
        result["device_clips_per_s"] = throughput(held, args.batch, args.batches, seed=2)
        stored = ClipBatches(clips, everything, args.device, hold=False)
        result["stored_to_device_clips_per_s"] = throughput(stored, args.batch, args.batches, 3)
    print(json.dumps(result, indent=1))


def build(cache: ClipCache, n: int) -> None:
    """Write n clips; ``options.json`` comes last and says that all are there."""
    ground = np.random.default_rng(0).integers(0, 256, cache.shape, dtype=np.uint8)
    numbers, matrices = np.arange(16), np.zeros((16, 2, 3))
    for number in range(n):
        frames = ground + np.uint8(number % 256)
        cache.save(f"{number:05d}", PreparedClip(frames, frames, numbers, 16, matrices))
    cache.open({"generated": True})


def drop_cache(folder: Path) -> None:
    """Ask the system to forget the files (no effect where it cannot be asked)."""
    if hasattr(os, "posix_fadvise"):
        for path in folder.glob("*.npy"):
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def throughput(batches: ClipBatches, size: int, count: int, seed: int) -> float:
    """Return clips per second over random batches without repeats inside a batch.

    On a GPU each batch is also turned into float32, as training does with it.
    """
    rng = np.random.default_rng(seed)
    rows = [rng.choice(len(batches), size, replace=False).tolist() for _ in range(count)]
    for chosen in rows[: 5 if batches.device.type == "cuda" else 0]:
        batches[chosen].float()
    if batches.device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for chosen in rows:
        batch = batches[chosen]
        if batches.device.type == "cuda":
            batch.float().div_(255)
    if batches.device.type == "cuda":
        torch.cuda.synchronize()
    return size * count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
