"""Arguments of a command: its own options out of its spec, and those that every command has."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass
from typing import Annotated, Any, NamedTuple, Union

import tyro
from pydantic import ValidationError

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.spec import Spec
from sixtyfold.core.verbosity import Verbosity

_FLAGS_ONE_WAY = (tyro.conf.FlagCreatePairsOff,)
_MISSING = re.compile(r"^\W+(--[a-z0-9-]+) [A-Z{]", re.MULTILINE)
_FRAME = re.compile("[│─╭╮╰╯]|-{3,}")
_CHOICE = re.compile(r"invalid choice '(.*?)' for argument '(--\S+)'\. Expected one of \((.*?)\)\.")
_NO_VALUE = re.compile(r"Missing value for argument '(--\S+)'")
_STRAY = re.compile(r"Unrecognized options: (.*?) For full")
_WRONG = re.compile(r"parsing (--\S+): (.*?) Argument helptext: --\S+ (\[.*?\]\]|\S+)")
_KINDS = {"INT": "a whole number", "FLOAT": "a number", "{None}": "None"}


@dataclass(frozen=True)
class ConsoleOptions:
    """How a result is shown. The same for every command, and no part of a result."""

    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print the result as one JSON document on the output stream, and nothing else there."""

    quiet: bool = False
    """Print nothing but errors and warnings."""

    verbose: bool = False
    """Say also which stages begin and end, and where an error arose."""

    @property
    def verbosity(self) -> Verbosity:
        """How much is said on the error stream."""
        return "quiet" if self.quiet else "verbose" if self.verbose else "normal"


class Given(NamedTuple):
    """What a command line says."""

    spec: Spec
    console: ConsoleOptions


def read(name: str, spec: type[Spec], arguments: Sequence[str]) -> Given:
    """Read the arguments of a command.

    Args:
        name: of the command.
        spec: its options.
        arguments: what stands behind its name.

    Raises:
        BadInput: an option is unknown, missing or has a value that is not allowed.
        SystemExit: after printing the help text.
    """
    _refuse_unreadable(arguments)
    _refuse_unknown(name, spec, arguments)
    printed = io.StringIO()
    if {"-h", "--help"} & set(arguments):  # tyro does not break a description into lines
        sys.stdout.write(f"{_folded(spec.__doc__ or '')}\n\n")
    try:
        with contextlib.redirect_stderr(printed):
            line = tyro.cli(
                line_type(spec),
                args=arguments,
                prog=f"sixtyfold {name}",
                description="",
                config=_FLAGS_ONE_WAY,
            )
    except ValidationError as error:
        raise BadInput(_explained(spec, error)) from None
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        reason = _reason(printed.getvalue())
        raise BadInput(f"{reason} (see 'sixtyfold {name} --help')") from None
    if line.console.quiet and line.console.verbose:
        raise BadInput("--quiet and --verbose were both given; give one of them")
    return Given(line.spec, line.console)


def line_type(spec: type[Spec]) -> Any:
    """Return the type of a whole command line: a spec's options, then those of all commands."""
    unnamed = tyro.conf.arg(name="")
    fields = [("spec", Annotated[spec, unnamed]), ("console", Annotated[ConsoleOptions, unnamed])]
    line = make_dataclass("Line", fields)
    line.__doc__ = spec.__doc__  # what completion shows beside the command
    return line


def _folded(text: str) -> str:
    """Return paragraphs broken where the terminal ends."""
    width = shutil.get_terminal_size().columns
    return "\n\n".join(textwrap.fill(each, width) for each in inspect.cleandoc(text).split("\n\n"))


