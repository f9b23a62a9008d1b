"""Figures on disk: PNG and SVG with a JSON sidecar that names the runs, drawn once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from ecstfl.figures.style import plain_style
from ecstfl.files import atomic_write, write_json
from ecstfl.runs.run_folder import Run


def up_to_date(path: Path, runs: Sequence[Run]) -> bool:
    """Tell whether ``path``.png, .svg and .json exist and were drawn from exactly these runs."""
    try:
        sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return (
            sidecar["runs"] == [run["name"] for run in runs]
            and path.with_suffix(".png").exists()
            and path.with_suffix(".svg").exists()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


@plain_style()
def save_figure(figure: Figure, path: Path, runs: Sequence[Run], command: str) -> list[Path]:
    """Write ``path`` as .png and .svg with a .json sidecar; return the three paths.

    The sidecar names the runs, the commit of the code that made them (a list where they differ),
    and the command.

    The files hold no date, so that the same runs give the same bytes.
    """
    written = []
    for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
        buffer = BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "ecstfl", "svg.fonttype": "none"}):
            figure.savefig(buffer, format=suffix[1:], dpi=130, metadata=metadata)
        with atomic_write(path.with_suffix(suffix)) as file:
            file.write(buffer.getvalue())
        written.append(path.with_suffix(suffix))
    commits = sorted({run["provenance"]["commit"] or "unknown" for run in runs})
    sidecar = {
        "runs": [run["name"] for run in runs],
        "commit": commits[0] if len(commits) == 1 else commits,
        "synthetic": any(run["synthetic"] for run in runs),
        "command": command,
    }
    write_json(path.with_suffix(".json"), sidecar)
    return [*written, path.with_suffix(".json")]
