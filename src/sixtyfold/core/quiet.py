"""Keep libraries from writing over the console while they load or save."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from sixtyfold.core.verbosity import is_verbose


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide the progress bars and warnings of transformers in a block.

    Its GGUF reader draws a bar that no setting reaches, so what is written to the error stream is
    held back as well. Where details are asked for, its warnings are let through.
    """
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    if not is_verbose():
        logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with contextlib.ExitStack() as held:
            if not is_verbose():
                held.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
