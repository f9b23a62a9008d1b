"""ecstfl: learn and reproduce EC-STFL, a loss that clusters dynamic facial expressions."""

from ecstfl import privacy, threads  # noqa: F401 - first of all: before any dependency is imported

__version__ = "0.1.0"

_LOSS = ("ec_stfl_loss", "ECSTFLLoss", "JointLoss")


def __getattr__(name: str) -> object:
    """Give the loss at the top level, importing torch only when it is asked for."""
    if name in _LOSS:
        from ecstfl.losses import ec_stfl, joint

        return getattr(joint if name == "JointLoss" else ec_stfl, name)
    raise AttributeError(f"module 'ecstfl' has no attribute {name!r}")
