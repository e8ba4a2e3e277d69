"""Errors a user can act on.

Every message says what was given, what is allowed and what to do. The command line prints the
message as one line and exits with `exit_code`; nothing here knows about the command line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SixtyfoldError(Exception):
    """Base of all errors that are the caller's to mend."""

    exit_code = 1


class BadInput(SixtyfoldError):
    """An option, file or table is not what the command takes."""

    exit_code = 2


class IncompleteInput(SixtyfoldError):
    """An input directory holds no finished stage, or one of another kind."""

    exit_code = 3


class OtherResult(SixtyfoldError):
    """The output directory already holds a result of other settings or other inputs."""

    exit_code = 4


class Corrupted(SixtyfoldError):
    """A file does not hold what its checksum, header or manifest promises."""

    exit_code = 5


def suggestion(given: str, allowed: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest allowed word, or an empty string.

    >>> suggestion("limt", ["limit", "seed"])
    "; did you mean 'limit'?"
    >>> suggestion("zzz", ["limit", "seed"])
    ''
    """
    near = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
