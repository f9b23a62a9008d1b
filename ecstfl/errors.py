"""The one exception that means: the input is wrong, and here is what to do about it."""


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
