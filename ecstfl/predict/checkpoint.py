"""The model that recognises: which file it is, what is in it, and what must be said about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import torch
from torch import nn

from ecstfl.errors import UserError
from ecstfl.models.backbones import build_backbone
from ecstfl.models.model_file import MODEL_FORMAT, NOTES, ModelNotes, find_shipped, read_model
from ecstfl.runs.config import RunConfig, from_dict
from ecstfl.runs.run_folder import read_run

HONESTY: Final = "Recognises displayed expressions, not feelings; not for decisions about people."


def statement(config: RunConfig, notes: ModelNotes) -> str:
    """Return what must stand beside every prediction of a model."""
    trained = "rendered faces (synthetic)" if config.synthetic else f"{config.data}"
    fitted = "calibrated" if notes.calibrated else "not calibrated"
    return f"Model trained on {trained}; probabilities {fitted}. {HONESTY}"


def load_checkpoint(path: Path) -> tuple[RunConfig, nn.Module, ModelNotes]:
    """Load a model, the configuration it was trained with, and its notes.

    Nothing in the file is executed.

    Raises:
        UserError: the file is missing, broken, changed, or not a model of this version and
            class list.
    """
    tensors, header = read_model(path, MODEL_FORMAT)
    try:
        config = from_dict(RunConfig, json.loads(header["config"]))
        notes = from_dict(ModelNotes, json.loads(header.get(NOTES, "{}")))
        model = _filled(config, tensors)
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else error
        raise UserError(f"{path} does not fit its own description ({reason})") from None
    except UserError as error:
        raise UserError(f"{path} cannot be used by this version of ecstfl: {error}") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{path}: the weights {name} are not finite; train anew")
    model.eval()
    return config, model.to(memory_format=torch.channels_last_3d), notes


def _filled(config: RunConfig, tensors: dict[str, torch.Tensor]) -> nn.Module:
    """Build the network that a configuration describes and put the weights in."""
    arguments = config.backbone, config.augment.frames, config.augment.size
    # On the meta device a header that claims an enormous network costs nothing: names and shapes
    # are known to fit before any memory is taken.
    with torch.device("meta"):
        build_backbone(*arguments).load_state_dict(tensors, assign=True)
    with torch.random.fork_rng(devices=[]):  # loading must not change what is drawn afterwards
        model = build_backbone(*arguments)
    model.load_state_dict(tensors)
    return model


def default_model(results: Path) -> Path:
    """Return the model that comes with ecstfl, or else the newest EC-STFL run's below ``results``.

    Raises:
        UserError: there is neither.
    """
    shipped = find_shipped()
    if shipped is not None:
        return shipped
    found = []
    for model in results.glob("**/runs/ec-stfl-*/model.safetensors"):
        run = read_run(model.parent)
        if run is not None:
            found.append((run["finished"], model))
    if not found:
        raise UserError(
            f"no model comes with this installation, and no trained EC-STFL run lies below "
            f"{results}: run ecstfl reproduce first, or give --model FILE"
        )
    return max(found)[1]
