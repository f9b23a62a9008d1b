"""What the backbones share: checks of their arguments and input, and how weights start."""

from __future__ import annotations

from torch import Tensor, nn


def check_sizes(net: str, **sizes: int) -> None:
    """Refuse sizes below 1.

    Raises:
        ValueError: names the first wrong size.
    """
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{net}: {name} must be at least 1, got {value}")


def check_dropout(net: str, dropout: float) -> None:
    """Refuse a dropout probability outside [0, 1).

    Raises:
        ValueError: says the value.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"{net}: dropout must be in [0, 1), got {dropout}")


def check_clips(net: str, clips: Tensor) -> None:
    """Refuse anything but clips (n, 3, T, H, W).

    Raises:
        ValueError: says expected and got.
    """
    if clips.ndim != 5 or clips.shape[1] != 3:
        raise ValueError(
            f"{net}: expected clips of shape (n, 3, T, H, W), got {tuple(clips.shape)}"
        )


def initialise(model: nn.Module, classifier: nn.Module) -> None:
    """Give every kernel He's variance (fan out, ReLU) and the classifier small weights.

    An LSTM keeps PyTorch's start. The classifier starts near uniform probabilities, so that the
    first cross-entropy is about log(classes) whatever the features' size.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
