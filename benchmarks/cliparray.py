"""How fast random batches of prepared clips come from disk, from memory and from a GPU.

Makes an array of DFEW's size (11,697 x 16 x 112 x 112 x 3, 7.04 GB) with generated content, or
opens one. Run: ``python benchmarks/cliparray.py --folder /fast/disk/array [--device cuda]``.
Content is written in full unless ``--sparse`` is given; a sparse file shows the cost of mapping
and copying only, as holes are not read from the disk.
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

from ecstfl.cliparray import ClipArray, build_clip_array, open_clip_array, write_index
from ecstfl.clipset import Clip, ClipSet


def main() -> None:
    """Build or open the array, then time opening and batches."""
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
    clipset = ClipSet(
        "generated",
        tuple(Clip(f"c{i:05d}", Path(), i % 7, fold=i % 5 + 1) for i in range(args.clips)),
    )
    result: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "clips": args.clips,
        "shape": shape,
        "batch": args.batch,
        "sparse": args.sparse,
    }
    start = time.perf_counter()
    if args.sparse and not (args.folder / "index.json").exists():
        args.folder.mkdir(parents=True)
        np.lib.format.open_memmap(
            args.folder / "clips.npy", mode="w+", dtype=np.uint8, shape=(args.clips, *shape)
        ).flush()
        write_index(args.folder, clipset, "generated", [0] * args.clips)
    elif not (args.folder / "index.json").exists():
        ground = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        build_clip_array(
            args.folder, clipset, shape, lambda clip: ground + np.uint8(int(clip.id[1:]) % 256)
        )
        result["build_s"] = time.perf_counter() - start

    start = time.perf_counter()
    array = open_clip_array(args.folder)
    result["open_s"] = time.perf_counter() - start

    drop_cache(array)
    result["cold_clips_per_s"] = throughput(array, args.batch, args.batches, seed=0)
    for row in range(len(array)):  # bring everything into the page cache
        array.clips[row].max()
    result["warm_clips_per_s"] = throughput(array, args.batch, args.batches, seed=1)
    if args.device != "cpu":
        start = time.perf_counter()
        held = array.to_device(args.device)
        torch.cuda.synchronize()
        result["device"] = torch.cuda.get_device_name(args.device)
        result["to_device_s"] = time.perf_counter() - start
        result["device_clips_per_s"] = device_throughput(held, args.batch, args.batches)
    print(json.dumps(result, indent=1))


def drop_cache(array: ClipArray) -> None:
    """Ask the system to forget the file (no effect where it cannot be asked)."""
    if hasattr(os, "posix_fadvise"):
        handle = os.open(array.path / "clips.npy", os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def throughput(array: ClipArray, size: int, batches: int, seed: int) -> float:
    """Return clips per second over random batches without repeats inside a batch."""
    rng = np.random.default_rng(seed)
    rows = [rng.choice(len(array), size, replace=False) for _ in range(batches)]
    start = time.perf_counter()
    for chosen in rows:
        array.batch(chosen)
    return size * batches / (time.perf_counter() - start)


def device_throughput(held: torch.Tensor, size: int, batches: int) -> float:
    """Return clips per second gathered on the device and turned into float32."""
    rows = torch.randint(len(held), (batches, size), device=held.device)
    for chosen in rows[:5]:
        held[chosen].float()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for chosen in rows:
        held[chosen].float().div_(255)
    torch.cuda.synchronize()
    return size * batches / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
