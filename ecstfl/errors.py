"""The one exception that means: the input is wrong, and here is what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps

Main = Callable[[Sequence[str] | None], int]


class UserError(Exception):
    """Bad input, told in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence without a traceback and exits with code 2.
    Library code raises it for files, folders, configurations and recordings; the
    mathematical functions (loss, metrics) raise plain ``ValueError`` with expected and got.
    """


def one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a name that is not among the known ones.

    Raises:
        UserError: says the name, and which are known.
    """
    if value not in known:
        raise UserError(f"unknown {what} {value!r}: use one of {', '.join(known)}")


def one_sentence(main: Main) -> Callable[..., int]:
    """Let a small command end as ``ecstfl`` does: a UserError is one sentence and exit code 2."""

    @wraps(main)
    def told(arguments: Sequence[str] | None = None) -> int:
        try:
            return main(arguments)
        except UserError as error:
            print(f"ecstfl: {error}", file=sys.stderr)
            return 2

    return told
