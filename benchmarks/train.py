"""How fast training is: this kit's settings beside those of a plain PyTorch port of C3D.

    python benchmarks/train.py                # on CUDA where there is one, else on the CPU
    python benchmarks/train.py --json FILE    # also write the numbers
    python benchmarks/train.py --seconds 2    # shorter measurements

Contenders train the same network with the same joint loss on the same clips:

- ``plain``: a data set of float clips, each augmented by itself, batched by a ``DataLoader`` (in
  the training process, or with two workers), contiguous tensors, fp32, torch's default threads;
- ``fp32`` and ``bf16``: this kit's own training loop (clips resident as uint8, augmentation in
  batch, channels_last_3d), on one process with all threads, or on the CPU on one process a core;
  on a GPU also through ``torch.compile``, and as CUDA graphs.

Every contender runs in processes of its own and is timed by the clock on the wall over whole
steps, after two steps to warm up, in turns, ``--rounds`` times; the best round counts, since other
work on the machine can only slow one down. FLOPs are those of convolutions and matrix products
as torch counts them, forward and backward. The peak is a large matrix product in the same
precision on the same threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from ecstfl.clips.augment import AugmentConfig
from ecstfl.clips.batches import ClipBatches
from ecstfl.experiments.profiles import get_profile
from ecstfl.losses.joint import JointLoss
from ecstfl.losses.methods import LossConfig
from ecstfl.models.backbones import BackboneConfig, build_backbone
from ecstfl.models.tap import Tap
from ecstfl.runs.config import OptimConfig, RunConfig
from ecstfl.runs.run_folder import provenance
from ecstfl.training.forward import network_in_training
from ecstfl.training.learner import new_learner
from ecstfl.training.loop import train_epoch
from ecstfl.training.optimizers import weight_groups
from ecstfl.training.reproducible import reproducible_arithmetic

# name: frames stored and trained, pixels, width, fc, batch
CPU_SIZES = {
    "quick profile": (16, 8, 48, 16, 256, 24),
    "twice as wide": (16, 8, 48, 32, 256, 24),
    "all frames, 64 pixels": (16, 16, 64, 16, 256, 24),
}
CUDA_SIZES = {
    "paper, batch 24": (16, 16, 112, 64, 4096, 24),
    "paper, batch 64": (16, 16, 112, 64, 4096, 64),
    "paper, batch 128": (16, 16, 112, 64, 4096, 128),
}
CPU_CONTENDERS = (
    "plain",
    "plain, 2 workers",
    "fp32",
    "bf16",
    "fp32, a core each",
    "bf16, a core each",
)
CUDA_CONTENDERS = (
    "plain",
    "plain, 2 workers",
    "fp32",
    "bf16",
    "bf16, compiled",
    "bf16, graphs",
)
COMPILED = {"compiled": "on", "graphs": "graphs"}
DFEW_CLIPS, FOLDS, METHODS, SEEDS, EPOCHS = 11_697, 5, 2, 3, 50


def config_of(size, precision="fp32", compile="off"):
    """The run that is timed: EC-STFL in the patent's form."""
    _, frames, pixels, width, fc, batch = size
    quick = get_profile("quick")
    return RunConfig(
        data="made-up",
        data_hash="",
        synthetic=True,
        profile="benchmark",
        fold=1,
        augment=replace(quick.augment, frames=frames, size=pixels),
        backbone=BackboneConfig(width=width, fc=fc),
        loss=LossConfig("ec-stfl", weight=0.1),
        optim=OptimConfig(epochs=1000, batch=batch, precision=precision, compile=compile),
    )


def made_up(size, n):
    """Random clips (n, T, H, W, 3) uint8 and labels: speed does not depend on what is shown."""
    stored, _, pixels, *_ = size
    side = pixels if pixels == 112 else round(pixels * 4 / 3)  # as the profiles store them
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (n, stored, side, side, 3), dtype=np.uint8)
    return clips, np.arange(n) % 7


