"""The command line: one subcommand = one spec in, run, print.

Specs and stages are imported when their command is called, so that `--help` answers at once.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sixtyfold.core.allocator import keep_freed_memory
from sixtyfold.core.errors import BadInput, SixtyfoldError, suggestion
from sixtyfold.core.spec import Spec

_REFUSED = re.compile(
    r"validation errors? for \w+ (?!Value error)(\w+) (?:Value error, )?(.*?) "
    r"\[type=\w+, input_value=(.*?), input_type"
)
_REFUSED_TOGETHER = re.compile(r"validation errors? for \w+ Value error, (.*?) \[type=")


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
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are printed as one line."""
    try:
        return _dispatch(list(arguments))
    except SixtyfoldError as error:
        if error.exit_code > 1 and not _speaks():  # bad input is the same in all processes
            return error.exit_code
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("stopped; what is finished is kept, the same command continues", 130)
    except OSError as error:
        if error.errno is None or os.environ.get("SIXTYFOLD_TRACEBACK"):
            raise
        where = f" {error.filename}" if error.filename else ""
        return _complain(
            f"cannot read or write{where}: {error.strerror}; "
            "what is finished is kept, mend this and give the same command again",
            1,
        )


def _speaks() -> bool:
    """Whether this process talks to the user: of several of a launcher, the first of a machine."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _complain(message: str, code: int) -> int:
    if os.environ.get("SIXTYFOLD_TRACEBACK") and sys.exc_info()[0] is not None:
        raise  # noqa: PLE0704 - re-raises the error being handled
    sys.stderr.write(f"sixtyfold: {' '.join(message.split())}\n")
    return code


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        sys.stdout.write(_overview())
        return 0
    if arguments[0] in {"-V", "--version"}:
        from sixtyfold import __version__

        sys.stdout.write(f"sixtyfold {__version__}\n")
        return 0
    name, rest = _find(arguments)
    command = COMMANDS[name]
    as_json = "--json" in rest
    rest = [each for each in rest if each != "--json"]
    spec = parse(name, spec_class(command), rest)
    if getattr(spec, "plan", False):
        module = command.function.split(":")[0]
        result, show = imported(f"{module}:plan")(spec), imported("sixtyfold.console:show_plan")
    else:
        result, show = imported(command.function)(spec), imported(command.show)
    value = show(result, spec, silent=as_json or not _speaks())
    if as_json and _speaks():
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
    return 0


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
            sys.stdout.write("".join(f"  {n:<16} {COMMANDS[n].about}\n" for n in group))
            sys.exit(0)
        raise BadInput(f"'{two}' is no command; allowed: {', '.join(group)}")
    raise BadInput(
        f"'{arguments[0]}' is no command{suggestion(arguments[0], COMMANDS)}; "
        f"allowed: {', '.join(COMMANDS)}"
    )


def _overview() -> str:
    lines = "".join(f"  {name:<16} {command.about}\n" for name, command in COMMANDS.items())
    return (
        "sixtyfold COMMAND [options]\n\n"
        "Finds out what a language model knows, tunes it on the few examples that make it say so,\n"
        "shows what the tuning changed, and puts back what it broke.\n\n"
        f"{lines}\n"
        "Every command takes --help, --json (the result as JSON), and stages take --plan.\n"
        "Start with 'sixtyfold run'.\n"
    )


def parse(name: str, spec: type[Spec], arguments: list[str]) -> Spec:
    """Parse options into a spec.

    Raises:
        BadInput: an option is unknown, missing or has a value that is not allowed.
        SystemExit: after printing the help text.
    """
    import tyro
    from pydantic import ValidationError

    _refuse_unknown(name, spec, arguments)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                spec,
                args=arguments,
                prog=f"sixtyfold {name}",
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except ValidationError as error:
        raise BadInput(spec.explain(error)) from None
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise BadInput(f"{_one_line(printed.getvalue())} (see 'sixtyfold {name} --help')") from None


def _refuse_unknown(name: str, spec: type[Spec], arguments: list[str]) -> None:
    known = [f"--{field.replace('_', '-')}" for field in spec.model_fields]
    known += ["--json", "--help", "-h"]
    for argument in arguments:
        option = argument.split("=")[0].replace("_", "-")
        if option.startswith("--") and option not in known and not _is_flag_off(option, known):
            raise BadInput(
                f"unknown option '{argument}' for 'sixtyfold {name}'{suggestion(option, known)}; "
                f"allowed: {' '.join(known)}"
            )


def _is_flag_off(option: str, known: list[str]) -> bool:
    return option.startswith("--no-") and f"--{option.removeprefix('--no-')}" in known


def _one_line(text: str) -> str:
    """Return what tyro prints in a box as one line, without its headings and type names."""
    words = "".join(each if each.isprintable() and each not in "│─╭╮╰╯" else " " for each in text)
    line = " ".join(words.split())
    refused = _REFUSED.search(line)
    if refused:
        name, reason, given = refused.groups()
        return f"option --{name.replace('_', '-')} was given {given}: {reason}"
    together = _REFUSED_TOGETHER.search(line)
    if together:
        return together.group(1)
    for heading in ("Value error ", "Parsing error ", "Invalid choice ", "Missing argument "):
        line = line.removeprefix(heading)
    return line.split(". Got errors")[0].split(" For full")[0]


def spec_class(command: Command) -> type[Spec]:
    """Import the spec of a command."""
    found: type[Spec] = imported(command.spec)  # type: ignore[assignment]
    return found


def imported(where: str) -> Callable[..., Any]:
    """Import `module:name`."""
    module, name = where.split(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
