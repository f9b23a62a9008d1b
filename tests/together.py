"""Train toy runs, alone or under torchrun: ``python together.py RESULTS METHOD...``."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from toy import toy_config, toy_data

from ecstfl.distributed import process_group, rank, world_size
from ecstfl.models.backbones import BackboneConfig
from ecstfl.training.loop import train_run


def config_of(clipset, method):
    """A run without dropout, whose draws differ between processes; batches of 13 and a rest.

    Two short, slow epochs: under the toy's usual rate a rounding error grows fourfold a step.
    """
    weight = 0.001 if method == "center" else 0.1
    config = toy_config(clipset, method=method, weight=weight, epochs=2)
    return replace(
        config,
        backbone=BackboneConfig(width=4, fc=16, dropout=0.0),
        optim=replace(
            config.optim, lr=1e-4, batch=13, ema=0.5, accumulate=2 if method == "softmax" else 1
        ),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    results, *methods = sys.argv[1:]
    clipset, clips = toy_data()
    with process_group("cpu"):
        stop = int(os.environ.get("STOP_AFTER", "0"))
        for method in methods:

            def progress(done, *_):
                if done == stop:
                    os._exit(3)  # torchrun then ends the others

            run = train_run(
                config_of(clipset, method), clipset, clips, Path(results), progress=progress
            )
            print(f"{rank()} of {world_size()}: {method} {run['war']:.6f}", flush=True)
