"""`sixtyfold view`: opens what is looked at and serves its pages until it is interrupted."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterable
from typing import Any, NoReturn

from sixtyfold.core.errors import BadInput
from sixtyfold.core.verbosity import tell
from sixtyfold.core.visible_text import visible
from sixtyfold.explorer.catalogue import Catalogue, further_models
from sixtyfold.explorer.comparison import Comparisons
from sixtyfold.explorer.figures import warm_up
from sixtyfold.explorer.guard import Guard, is_loopback
from sixtyfold.explorer.live import Live
from sixtyfold.explorer.of_run import catalogue_of_run
from sixtyfold.explorer.of_store import catalogue_of_store
from sixtyfold.explorer.of_watch import catalogue_of_watch, is_watch
from sixtyfold.explorer.spec import DEFAULT_STORE, ViewSpec
from sixtyfold.explorer.tables import Tables
from sixtyfold.study.open_store import open_store


def view(spec: ViewSpec) -> dict[str, Any]:
    """Serve the pages until the process is interrupted.

    Returns:
        the address that was served.

    Raises:
        BadInput: the extra `view` is not installed, there is no such store, a name of a model is
            taken, or the address cannot be listened on.
        IncompleteInput: the store or run holds no answers.
        Corrupted: a table of it is not readable.
    """
    if importlib.util.find_spec("nicegui") is None:
        raise BadInput("the explorer needs its page library; pip install 'sixtyfold[view]'")
    catalogue = open_catalogue(spec)
    listening = listen(spec.host, spec.port)
    signal.signal(signal.SIGTERM, _interrupt)  # what is made for this process goes with it
    address = address_of(spec.host, listening.getsockname()[1])
    with contextlib.suppress(KeyboardInterrupt):
        _announce(catalogue, spec, address)
        serve(catalogue, spec, listening)
    return {"address": address, "runs": len(catalogue.runs)}


def shown(result: dict[str, Any], _: ViewSpec, *, silent: bool) -> dict[str, Any]:
    """Return the value for `--json`; what a person needs was said before the page was served."""
    del silent
    return result


def open_catalogue(spec: ViewSpec) -> Catalogue:
    """Open what is to be looked at, with the models the user adds; raises what `view` raises."""
    if spec.run is not None:
        watched = is_watch(spec.run)
        catalogue = catalogue_of_watch(spec.run) if watched else catalogue_of_run(spec.run)
    else:
        catalogue = catalogue_of_store(open_store(spec.store or DEFAULT_STORE, make=False))
    return catalogue._replace(
        models=catalogue.models | further_models(spec.model, catalogue.models)
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        BadInput: the address is taken, or none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except (OSError, TypeError) as error:  # TypeError: a name that cannot be asked for
        listening.close()
        reason = getattr(error, "strerror", None) or "no name of a machine"
        raise BadInput(
            f"cannot listen on {host} port {port} ({reason}); "
            "give another --port (0 takes a free one) or --host"
        ) from None
    return listening


def address_of(host: str, port: int) -> str:
    """Return the address to open.

    >>> address_of("::1", 8060), address_of("127.0.0.1", 1)
    ('http://[::1]:8060/', 'http://127.0.0.1:1/')
    """
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(catalogue: Catalogue, spec: ViewSpec, listening: socket.socket) -> None:
    """Serve pages over a socket until the process is interrupted or told to end."""
    import uvicorn

    threading.Thread(target=warm_up, daemon=True).start()  # while the browser fetches the page
    tables = Tables()
    live = Live(catalogue.models)
    with tempfile.TemporaryDirectory(prefix="sixtyfold-view-") as own:
        os.environ["NICEGUI_STORAGE_PATH"] = own  # the library would look where we stand
        from sixtyfold.explorer.pages.frame import Explorer
        from sixtyfold.explorer.pages.routes import application

        app = application(Explorer(catalogue, tables, Comparisons(catalogue, tables), live))
        config = uvicorn.Config(Guard(app, spec.host), log_level="warning", ws="wsproto")
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            live.close()
            tables.close()


def _announce(catalogue: Catalogue, spec: ViewSpec, address: str) -> None:
    """Say where the page is, what it leaves out and who can see it."""
    tell(f"{catalogue.title}: {len(catalogue.runs)} runs at {address} (Ctrl-C ends it)")
    _warn([f"left out: {note}" for note in catalogue.notes])
    if not is_loopback(spec.host):
        everybody = "lets everybody who reaches it read these results and run these models"
        _warn([f"--host {spec.host} {everybody}"])
    if spec.browser:
        webbrowser.open(address)


def _warn(lines: Iterable[str]) -> None:
    """Say lines that --quiet does not silence."""
    for line in lines:
        sys.stderr.write(f"sixtyfold: warning: {visible(line, longest=len(line))}\n")
    sys.stderr.flush()


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
