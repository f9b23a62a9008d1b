"""What EC-STFL costs: forward + backward beside bare distances and library code.

    OMP_NUM_THREADS=1 python benchmarks/loss.py --json benchmarks/loss.json   # all, some minutes
    python benchmarks/loss.py --parts sizes --sizes 256 --json FILE   # a slice, added to FILE
    python benchmarks/loss.py --table FILE                            # its tables, in Markdown

Runs on the CPU and on CUDA where there is one. Contenders take turns in shuffled order, one pass
each a round; with one thread on the CPU the time is that of the processor, not of the clock on
the wall, so that other work on the machine weighs little; a ratio is the median over the rounds
of the ratio within one round. Before, some megabytes are taken from the system and given back, as
any training has done: else the allocator would fetch and return every tensor of half a megabyte
in each pass. Peak memory is that of the tensors allocated in one pass above what was there before
(profiler on the CPU, allocator on CUDA). A full-width C3D step at batch 24 is run as it is on CUDA;
on the CPU it is extrapolated from steps with one and with three clips: convolutions are linear in
the batch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time
from pathlib import Path

import torch

from ecstfl.losses.ec_stfl import FORMS, ec_stfl_loss
from ecstfl.losses.joint import JointLoss

SIZES = (24, 64)
WIDTHS = (512, 4096)
PARTS = ("sizes", "step")
BATCH = 24
CDIST, PRODUCTS, L1 = "bare torch.cdist", "bare products", "bare torch.cdist L1"


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
    chosen |= {CDIST: bare_cdist, PRODUCTS: bare_products, "patent by torch.cdist": cdist_patent}
    if n * n * d <= 1024 * 1024 * 512:  # an L1 matrix has no product to speed it up
        chosen[L1] = bare_l1
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


def clock(device):
    """Seconds: of the processor with one thread on the CPU, else on the wall, in step with CUDA."""
    if device == "cuda":
        torch.cuda.synchronize()
    if device == "cpu" and torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()


def one_pass(function, x, y):
    """Seconds of one forward + backward."""
    leaf = x.detach().requires_grad_()
    start = clock(x.device.type)
    function(leaf, y).backward()
    return clock(x.device.type) - start


def peak_megabytes(function, x, y):
    """Tensors alive at the worst moment of one pass, beyond those before it."""
    if x.is_cuda:
        torch.cuda.synchronize()
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
    """{name: ([seconds of each round], peak MB)} of all contenders at one size."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator).to(device)
    y = (torch.arange(n) % 7).to(device)
    chosen = contenders(n, d)
    peaks = {name: peak_megabytes(function, x, y) for name, function in chosen.items()}
    warm = sum(one_pass(function, x, y) for function in chosen.values())
    rounds = max(2, min(101, int(seconds / warm)))
    times = {name: [] for name in chosen}
    order, shuffle = list(chosen), random.Random(0)
    for _ in range(rounds):
        shuffle.shuffle(order)  # nobody always follows the one that empties the cache
        for name in order:
            times[name].append(one_pass(chosen[name], x, y))
    return {name: (times[name], peaks[name]) for name in chosen}


def ratio(result, name, base):
    """Median over rounds of time(name) / time(base); None where there is no base."""
    if base not in result:
        return None
    return statistics.median(a / b for a, b in zip(result[name][0], result[base][0], strict=True))


def rows_of(result, n, d, device):
    """One line of the record for each contender."""
    return [
        {
            "device": device,
            "n": n,
            "d": d,
            "name": name,
            "ms": 1e3 * statistics.median(times),
            "x cdist": ratio(result, name, CDIST),
            "x products": ratio(result, name, PRODUCTS),
            "x cdist L1": ratio(result, name, L1),
            "peak MB": peak,
            "rounds": len(times),
        }
        for name, (times, peak) in result.items()
    ]


def c3d_step(batch, device, repeats=3):
    """Seconds of one training step of a full-width C3D: medians after one to warm up."""
    from ecstfl.models.c3d import C3D

    torch.manual_seed(0)
    model = C3D().to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    clips, labels = torch.randn(batch, 3, 16, 112, 112), torch.arange(batch) % 7
    clips, labels = clips.to(device), labels.to(device)
    steps = []
    for _ in range(1 + repeats):
        start = clock(device)
        optimiser.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(clips), labels).backward()
        optimiser.step()
        steps.append(clock(device) - start)
    return statistics.median(steps[1:])


