"""Tap a layer by name: any backbone gives logits and the features that the loss clusters.

Claim 3-2 puts EC-STFL after any of the last fully connected layers; [0040] takes the one before
the classifier (fc7 of C3D). A forward hook reads it, so that no backbone needs to be changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

_WRAPPERS = ("module", "_orig_mod")  # DistributedDataParallel and torch.compile


def _find(model: nn.Module, layer: str) -> nn.Module:
    """Return the named submodule, looking through wrappers."""
    modules = dict(model.named_modules())
    if layer and layer in modules:
        return modules[layer]
    plain = {
        ".".join(part for part in name.split(".") if part not in _WRAPPERS): module
        for name, module in modules.items()
    }
    plain.pop("", None)
    if layer in plain:
        return plain[layer]
    raise ValueError(f"layer: expected one of {', '.join(plain) or '(no layers)'}, got {layer!r}")


class Tap(nn.Module):
    """A model that returns ``(output, tapped features)``.

    The features are a copy taken when the layer has run, so that an in-place ReLU behind it
    cannot change them, and they are flattened to (n, d). Works inside `torch.compile` and
    `DistributedDataParallel` when those wrap the Tap (not the other way round). The model keeps
    working as before; ``close()`` or the end of a ``with`` block removes the hook.

    Args:
        model: any network; its parameters stay its own (also found as ``tap.model``).
        layer: dotted name as in ``model.named_modules()``, for instance ``"fc7"``.
        of: ``"output"`` of the layer, or its (first) ``"input"``: ``Tap(c3d, "fc8", of="input")``
            is fc7 after ReLU and dropout.
        select: picks the tensor when the layer gives something else (an LSTM gives a tuple).

    Raises:
        ValueError: no such layer (the message lists all names), or ``of`` is unknown.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
        >>> with Tap(net, "0") as tapped:
        ...     logits, emb = tapped(torch.zeros(4, 3))
        >>> tuple(logits.shape), tuple(emb.shape)
        ((4, 2), (4, 5))
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        *,
        of: Literal["output", "input"] = "output",
        select: Callable[[Any], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if of not in ("output", "input"):
            raise ValueError(f"of: expected 'output' or 'input', got {of!r}")
        self.model = model
        self.layer = layer
        self.select = select
        self._seen: list[Tensor] = []
        self._listening = False
        module = _find(model, layer)
        # bound methods, not lambdas: a deep copy of the tap then feeds itself
        if of == "output":
            self._hook = module.register_forward_hook(self._after)
        else:
            self._hook = module.register_forward_pre_hook(self._before)

    def _after(self, _module: nn.Module, _args: tuple, output: Any) -> None:
        self._keep(output)

    def _before(self, _module: nn.Module, args: tuple) -> None:
        self._keep(args[0] if args else None)

    def _keep(self, value: Any) -> None:
        if not self._listening:
            return  # the model was called by somebody else
        if self.select is not None:
            value = self.select(value)
        if not isinstance(value, Tensor):
            raise ValueError(
                f"layer {self.layer!r}: expected a tensor, got {type(value).__name__}; "
                "give select=, a function that picks the tensor"
            )
        if value.ndim < 2:
            raise ValueError(
                f"layer {self.layer!r}: expected shape (n, ...), got {tuple(value.shape)}"
            )
        self._seen.append(value.clone())

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Any, Tensor]:
        """Run the model; return its output and the (n, d) features of the layer.

        Raises:
            ValueError: the layer did not run, or ran more than once.
        """
        self._listening = True
        try:
            output = self.model(*args, **kwargs)
            seen = list(self._seen)
        finally:
            self._listening = False
            self._seen.clear()  # no reference to the graph is kept
        if len(seen) != 1:
            raise ValueError(
                f"layer {self.layer!r}: expected it to run once in a forward pass, "
                f"got {len(seen)} runs (or the tap is closed)"
            )
        return output, torch.flatten(seen[0], start_dim=1)

    def close(self) -> None:
        """Remove the hook; the model is as it was."""
        self._hook.remove()

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
