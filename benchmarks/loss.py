"""What EC-STFL costs: forward + backward beside naive, vectorised and library code.

    python benchmarks/loss.py                 # all sizes, on the CPU and on CUDA where there is one
    python benchmarks/loss.py --quick         # up to n = 256, less than a minute
    python benchmarks/loss.py --json FILE     # also write the numbers

Contenders take turns, one pass each a round, and on the CPU the time is that of the processor,
not of the clock on the wall, so that other work on the machine weighs little; a
ratio is the median over the rounds of the ratio within one round. Peak memory is that of the
tensors allocated in one pass above what was there before (profiler on the CPU, allocator on CUDA).
The last lines hold the figures against the targets; a full-width C3D step is measured with one
clip and multiplied by the batch (convolutions are linear in it).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import torch

from ecstfl import reference
from ecstfl.loss import FORMS, JointLoss, ec_stfl_loss

SIZES = (24, 64, 256, 1024, 4096)
WIDTHS = (512, 4096)
TARGETS = {"naive": 1000.0, "bare": 1.5, "step": 0.01}


# ---- contenders: (x, y) -> scalar ------------------------------------------------------------


def bare_cdist(x, y):
    """One distance matrix by torch.cdist, with its gradient, and nothing else."""
    return torch.cdist(x, x).sum()


def bare_products(x, y):
    """One distance matrix by float32 products: the cheapest there is, and the least exact."""
    square = (x * x).sum(dim=1)
    return (square[:, None] + square - 2 * x @ x.T).clamp(min=1e-12).sqrt().sum()


def bare_l1(x, y):
    """One L1 distance matrix, the counterpart of the released form."""
    return torch.cdist(x, x, p=1).sum()


def cdist_patent(x, y):
    """The patent's form as one would write it with torch.cdist and autograd."""
    d = torch.cdist(x, x)
    same = (y[:, None] == y).to(d)
    size = same.sum(dim=1)
    above = (d * same).sum(dim=1) / size
    below = (d * (1 - same)) @ (1 / size)
    return (above / below).sum()


def contenders(n, d):
    """Name -> function, for one size."""
    chosen = {f"ec_stfl {form}": (lambda x, y, f=form: ec_stfl_loss(x, y, f)) for form in FORMS}
    chosen |= {"bare torch.cdist": bare_cdist, "bare products": bare_products}
    chosen["patent by torch.cdist"] = cdist_patent
    if n * n * d <= 1024 * 1024 * 512:  # an L1 matrix has no product to speed it up
        chosen["bare torch.cdist L1"] = bare_l1
    else:
        del chosen["ec_stfl released"]
    try:
        from pytorch_metric_learning import losses
    except ImportError:
        print("pytorch-metric-learning is not installed: pip install 'ecstfl[cousins]'")
        return chosen
    if n <= 1024:  # ContrastiveLoss lists its pairs
        chosen["pml ContrastiveLoss"] = losses.ContrastiveLoss()
    chosen["pml SupConLoss"] = losses.SupConLoss()
    return chosen


# ---- measuring -------------------------------------------------------------------------------


def one_pass(function, x, y):
    """Seconds of one forward + backward."""
    leaf = x.detach().requires_grad_()
    if x.is_cuda:
        torch.cuda.synchronize()
        start = time.perf_counter()
        function(leaf, y).backward()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    function(leaf, y).backward()
    return time.process_time() - start


def peak_megabytes(function, x, y):
    """Tensors alive at the worst moment of one pass, beyond those before it."""
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        one_pass(function, x, y)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        one_pass(function, x, y)
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak / 2**20


def measure(n, d, device, seconds):
    """{name: (median seconds, [seconds], peak MB)} of all contenders at one size."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator).to(device)
    y = (torch.arange(n) % 7).to(device)
    chosen = contenders(n, d)
    warm = sum(one_pass(function, x, y) for function in chosen.values())  # and load kernels
    if warm < 30:
        warm = sum(one_pass(function, x, y) for function in chosen.values())
    rounds = max(3, min(51, int(seconds / warm)))
    times = {name: [] for name in chosen}
    for _ in range(rounds):
        for name, function in chosen.items():
            times[name].append(one_pass(function, x, y))
    return {
        name: (statistics.median(times[name]), times[name], peak_megabytes(function, x, y))
        for name, function in chosen.items()
    }


def ratio(result, name, base):
    """Median over rounds of time(name) / time(base)."""
    return statistics.median(a / b for a, b in zip(result[name][1], result[base][1], strict=True))


def naive_seconds(n, d):
    """Plain-Python value and gradient of the patent's form, in one call each."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0)).tolist()
    y = [i % 7 for i in range(n)]
    start = time.process_time()
    reference.patent(x, y)
    middle = time.process_time()
    reference.patent_gradient(x, y)
    return middle - start, time.process_time() - middle