def step_share(device):
    """A C3D step at BATCH clips, and what JointLoss takes of it."""
    step = None
    if device == "cuda":
        try:
            step, how = c3d_step(BATCH, device, repeats=10), f"run at batch {BATCH}"
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
    if step is None:
        one, three = c3d_step(1, device), c3d_step(3, device)
        step, how = one + (BATCH - 1) * (three - one) / 2, "from batch 1 and 3"
    x, logits = torch.randn(BATCH, 4096).to(device), torch.randn(BATCH, 7).to(device)
    y = (torch.arange(BATCH) % 7).to(device)
    times = {1.0: [], 0.0: []}
    for _ in range(30):
        for weight, seconds in times.items():
            joint, z = JointLoss(weight).to(device), logits.clone().requires_grad_()
            seconds.append(one_pass(lambda a, b, j=joint, z=z: j(z, a, b)[0], x, y))
    joint, softmax = (statistics.median(times[weight][5:]) for weight in (1.0, 0.0))
    return {
        "device": device,
        "step s": step,
        "measured": how,
        "joint ms": 1e3 * joint,
        "softmax ms": 1e3 * softmax,
        "share": joint / step,
    }


# ---- report ----------------------------------------------------------------------------------


def machine(device):
    """One line on where this ran."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    return (
        f"torch {torch.__version__}, Python {platform.python_version()}, {device} ({name}), "
        f"{torch.get_num_threads()} thread(s) of {os.cpu_count()} cores"
    )


def number(value):
    """Three figures."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def tables(record):
    """The record as Markdown: a table for each device and width, then the share of a step."""
    lines = []
    for device, line in record["machine"].items():
        for d in sorted({row["d"] for row in record["rows"] if row["device"] == device}):
            rows = [r for r in record["rows"] if (r["device"], r["d"]) == (device, d)]
            sizes = sorted({row["n"] for row in rows})
            lines += [f"{line}; d = {d}: ms (× {CDIST}; peak MB)", ""]
            lines.append("| forward + backward | " + " | ".join(f"n = {n}" for n in sizes) + " |")
            lines.append("|---" * (len(sizes) + 1) + "|")
            for name in dict.fromkeys(row["name"] for row in rows):
                found = {row["n"]: row for row in rows if row["name"] == name}
                cells = [
                    f"{number(row['ms'])} ({row['x cdist']:.2f}; {number(row['peak MB'])})"
                    if (row := found.get(n))
                    else "–"
                    for n in sizes
                ]
                lines.append(f"| {name} | " + " | ".join(cells) + " |")
            lines.append("")
    for row in record["step"]:
        lines.append(
            f"Share of a full-width C3D step at batch {BATCH}, {row['device']}: "
            f"{100 * row['share']:.3f} % ({number(row['joint ms'])} ms of "
            f"{number(row['step s'])} s, {row['measured']}; cross entropy and the report alone "
            f"{number(row['softmax ms'])} ms)."
        )
    return "\n".join(lines)


KEYS = {
    "rows": ("device", "n", "d", "name"),
    "step": ("device",),
}


def merged(old, new):
    """The record with new lines in the place of old ones on the same thing, in order."""
    record = {"machine": old.get("machine", {}) | new["machine"]}
    for part, keys in KEYS.items():
        lines = {tuple(line[k] for k in keys): line for line in old.get(part, [])}
        lines |= {tuple(line[k] for k in keys): line for line in new[part]}
        record[part] = list(lines.values())
    record["rows"].sort(key=lambda row: (row["device"], row["d"], row["n"]))
    return record


def main(arguments=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="batch sizes")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="feature sizes")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: both where present")
    parser.add_argument("--seconds", type=float, default=10.0, help="for one size (default 10)")
    parser.add_argument("--json", type=Path, help="add the numbers to this file")
    parser.add_argument("--table", type=Path, help="only print the tables of this file")
    options = parser.parse_args(arguments)
    if options.table:
        print(tables(json.loads(options.table.read_text(encoding="utf-8"))))
        return
    devices = [options.device] if options.device else ["cpu"]
    if not options.device and torch.cuda.is_available():
        devices.append("cuda")
    record = {"machine": {}, "rows": [], "step": []}

    def keep(part, *lines):
        record[part] += lines
        for line in lines:
            print(
                " ".join(
                    f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in line.items()
                ),
                flush=True,
            )
        if options.json:
            exists = options.json.exists()
            old = json.loads(options.json.read_text(encoding="utf-8")) if exists else {}
            part_file = options.json.with_suffix(".part")
            part_file.write_text(json.dumps(merged(old, record), indent=1) + "\n", encoding="utf-8")
            os.replace(part_file, options.json)

    for device in devices:
        record["machine"][device] = machine(device)
        print(machine(device))
        if device == "cpu":
            torch.ones(7_500_000)  # 30 MB: see the head of this file
        if "sizes" in options.parts:
            for n in options.sizes:
                for d in options.widths:
                    result = measure(n, d, device, options.seconds)
                    keep("rows", *rows_of(result, n, d, device))
        if "step" in options.parts:
            keep("step", step_share(device))
    print("\n" + tables(record))


if __name__ == "__main__":
    main()
