"""What commands there are: the spec and the function of each, and how its result is shown.

They are named here and imported when they are called, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sixtyfold.core.spec import Spec


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


def spec_class(command: Command) -> type[Spec]:
    """Import the spec of a command."""
    found: type[Spec] = imported(command.spec)  # type: ignore[assignment]
    return found


def imported(where: str) -> Callable[..., Any]:
    """Import `module:name`."""
    module, name = where.split(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
