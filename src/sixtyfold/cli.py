"""The command line: one subcommand = one spec in, run, print.

Specs and stages are imported when their command is called, so that `--help` answers at once.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sixtyfold.core.allocator import keep_freed_memory
from sixtyfold.core.errors import BadInput, SixtyfoldError, suggestion
from sixtyfold.core.spec import Spec
from sixtyfold.core.verbosity import saying
from sixtyfold.core.visible_text import visible
from sixtyfold.failures import FAULT, told
from sixtyfold.json_output import json_document

if TYPE_CHECKING:
    from sixtyfold.arguments import Given


class Command(NamedTuple):
    """Where a command's spec and function are, and how its result is shown."""

    about: str
    spec: str
    function: str
    show: str = "sixtyfold.console:show_stage"


def _stage(name: str, about: str, show: str = "sixtyfold.console:show_stage") -> Command:
    """Describe the command of a stage by the layout every stage folder has."""
    folder = f"sixtyfold.stages.{name}"
    return Command(about, f"{folder}.spec:{name.capitalize()}Spec", f"{folder}.run:run", show)


COMMANDS: dict[str, Command] = {
    "run": Command(
        "the main path: probe, select, tune, evaluate, compare, repair, report",
        "sixtyfold.workflows.run_spec:RunSpec",
        "sixtyfold.reporting.main_path:run",
        "sixtyfold.console:show_run",
    ),
    "facts build": Command(
        "write a fact set, or a sample of it, as tables",
        "sixtyfold.sources.spec:FactsBuildSpec",
        "sixtyfold.sources.build:build",
    ),
    "facts list": Command(
        "what can be given as --facts",
        "sixtyfold.sources.spec:FactsListSpec",
        "sixtyfold.sources.listing:list_sources",
        "sixtyfold.console:show_table",
    ),
    "facts inspect": Command(
        "counts, answers and traps per relation",
        "sixtyfold.sources.spec:FactsInspectSpec",
        "sixtyfold.sources.inspect:run",
        "sixtyfold.console:show_inspection",
    ),
    "facts templates": Command(
        "how well each cloze template brings out what a model knows",
        "sixtyfold.workflows.templates_spec:FactsTemplatesSpec",
        "sixtyfold.workflows.templates:run",
        "sixtyfold.console:show_templates",
    ),
    "probe": _stage("probe", "recall and level per fact", "sixtyfold.console:show_probe"),
    "select": _stage("select", "training sets with a receipt", "sixtyfold.console:show_selection"),
    "tune": Command(
        "a checkpoint out of a selection; learning rates, size ladders",
        "sixtyfold.workflows.tuning_spec:TuningSpec",
        "sixtyfold.workflows.tuning:run",
        "sixtyfold.console_tuning:show_tuning",
    ),
    "evaluate": Command(
        "answers, by level where a probe is given; a base asked three ways",
        "sixtyfold.workflows.asking_spec:AskingSpec",
        "sixtyfold.workflows.asking:run",
        "sixtyfold.console:show_answers",
    ),
    "compare": _stage(
        "compare",
        "two answer tables: kept, lost, gained, paired test",
        "sixtyfold.console_changes:show_comparison",
    ),
    "drift": _stage("drift", "token-level change", "sixtyfold.console_changes:show_drift"),
    "diff": _stage("diff", "weight-level change", "sixtyfold.console_diff:show_diff"),
    "restore": _stage(
        "restore",
        "a checkpoint with weights put back",
        "sixtyfold.console_changes:show_restored",
    ),
    "rebuild": Command(
        "a restored checkpoint out of its patch",
        "sixtyfold.stages.restore.rebuild_spec:RebuildSpec",
        "sixtyfold.stages.restore.rebuild:run",
    ),
    "search": Command(
        "best repair, chosen on dev, tested once",
        "sixtyfold.workflows.search_spec:SearchSpec",
        "sixtyfold.workflows.search:search",
        "sixtyfold.console_search:show_search",
    ),
    "report": Command(
        "one self-contained HTML file",
        "sixtyfold.reporting.spec:ReportSpec",
        "sixtyfold.reporting.run:run",
        "sixtyfold.console:show_path",
    ),
    "check": Command(
        "a training file of your own: will it hurt?",
        "sixtyfold.workflows.check.spec:CheckSpec",
        "sixtyfold.workflows.check.run:run",
        "sixtyfold.console_check:show_check",
    ),
    "export lm-eval": Command(
        "the questions of a split as a task directory of lm-eval",
        "sixtyfold.workflows.export_spec:ExportLmEvalSpec",
        "sixtyfold.workflows.export:run",
    ),
    "study run": Command(
        "run what is left of an experiment, here or on a Ray cluster",
        "sixtyfold.study.spec:StudyRunSpec",
        "sixtyfold.study.run:run",
        "sixtyfold.console_study:show_run",
    ),
    "study status": Command(
        "what of an experiment is done and what is left",
        "sixtyfold.study.spec:StudyStatusSpec",
        "sixtyfold.study.run:status",
        "sixtyfold.console_study:show_status",
    ),
    "study results": Command(
        "one tidy table of an experiment: one row = one number",
        "sixtyfold.study.spec:StudyResultsSpec",
        "sixtyfold.reporting.study:results",
        "sixtyfold.console_study:show_results",
    ),
    "study contrast": Command(
        "how trainings differ, with intervals over facts and seeds",
        "sixtyfold.study.spec:StudyContrastSpec",
        "sixtyfold.study.run:contrast",
        "sixtyfold.console_study:show_contrasts",
    ),
    "study repairs": Command(
        "what putting weights back did, over the seeds of an experiment",
        "sixtyfold.study.spec:StudyRepairsSpec",
        "sixtyfold.study.run:repairs",
        "sixtyfold.console_study:show_repairs",
    ),
    "sql": Command(
        "ask a store in SQL: views over all its tables",
        "sixtyfold.study.spec:SqlSpec",
        "sixtyfold.study.sql:ask",
        "sixtyfold.console_sql:show_sql",
    ),
    "study clean": Command(
        "remove what no study of a store needs",
        "sixtyfold.study.spec:StudyCleanSpec",
        "sixtyfold.study.run:clean",
        "sixtyfold.console_study:show_cleaned",
    ),
    "view": Command(
        "a local page: compare runs, open facts, try questions",
        "sixtyfold.explorer.spec:ViewSpec",
        "sixtyfold.explorer.server:view",
        "sixtyfold.explorer.server:shown",
    ),
    "completion": Command(
        "a script with which your shell completes commands and options",
        "sixtyfold.completion:CompletionSpec",
        "sixtyfold.completion:run",
        "sixtyfold.completion:show",
    ),
    "plant": _stage("plant", "a small model with known knowledge"),
}


def main() -> None:
    """Run the command line and exit."""
    # Before torch is imported: threads that wait for each other spin for a short while, then sleep.
    # Spinning for long made a step 16 times slower beside another job (docs/decisions/004).
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    # Large tensors on large pages: new logits cost page faults, three times the arithmetic on them.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a log in another alphabet loses no line
            stream.reconfigure(errors="backslashreplace")
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
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        sys.stdout.write(_overview())
        return
    if arguments[0] in {"-V", "--version"}:
        from sixtyfold import __version__

        sys.stdout.write(f"sixtyfold {__version__}\n")
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


def parse(name: str, spec: type[Spec], arguments: list[str]) -> Spec:
    """Read the arguments of a command into its spec; raises what `arguments.read` raises."""
    from sixtyfold.arguments import read

    return read(name, spec, arguments).spec


def spec_class(command: Command) -> type[Spec]:
    """Import the spec of a command."""
    found: type[Spec] = imported(command.spec)  # type: ignore[assignment]
    return found


def imported(where: str) -> Callable[..., Any]:
    """Import `module:name`."""
    module, name = where.split(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
