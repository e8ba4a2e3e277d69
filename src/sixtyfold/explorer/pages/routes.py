"""Which page stands at which address, and the application that answers requests for them."""

from __future__ import annotations

from fastapi import FastAPI, Request
from nicegui import ui

from sixtyfold.explorer.pages import ask, compare, fact, runs
from sixtyfold.explorer.pages.frame import Explorer

_RECONNECT = 30.0  # seconds: a model that is loaded holds the machine up


def application(explorer: Explorer) -> FastAPI:
    """Return the application that answers requests, without its guard.

    Args:
        explorer: what the pages show.
    """

    @ui.page("/")
    def at_root(request: Request) -> None:
        compare.build(explorer, request.query_params)

    @ui.page("/fact")
    async def at_fact(request: Request) -> None:
        await fact.build(explorer, request.query_params)

    @ui.page("/runs")
    def at_runs(request: Request) -> None:
        runs.build(explorer, request.query_params)

    @ui.page("/ask")
    async def at_ask(request: Request) -> None:
        await ask.build(explorer, request.query_params)

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(
        app,
        title="sixtyfold",
        dark=None,
        language="en-US",
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=_RECONNECT,
    )
    return app
