"""A line that grows while a network trains: how far it is, and the loss as it falls.

It is one line of text that is written over, so it works in JupyterLab, in a terminal and in a
built page, where the last state stays. That one names no time: a built page is the same each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

BARS: Final = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int = 30) -> str:
    """Return numbers as a row of small bars, from 0 to the largest."""
    step = max(1, -(-len(values) // width))
    shown = [max(values[k : k + step]) for k in range(0, len(values), step)]
    top = max(shown)
    if not 0 < top < float("inf"):
        return ""
    return "".join(BARS[min(7, int(8 * max(0.0, value) / top))] for value in shown)


class _Line:
    """What a notebook shows."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def falling_loss(title: str, key: str = "loss") -> Callable[[int, int, Mapping[str, Any]], None]:
    """Return a function to be called after each epoch with (done, total, record).

    ``train_run(..., progress=falling_loss("softmax only"))`` shows a line such as
    ``softmax only  epoch 7/10  ▇▆▅▃▂▂▁  loss 1.95 → 0.41``.

    Args:
        title: at the beginning of the line.
        key: which entry of the record is shown.
    """
    values: list[float] = []
    shown: list[Any] = []
    began = time.monotonic()

    def step(done: int, total: int, record: Mapping[str, Any]) -> None:
        from IPython.display import display

        values.append(float(record[key]))
        ends = f"{values[0]:.2f} → {values[-1]:.2f}"
        text = f"{title}  epoch {done}/{total}  {sparkline(values)}  {key} {ends}"
        if done < total:
            left = (time.monotonic() - began) / done * (total - done)
            text += f"  about {left:.0f} s left"
        line = _Line(text)
        if shown:
            shown[0].update(line)
        elif handle := display(line, display_id=True):
            shown.append(handle)

    return step
