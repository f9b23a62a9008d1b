"""The network as an ONNX file: ``python -m tools.export_onnx MODEL.safetensors OUT.onnx``.

Backbone and classifier only: the file takes clips as the network saw them in training
(:func:`ecstfl.clips.augment.center_view`: aligned, standardised) and gives logits. Classes,
temperature and the run's configuration travel in its metadata. The export is checked in
onnxruntime before the file takes its place.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from ecstfl.errors import UserError, one_sentence
from ecstfl.files import atomic_write
from ecstfl.labels import CLASSES
from ecstfl.predict.checkpoint import HONESTY, load_checkpoint, statement
from ecstfl.runs.config import canonical_json

TOLERANCE: Final = 1e-3
"""Largest difference of a logit between PyTorch and onnxruntime, times the logits' scale."""

INPUT, OUTPUT = "clips", "logits"


def export_onnx(model: Path, out: Path) -> dict[str, Any]:
    """Write a model as ONNX and compare it with PyTorch on random clips.

    Args:
        model: model file.
        out: ``.onnx`` file to write; replaced whole or not at all. Input ``clips``
            (n, 3, T, S, S) float32, output ``logits`` (n, 7) float32, n free.

    Returns:
        ``{"bytes": size, "difference": largest difference of a logit, "shape": input shape}``.

    Raises:
        UserError: packages are missing, the model is unusable, or the two disagree.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError as error:
        raise UserError(
            f"ONNX export needs the package {error.name}: pip install 'ecstfl[onnx]'"
        ) from None
    config, network, notes = load_checkpoint(Path(model))
    network = network.to(memory_format=torch.contiguous_format)
    shape = (3, config.augment.frames, config.augment.size, config.augment.size)
    example = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter reports its steps as warnings
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    proto = program.model_proto
    onnx.helper.set_model_props(
        proto,
        {
            "classes": json.dumps(CLASSES),
            "temperature": repr(notes.temperature),
            "config": canonical_json(dataclasses.asdict(config)),
            "statement": statement(config, notes),
        },
    )
    content = proto.SerializeToString()
    difference = _difference(content, network, shape)
    with atomic_write(Path(out)) as file:
        file.write(content)
    return {"bytes": len(content), "difference": difference, "shape": ("n", *shape)}


def _difference(content: bytes, network: torch.nn.Module, shape: tuple[int, ...]) -> float:
    """Largest difference of a logit over batches of other sizes than the example's."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for n in (1, 5):
        clips = torch.randn(n, *shape, generator=torch.Generator().manual_seed(n))
        with torch.inference_mode():
            ours = network(clips).numpy()
        (theirs,) = session.run([OUTPUT], {INPUT: clips.numpy()})
        gap = float(np.abs(ours - theirs).max())
        if not gap <= TOLERANCE * max(1.0, float(np.abs(ours).max())):
            raise UserError(f"the ONNX file disagrees with PyTorch by {gap:.2g} in a logit")
        largest = max(largest, gap)
    return largest


@one_sentence
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.export_onnx", description="Write a model as ONNX.", epilog=HONESTY
    )
    parser.add_argument("model", type=Path, help="model.safetensors")
    parser.add_argument("out", type=Path, help="file to write (.onnx)")
    args = parser.parse_args(arguments)
    done = export_onnx(args.model, args.out)
    print(
        f"{args.out}: {done['bytes'] / 1e6:.1f} MB, input clips {done['shape']}, "
        f"agrees with PyTorch to {done['difference']:.1e}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
