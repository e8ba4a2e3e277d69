"""The command line: one subcommand = one spec in, run, print."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import textwrap
import traceback
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sixtyfold.commands import COMMANDS, Command, imported, spec_class
from sixtyfold.core.allocator import keep_freed_memory
from sixtyfold.core.errors import BadInput, SixtyfoldError, suggestion
from sixtyfold.core.verbosity import saying
from sixtyfold.core.visible_text import visible
from sixtyfold.failures import FAULT, told
from sixtyfold.json_output import json_document

if TYPE_CHECKING:
    from sixtyfold.arguments import Given


def main() -> None:
    """Run the command line and exit."""
    # Before torch is imported: threads that wait for each other spin for a short while, then sleep.
    # Spinning for long made a step 16 times slower beside another job (docs/decisions/004).
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    # Large tensors on large pages: new logits cost page faults, three times the arithmetic on them.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    keep_freed_memory()
    _prepare_streams()
    try:
        code = run_command(sys.argv[1:])
    except Exception:  # noqa: BLE001 - whatever it is, it is not the user's
        traceback.print_exc()
        sys.stderr.write(
            "sixtyfold: this is a fault of sixtyfold, not of what you gave; what is finished is "
            "kept. Please report it with the lines above\n"
        )
        code = FAULT
    sys.exit(code)


def _prepare_streams() -> None:
    """Give closed streams a place to write to; let a log in another alphabet lose no line."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed; else the next file opened would take its place
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are printed as one line.

    Raises:
        Exception: it is a fault of this program, or SIXTYFOLD_TRACEBACK is set.
    """
    try:
        _dispatch(list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output wanted no more of it, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (Exception, KeyboardInterrupt) as error:
        known = told(error)
        if known is None or os.environ.get("SIXTYFOLD_TRACEBACK"):
            raise
        if known.code <= 1 or _speaks():  # bad input is the same in all processes
            line = " ".join(known.line.split())
            sys.stderr.write(f"sixtyfold: {visible(line, longest=len(line))}\n")
        return known.code
    return 0


def _speaks() -> bool:
    """Whether this process talks to the user: of several of a launcher, the first of a machine."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _dispatch(arguments: list[str]) -> None:
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in {"-h", "--help"}:
        sys.stdout.write(_overview())
        return
    if arguments[0] in {"-V", "--version"}:
        from importlib.metadata import version

        sys.stdout.write(f"sixtyfold {version('sixtyfold')}\n")
        return
    from sixtyfold.arguments import read

    name, rest = _find(arguments)
    given = read(name, spec_class(COMMANDS[name]), rest)
    with saying(given.console.verbosity if _speaks() else "quiet"):
        try:
            _run(COMMANDS[name], given)
        except SixtyfoldError:
            if given.console.verbose:
                traceback.print_exc()
            raise


def _run(command: Command, given: Given) -> None:
    """Run a command and show its result as asked for."""
    spec, console = given
    work, shown = command.function, command.show
    if getattr(spec, "plan", False):
        work, shown = f"{work.split(':')[0]}:plan", "sixtyfold.console:show_plan"
    with contextlib.ExitStack() as held:
        if console.as_json:  # whatever a library prints is no part of the document
            held.enter_context(contextlib.redirect_stdout(sys.stderr))
        result, show = imported(work)(spec), imported(shown)
    value = show(result, spec, silent=console.as_json or console.quiet or not _speaks())
    if console.as_json and _speaks():
        sys.stdout.write(json_document(value, sys.stdout.encoding))


def _find(arguments: list[str]) -> tuple[str, list[str]]:
    """Split arguments into the command's name and the rest."""
    two = " ".join(arguments[:2])
    if two in COMMANDS:
        return two, arguments[2:]
    if arguments[0] in COMMANDS:
        return arguments[0], arguments[1:]
    group = [name for name in COMMANDS if name.startswith(f"{arguments[0]} ")]
    if group:
        if arguments[1:] in (["-h"], ["--help"]):
            sys.stdout.write(_listing(group))
            sys.exit(0)
        if two == arguments[0]:
            raise BadInput(f"'{two}' needs a second word; allowed: {', '.join(group)}")
        raise BadInput(
            f"'{two}' is no command{suggestion(two, group)}; allowed: {', '.join(group)}"
        )
    raise BadInput(
        f"'{arguments[0]}' is no command{suggestion(arguments[0], COMMANDS)}; "
        f"allowed: {', '.join(COMMANDS)}"
    )


def _overview() -> str:
    return (
        "sixtyfold COMMAND [options]\n\n"
        "Finds out what a language model knows, tunes it on the few examples that make it\n"
        "say so, shows what the tuning changed, and puts back what it broke.\n\n"
        f"{_listing(COMMANDS)}\n"
        "Every command takes --help, --json (the result as JSON), --quiet and --verbose;\n"
        "those that work long take --plan. 'sixtyfold completion' helps your shell.\n"
        "Start with 'sixtyfold run'.\n"
    )


def _listing(names: Iterable[str]) -> str:
    """Return commands with what they do, in lines of 80 columns."""
    lines = (f"  {name:<16} {COMMANDS[name].about}" for name in names)
    return "".join(f"{textwrap.fill(each, 80, subsequent_indent=' ' * 19)}\n" for each in lines)
