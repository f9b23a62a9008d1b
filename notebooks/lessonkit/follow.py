"""A training that can be followed: one line that changes, with the loss as it falls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


class _Line:
    """Text that takes the place of what it said before; without a notebook, printed anew."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def follow(title: str) -> Callable[[int, int, Mapping[str, Any]], None]:
    """Return what a training calls after each epoch: a bar, the loss, and the time that is left.

    The last line says nothing of time: it is the same whenever a lesson is built. Example::

        train_run(config, clipset, clips, place, progress=follow("C3D"))

    Args:
        title: which training this is.

    Returns:
        A function of (epochs done, epochs in all, a record with ``loss``).
    """
    began = time.monotonic()
    shown: list[Any] = []

    def tell(done: int, total: int, record: Mapping[str, Any]) -> None:
        bar = "█" * round(20 * done / total)
        text = f"{title}: epoch {done:2d} of {total} {bar:░<20} loss {record['loss']:.3f}"
        if done < total:
            left = (time.monotonic() - began) / done * (total - done)
            text += f", about {left:.0f} s left"
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            get_ipython = None
        if get_ipython is None or get_ipython() is None:
            print(text)
        elif not shown:
            shown.append(display(_Line(text), display_id=True))
        else:
            shown[0].update(_Line(text))

    return tell
