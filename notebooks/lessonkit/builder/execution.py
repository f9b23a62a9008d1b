"""Execute a notebook in a fresh kernel, measure what it costs, and examine what it shows."""

from __future__ import annotations

import copy
import json
import math
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecstfl.errors import UserError
from lessonkit.frames import FRAMES
from lessonkit.lessons import WIDGETS

_COST = """\
import time
def _peak():
    try:
        import resource, sys
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    except ImportError:
        import psutil
        return psutil.Process().memory_info().peak_wset
print(_peak(), time.process_time())"""


@dataclass(frozen=True)
class Execution:
    """A notebook with outputs, and what it cost.

    Attributes:
        notebook: with outputs.
        seconds: of wall time.
        busy: seconds that the kernel's threads computed, all together.
        memory: peak bytes of the kernel.
    """

    notebook: Any
    seconds: float
    busy: float
    memory: int


def execute(
    book: Any,
    folder: Path,
    *,
    profile: str = "quick",
    widgets: bool = False,
    frames: bool = False,
    timeout: int = 3600,
) -> Execution:
    """Run all cells in a fresh kernel.

    Args:
        book: the notebook; a copy is run.
        folder: the kernel's working folder.
        profile: one of :data:`lessonkit.lessons.PROFILES`.
        widgets: False shows the still twins only, so that outputs are the same each time.
        frames: True draws what sliders show, for the book.
        timeout: seconds a cell may take; other work on the same cores makes them many.

    Raises:
        UserError: a cell fails or takes too long; the message has its number and last line.
    """
    try:
        import nbclient
        import nbformat
    except ImportError:
        raise UserError("nbclient is missing: pip install -e '.[notebooks]'") from None
    book = copy.deepcopy(book)
    client = nbclient.NotebookClient(
        book,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # else one text arrives in one piece or in several, by chance
        resources={"metadata": {"path": str(folder)}},
    )
    environment = {**os.environ, "ECSTFL_PROFILE": profile, WIDGETS: "on" if widgets else "off"}
    environment[FRAMES] = "on" if frames else "off"
    # frozen modules make the kernel's debugger write a warning into every first cell
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    began = time.perf_counter()
    # the kernel's own log (ports, encryption) is no business of the reader
    with client.setup_kernel(env=environment, stderr=subprocess.DEVNULL):
        _ask_again(client.kc.shell_channel)
        for index, cell in enumerate(book.cells):
            try:
                client.execute_cell(cell, index)
            except nbclient.exceptions.CellExecutionError as error:
                raise UserError(
                    f"{book.metadata['ecstfl']['lesson']}, cell {index} stops with "
                    f"{error.ename}: {error.evalue}\n{cell.source}"
                ) from None
            except nbclient.exceptions.CellTimeoutError:
                raise UserError(
                    f"{book.metadata['ecstfl']['lesson']}, cell {index} takes longer than "
                    f"{timeout} s\n{cell.source}"
                ) from None
        seconds = time.perf_counter() - began
        probe = nbformat.v4.new_code_cell(_COST)
        book.cells.append(probe)
        client.execute_cell(probe, len(book.cells) - 1, store_history=False)
        memory, busy = book.cells.pop().outputs[0]["text"].split()
    return Execution(book, seconds, float(busy), int(memory))


def _ask_again(channel: Any, every: float = 1.0) -> None:
    """Let a channel look for a message at least each second, not only when it is woken.

    nbclient answers an output widget on the socket where it waits for the kernel's reply. When
    the reply comes in while it writes, the one wake-up is used up by the writing, and the reply
    lies there unseen until the timeout: now and then a notebook with sliders stood still.
    """
    from queue import Empty

    get_msg = channel.get_msg

    async def patient(timeout: float | None = None) -> Any:
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return await get_msg(timeout=max(0.0, min(every, end - time.monotonic())))
            except Empty:
                if time.monotonic() >= end:
                    raise

    channel.get_msg = patient


def examine_outputs(book: Any, forbidden: Sequence[str]) -> list[str]:
    """Return complaints about executed outputs: stderr, and texts that name this machine."""
    complaints = []
    for index, cell in enumerate(book.cells):
        for output in cell.get("outputs", []):
            text = json.dumps(
                {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")}
            ) + str(output.get("text", ""))
            if output.get("name") == "stderr":
                complaints.append(f"cell {index} writes to stderr: {output['text'].strip()[:200]}")
            complaints += [f"cell {index} shows {bad!r}" for bad in forbidden if bad in text]
            if re.search(r"\bat 0x[0-9a-f]{6,}", text):
                complaints.append(f"cell {index} shows a memory address")
            if re.search(r"\bnan\b", text) and "nan" not in cell.source.lower():
                complaints.append(f"cell {index} shows nan without speaking of it")
    return complaints


def measured_texts(execution: Execution) -> dict[str, str]:
    """Round what was measured up, so that the next build says the same.

    Minutes are a range: on idle cores, and three times that, where other work shares them. Who
    builds on a busy machine waits for others, too: what was computed took no longer than ``busy``.
    """
    minutes = math.ceil(min(execution.seconds, execution.busy) / 30) / 2
    memory = math.ceil(execution.memory / 0.25e9) * 0.25
    return {"minutes": f"{minutes:g} to {3 * minutes:g}", "memory": f"{memory:g} GB"}