class PlainClips(Dataset):
    """Float clips, each cut, turned, mirrored and standardised by itself, as ports usually do."""

    def __init__(self, clips, labels, augment: AugmentConfig):
        self.clips, self.labels, self.augment = clips, labels, augment

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, i):
        a = self.augment
        clip = torch.from_numpy(self.clips[i]).permute(0, 3, 1, 2).float() / 255  # (T, 3, H, W)
        step = len(clip) // a.frames
        clip = clip[int(torch.randint(step, ())) :: step]
        draw = (torch.rand(5) * 2 - 1).tolist()
        side, angle = a.crop * (1 + a.scale * draw[0]), np.deg2rad(a.rotate) * draw[1]
        mirror = -1 if torch.rand(()) < a.flip else 1
        cos, sin = side * np.cos(angle), side * np.sin(angle)
        theta = torch.tensor(
            [
                [cos * mirror, -sin, 2 * a.shift * draw[2]],
                [sin * mirror, cos, 2 * a.shift * draw[3]],
            ],
            dtype=torch.float32,
        ).expand(len(clip), 2, 3)
        grid = F.affine_grid(theta, [len(clip), 3, a.size, a.size], align_corners=False)
        clip = F.grid_sample(clip, grid, padding_mode="border", align_corners=False)
        clip = (clip - clip.mean()) / clip.std() * (1 + a.contrast * draw[4])
        return clip.transpose(0, 1).contiguous(), int(self.labels[i])


def time_plain(size, device, seconds, workers):
    """Clips a second of the plain settings."""
    config = config_of(size)
    batch = config.optim.batch
    clips, labels = made_up(size, 16 * batch)
    model = build_backbone(config.backbone, config.augment.frames, config.augment.size).to(device)
    joint = JointLoss(weight=config.loss.weight)
    optimizer = torch.optim.AdamW(weight_groups(model, joint, 1e-2), lr=1e-3)
    loader = DataLoader(
        PlainClips(clips, labels, config.augment),
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device == "cuda",
    )

    def steps():
        while True:
            yield from loader

    done, started, right, total_loss = 0, None, 0, 0.0
    with Tap(model.train(), config.backbone.tap) as tapped:
        for number, (views, truth) in enumerate(steps()):
            if number == 2:
                synchronise(device)
                started = time.perf_counter()
            views, truth = views.to(device), truth.to(device)
            logits, embeddings = tapped(views)
            total, _ = joint(logits, embeddings, truth)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            total_loss += total.item()  # ports print it
            right += int((logits.argmax(1) == truth).sum())
            if number >= 2:
                done += len(views)
                if time.perf_counter() - started >= seconds:
                    synchronise(device)
                    return done / (time.perf_counter() - started)


def time_ours(size, device, seconds, precision, compile):
    """Clips a second of the kit's own epochs; begins together with the other processes."""
    config = config_of(size, precision, compile)
    batch = config.optim.batch
    stored, labels = made_up(size, 8 * batch)
    learner = new_learner(config, device)
    some = {n * batch: ClipBatches(stored, np.arange(n * batch), device) for n in (2, 4)}
    truth = torch.from_numpy(labels).to(device)
    done, number = 0, 1
    with (
        reproducible_arithmetic(device),
        network_in_training(learner.model, config, device) as network,
    ):
        train_epoch(learner, network, some[2 * batch], truth[: 2 * batch], config, 0)
        synchronise(device)
        print("ready", flush=True)
        sys.stdin.readline()
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            train_epoch(learner, network, some[4 * batch], truth[: 4 * batch], config, number)
            done += 4 * batch
            number += 1
        synchronise(device)
        return done / (time.perf_counter() - started)


def synchronise(device):
    """Wait for the GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def matmul_peak(device, precision, seconds=1.0):
    """FLOP/s of a large square matrix product: the best of several sizes."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    best = 0.0
    for n in (8192, 16384) if device == "cuda" else (1024, 2048, 4096):
        a, b = (torch.randn(n, n, device=device, dtype=kind) for _ in range(2))
        a @ b
        synchronise(device)
        times, started = [], time.perf_counter()
        while len(times) < 3 or time.perf_counter() - started < seconds / 3:
            before = time.perf_counter()
            a @ b
            synchronise(device)
            times.append(time.perf_counter() - before)
        best = max(best, 2 * n**3 / min(times))
    return best


def flops_a_clip(size):
    """Forward and backward FLOPs of one clip."""
    config = config_of(size)
    frames, pixels = config.augment.frames, config.augment.size
    model = build_backbone(config.backbone, frames, pixels)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, 3, frames, pixels, pixels)).sum().backward()
    return counter.get_total_flops() / 2


