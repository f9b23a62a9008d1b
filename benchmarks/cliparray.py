"""How fast a cache of prepared clips opens, and random batches come from disk, memory and a GPU.

Makes a cache of DFEW's size (11,697 x 16 x 112 x 112 x 3, 7.04 GB) with generated content, as
:mod:`ecstfl.clips.preprocess` writes it, or opens one. Run:
``python benchmarks/cliparray.py --folder /fast/disk/cache [--device cuda]``.
Content is written in full unless ``--sparse`` is given; a sparse file shows the cost of mapping
and copying only, as holes are not read from the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import zlib
from pathlib import Path

import numpy as np
import torch

from ecstfl.clips.array import MappedClips
from ecstfl.clips.batches import ClipBatches
from ecstfl.clips.cache import TRACK_COLUMNS, ClipCache


def main() -> None:
    """Build or open the cache, then time opening and batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=11_697)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sparse", action="store_true")
    args = parser.parse_args()
    shape = (16, args.size, args.size, 3)
    result: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "clips": args.clips,
        "shape": shape,
        "batch": args.batch,
        "sparse": args.sparse,
    }
    if not (args.folder / "index.jsonl").exists():
        start = time.perf_counter()
        build(args.folder, args.clips, shape, args.sparse)
        result["build_s"] = time.perf_counter() - start

    start = time.perf_counter()
    clips, wrong = open_cache(args.folder, shape)
    result["first_open_with_verification_s"] = time.perf_counter() - start
    result["wrong_rows"] = len(wrong)
    start = time.perf_counter()
    clips, _ = open_cache(args.folder, shape)
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
        mapped = ClipBatches(clips, everything, args.device, hold=False)
        result["mapped_to_device_clips_per_s"] = throughput(mapped, args.batch, args.batches, 3)
    print(json.dumps(result, indent=1))


def build(folder: Path, n: int, shape: tuple[int, ...], sparse: bool) -> None:
    """Write n clips in the cache's format; their rows are not in the clips' order."""
    cache = ClipCache(folder, shape, {"generated": True})
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, shape, dtype=np.uint8)
    order = rng.permutation(n)
    if not sparse:
        with cache.writing():
            for number in order:
                data = (ground + np.uint8(number % 256)).tobytes()
                tracks = np.zeros((0, TRACK_COLUMNS))
                cache.add(f"{number:05d}", data, tracks, 16, "", (), "none")
        return
    blank = zlib.crc32(bytes(int(np.prod(shape))))
    lines = [
        {"key": f"{number:05d}", "row": row, "crc": blank, "n_source": 16, "n_kept": 0,
         "reason": "", "problems": [], "backend": "none", "track": 0}
        for row, number in enumerate(order.tolist())
    ]  # fmt: skip
    with (folder / "frames.bin").open("wb") as file:
        file.truncate(n * int(np.prod(shape)))
    (folder / "tracks.bin").touch()
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def open_cache(folder: Path, shape: tuple[int, ...]) -> tuple[np.ndarray | MappedClips, list[int]]:
    """Open all clips in the order of their keys, as ``preprocess`` does."""
    cache = ClipCache(folder, shape, {})
    return cache.read([cache.entries[key] for key in sorted(cache.entries)])


def drop_cache(folder: Path) -> None:
    """Ask the system to forget the file (no effect where it cannot be asked)."""
    if hasattr(os, "posix_fadvise"):
        handle = os.open(folder / "frames.bin", os.O_RDONLY)
        os.fsync(handle)
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