def completion_script(specs: dict[str, type[Spec]], shell: str) -> str:
    """Return the script with which a shell completes commands, options and their values.

    Args:
        specs: command to its spec; `facts build` is the command `build` of the group `facts`.
        shell: bash, zsh or fish.
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, spec in specs.items():
        first, _, second = name.partition(" ")
        groups.setdefault(first, {})[second] = line_type(spec)
    tops = {
        name: below[""] if "" in below else _group(name, below) for name, below in groups.items()
    }
    config = (*_FLAGS_ONE_WAY, tyro.conf.OmitSubcommandPrefixes)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(
            _one_of(tops),
            args=["--tyro-write-completion", shell, "-"],
            prog="sixtyfold",
            config=config,
        )
    return printed.getvalue()


def _group(name: str, below: dict[str, Any]) -> Any:
    commands = Annotated[_one_of(below), tyro.conf.arg(name="")]  # type: ignore[valid-type]
    return make_dataclass(name.capitalize(), [("command", commands)])


def _one_of(lines: dict[str, Any]) -> Any:
    """Return the type of one of several subcommands."""
    named = [Annotated[line, tyro.conf.subcommand(name=name)] for name, line in lines.items()]
    return Union[tuple(named)] if len(named) > 1 else named[0]  # noqa: UP007 - made at run time


def _refuse_unreadable(arguments: Sequence[str]) -> None:
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise BadInput(
                f"'{argument}' is not UTF-8; give the file or directory a name that is"
            ) from None


def _refuse_unknown(name: str, spec: type[Spec], arguments: Sequence[str]) -> None:
    known = [f"--{field.replace('_', '-')}" for field in spec.model_fields]
    known += ["--json", "--quiet", "--verbose", "--help", "-h"]
    for argument in arguments:
        option = argument.split("=")[0].replace("_", "-")
        if option.startswith("--") and option not in known and not _is_flag_off(option, known):
            raise BadInput(
                f"unknown option '{argument}' for 'sixtyfold {name}'{suggestion(option, known)}; "
                f"allowed: {' '.join(known)}"
            )


def _is_flag_off(option: str, known: list[str]) -> bool:
    return option.startswith("--no-") and f"--{option.removeprefix('--no-')}" in known


def _explained(spec: type[Spec], error: ValidationError) -> str:
    """Return the first complaint of pydantic, with the option as it is written here."""
    first = error.errors()[0]
    if not first["loc"]:  # of options together
        return spec.explain(error)
    reason = str(first["msg"]).removeprefix("Value error, ")
    option = str(first["loc"][0]).replace("_", "-")
    return f"option --{option} was given {first['input']!r}: {reason}"


def _reason(text: str) -> str:
    """Return what tyro prints in a box as one line in the words of this program."""
    missing = _MISSING.findall(text) if "Missing from" in text else []
    if missing:
        several = "s" if len(missing) > 1 else ""
        return f"option{several} {', '.join(missing)} must be given"
    words = "".join(each if each.isprintable() else " " for each in _FRAME.sub(" ", text))
    line = " ".join(words.split())
    if found := _CHOICE.search(line):
        given, option, choices = found.groups()
        allowed = re.findall(r"'(.*?)'", choices)
        near = suggestion(given, allowed)
        return f"option {option} was given '{given}'{near}; allowed: {', '.join(allowed)}"
    if found := _NO_VALUE.search(line):
        return f"option {found[1]} was given without a value"
    if found := _STRAY.search(line):
        return f"'{found[1]}' is no option and no value of one; options are written --NAME VALUE"
    if found := _WRONG.search(line):
        option, reason, form = found.groups()
        given = ", ".join(re.findall(r"'.*?'", reason.split(". Got errors")[0]))
        return f"option {option} was given {given}; allowed: {_allowed(form)}"
    return line.split(" For full")[0]


def _allowed(form: str) -> str:
    """Say what tyro's sign for the values of an option means.

    >>> _allowed("{None}|FLOAT"), _allowed("[INT [INT ...]]")
    ('a number, or None', 'a whole number, or several')
    """
    kinds = dict.fromkeys(re.findall(r"{None}|[A-Z]{2,}", form))
    words = [_KINDS.get(kind, kind) for kind in sorted(kinds, key="{None}".__eq__)]
    return ", or ".join([*words, *(["several"] if form.startswith("[") else [])]) or form