def step_seconds(batch):
    """(step of a full-width C3D at one clip x batch, joint loss at that batch), medians of 3."""
    from ecstfl.c3d import C3D

    torch.manual_seed(0)
    model = C3D()
    clip, label = torch.randn(1, 3, 16, 112, 112), torch.zeros(1, dtype=torch.long)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    x, logits = torch.randn(batch, 4096), torch.randn(batch, 7)
    y = torch.arange(batch) % 7
    joint, softmax = JointLoss(1.0), JointLoss(0.0)
    steps, losses = [], []
    for _ in range(4):
        start = time.process_time()
        optimiser.zero_grad()
        output = model(clip)
        torch.nn.functional.cross_entropy(output, label).backward()
        steps.append(time.process_time() - start)
        optimiser.step()
        for _ in range(5):
            pair = []
            for loss in (joint, softmax):
                a, b = x.clone().requires_grad_(), logits.clone().requires_grad_()
                start = time.process_time()
                loss(b, a, y)[0].backward()
                pair.append(time.process_time() - start)
            losses.append(pair)
    median = statistics.median
    return (
        batch * median(steps[1:]),
        median(a for a, _ in losses[5:]),
        median(b for _, b in losses[5:]),
    )


# ---- report ----------------------------------------------------------------------------------


def machine(device):
    """One line on where this ran."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"torch {torch.__version__}, Python {platform.python_version()}, {device} ({name}), "
        f"{torch.get_num_threads()} thread(s) of {os.cpu_count()}{load}"
    )


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to n = 256")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="batch sizes")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="feature sizes")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: both where present")
    parser.add_argument("--seconds", type=float, default=10.0, help="for one size (default 10)")
    parser.add_argument("--no-naive", action="store_true", help="leave out the plain-Python loop")
    parser.add_argument("--no-c3d", action="store_true", help="leave out the C3D step (4 GB)")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args()
    devices = [options.device] if options.device else ["cpu"]
    if not options.device and torch.cuda.is_available():
        devices.append("cuda")
    record = {"rows": [], "targets": []}
    verdicts = []

    def verdict(target, value, met, unit=""):
        line = f"{'met    ' if met else 'NOT MET'}  {target}: {value:.3g}{unit}"
        verdicts.append(line)
        record["targets"].append({"target": target, "value": value, "met": bool(met)})

    for device in devices:
        record[f"machine {device}"] = machine(device)
        print(machine(device))
        sizes = [n for n in options.sizes if not options.quick or n <= 256]
        for d in options.widths:
            for n in sizes:
                result = measure(n, d, device, options.seconds / (5 if options.quick else 1))
                rounds = len(result["bare torch.cdist"][1])
                print(f"\nn = {n}, d = {d} ({rounds} rounds)")
                print(f"{'':24}{'ms':>10}{'x bare cdist':>14}{'x bare prod.':>14}{'peak MB':>10}")
                for name, (seconds, _, peak) in result.items():
                    cdist = ratio(result, name, "bare torch.cdist")
                    products = ratio(result, name, "bare products")
                    print(
                        f"{name:24}{1e3 * seconds:10.3f}{cdist:14.2f}{products:14.2f}{peak:10.1f}"
                    )
                    record["rows"].append(
                        {
                            "device": device,
                            "n": n,
                            "d": d,
                            "name": name,
                            "ms": 1e3 * seconds,
                            "x bare torch.cdist": cdist,
                            "x bare products": products,
                            "peak MB": peak,
                            "rounds": rounds,
                        }
                    )
                for form in ("patent", "paper"):
                    value = ratio(result, f"ec_stfl {form}", "bare torch.cdist")
                    verdict(
                        f"{device}, {form}, n = {n}, d = {d}: at most 1.5 x torch.cdist + gradient",
                        value,
                        value <= TARGETS["bare"],
                        " x",
                    )
                if device == "cpu" and n == 64 and not options.no_naive:
                    value_time, gradient_time = naive_seconds(n, d)
                    fast = result["ec_stfl patent"][0]
                    times = (value_time + gradient_time) / fast
                    print(
                        f"plain-Python loops: value {value_time:.2f} s, gradient "
                        f"{gradient_time:.2f} s; ec_stfl patent is {times:,.0f} times faster"
                    )
                    record[f"naive n={n} d={d}"] = {
                        "value s": value_time,
                        "gradient s": gradient_time,
                        "times faster": times,
                    }
                    if d == 4096:
                        verdict(
                            "at least 1,000 x the naive loop, n = 64, d = 4096",
                            times,
                            times >= TARGETS["naive"],
                            " x",
                        )
                sys.stdout.flush()
    if "cpu" in devices and not options.no_c3d:
        step, joint, softmax = step_seconds(24)
        print(
            f"\nfull-width C3D step at batch 24: {step:.1f} s (one clip x 24); joint loss "
            f"{1e3 * joint:.2f} ms, softmax with the ratio report alone {1e3 * softmax:.2f} ms"
        )
        record["c3d"] = {"step s": step, "joint s": joint, "softmax s": softmax}
        verdict(
            "cpu: at most 1 % of a full-width C3D step at batch 24",
            100 * joint / step,
            joint / step <= TARGETS["step"],
            " %",
        )
    print("\n" + "\n".join(verdicts))
    if options.json:
        part = options.json.with_suffix(".part")
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        os.replace(part, options.json)


if __name__ == "__main__":
    main()
