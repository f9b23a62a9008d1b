"""Train toy runs in two processes that find each other as under torchrun."""

import os
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


def train(number, port, results, methods, stop, told):
    """Be process ``number`` of two; die after epoch ``stop`` of a run; tell (method, WAR)."""
    os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    clipset, clips = toy_data()

    def progress(done, *_):
        if done == stop:
            os._exit(3)

    with process_group("cpu"):
        for method in methods:
            run = train_run(
                config_of(clipset, method), clipset, clips, Path(results), progress=progress
            )
            told.put((method, rank(), world_size(), run["war"]))
