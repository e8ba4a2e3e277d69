"""What a person is told of an error, and the exit code that scripts see."""

from __future__ import annotations

from typing import NamedTuple

from sixtyfold.core.errors import SixtyfoldError

FAULT = 70
"""Exit code of an error that is this program's own."""
_SMALLER = "give a smaller --batch or --limit, or another --device"


class Told(NamedTuple):
    """One line about an error, and the exit code."""

    line: str
    code: int


def told(error: BaseException) -> Told | None:
    """Return what is said of an error, or None for one that is this program's own fault."""
    match error:
        case SixtyfoldError():
            return Told(str(error), error.exit_code)
        case KeyboardInterrupt():
            return Told("stopped; what is finished is kept, the same command continues", 130)
        case MemoryError():
            return Told(f"there is too little memory; {_SMALLER}", 1)
        case OSError(errno=int()):
            where = f" {error.filename}" if error.filename else ""
            return Told(
                f"cannot read or write{where}: {error.strerror}; "
                "what is finished is kept, mend this and give the same command again",
                1,
            )
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which may not be loaded
        return Told(f"the device has too little memory; {_SMALLER}", 1)
    return None
