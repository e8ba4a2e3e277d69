"""Options of `sixtyfold view`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from sixtyfold.core.spec import Spec

DEFAULT_STORE = "runs/store"


class ViewSpec(Spec):
    """Look at a store or a run in the browser: compare runs, open facts, try questions.

    The page is served from this machine to this machine alone. It reads; it changes nothing.
    """

    store: str | None = None
    """The store: a directory or an fsspec URL. `runs/store` where neither it nor --run is given."""

    run: Path | None = None
    """A directory that `sixtyfold run` wrote, in the place of a store."""

    model: tuple[str, ...] = ()
    """Further models to try questions on, as NAME=MODEL or MODEL: such as a restored checkpoint."""

    host: str = "127.0.0.1"
    """Address to listen on. Another than the default lets other machines read the results and run
    the models; there is no password."""

    port: int = Field(default=8060, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    browser: bool = False
    """Open the page in the browser as well."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.store is not None and self.run is not None:
            raise ValueError("--store and --run were both given; give one of them")
        return self