def work(job):
    """Measure one contender in this process and print its speed."""
    size, device, seconds = job["size"], job["device"], job["seconds"]
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    name = job["contender"]
    if name.startswith("peak"):
        value = matmul_peak(device, name.split()[1])
    elif name.startswith("plain"):
        value = time_plain(size, device, seconds, 2 if "workers" in name else 0)
    else:
        compile = COMPILED.get(name.split(", ")[-1], "off")
        value = time_ours(size, device, seconds, name[:4], compile)
    print(json.dumps(value))


def measure(contender, size, device, seconds):
    """Start the processes of one contender; return the sum of their speeds."""
    several = contender.endswith("a core each")
    count = (os.cpu_count() or 1) if several else 1
    job = {
        "contender": contender,
        "size": size,
        "device": device,
        "seconds": seconds,
        "threads": 1 if several else 0,
    }
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.pop(name, None)
    if contender.startswith("plain"):
        for name in ("OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE"):
            environment.pop(name, None)  # which importing ecstfl has set here
    command = [sys.executable, __file__, "--work", json.dumps(job)]
    processes = [
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    lines = [process.stdout.readline().strip() for process in processes]
    if all(line == "ready" for line in lines):  # all have imported and warmed up
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        lines = [process.stdout.readline() for process in processes]
    for process in processes:
        process.communicate()
    if any(process.returncode for process in processes):
        return None  # for example out of memory; its own message has been printed
    return sum(json.loads(line) for line in lines)


def main():
    """Measure everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0, help="a measurement (default: 5)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sizes", nargs="+", help="some of the sizes, by their first words")
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(json.loads(args.work))
        return
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    sizes = CUDA_SIZES if device == "cuda" else CPU_SIZES
    contenders = CUDA_CONTENDERS if device == "cuda" else CPU_CONTENDERS
    if args.sizes:
        sizes = {n: s for n, s in sizes.items() if any(n.startswith(x) for x in args.sizes)}
    where = provenance()
    result = {
        "device": where["gpu"] if device == "cuda" else where["processor"],
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": where["commit"],
        "seconds": args.seconds,
        "rounds": args.rounds,
        "command": "python benchmarks/train.py",
        "augmentation": asdict(config_of(next(iter(sizes.values()))).augment),
        "peak_flops": {p: measure(f"peak {p}", None, device, 1) for p in ("fp32", "bf16")},
        "sizes": {},
    }
    for p, peak in result["peak_flops"].items():
        print(f"matrix product, {p}: {peak / 1e12:.3f} TFLOP/s")
    for name, size in sizes.items():
        flops = flops_a_clip(size)
        print(
            f"\n{name}: clips {size[1]} x {size[2]} x {size[2]}, width {size[3]}, batch {size[5]}"
        )
        speeds = {contender: [] for contender in contenders}
        for _ in range(args.rounds):
            for contender in contenders:
                speed = measure(contender, size, device, args.seconds)
                if speed is not None:
                    speeds[contender].append(speed)
        best = {contender: max(values) for contender, values in speeds.items() if values}
        plain = max(v for c, v in best.items() if c.startswith("plain"))
        for contender, speed in best.items():
            peak = result["peak_flops"]["bf16" if contender.startswith("bf16") else "fp32"]
            print(
                f"  {contender:20s} {speed:8.1f} clips/s  {speed / plain:5.2f} x best plain  "
                f"{speed * flops / 1e12:7.3f} TFLOP/s  {100 * speed * flops / peak:4.0f} % of peak"
            )
        result["sizes"][name] = {
            "stored_frames_pixels_width_fc_batch": size,
            "flops_a_clip": flops,
            "clips_a_second": speeds,
        }
        if device == "cuda":
            clips = DFEW_CLIPS * (FOLDS - 1) * EPOCHS * METHODS * SEEDS  # four folds in five train
            hours = clips / max(v for c, v in best.items() if c.startswith("bf16")) / 3600
            result["sizes"][name]["dfew_hours"] = hours
            print(
                f"  DFEW's table ({SEEDS} seeds, {METHODS} methods, {EPOCHS} epochs): {hours:.1f} h"
            )
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
