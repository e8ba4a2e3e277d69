"""A catalogue of a directory that `sixtyfold run` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sixtyfold.core.errors import IncompleteInput
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.stage import finished
from sixtyfold.explorer.catalogue import BASE, Askable, Catalogue, FactSet, Probe, Run
from sixtyfold.explorer.words import protocol_of

_LABELS = {
    "base": "base, asked plainly",
    "base-fewshot": "base, 4 worked examples",
    "base-chat": "base, chat template",
    "tuned": "tuned",
    "restored": "restored",
}
_FACTS = "facts"
_PROBE = "probe"


def catalogue_of_run(run: Path) -> Catalogue:
    """Return what a run directory holds.

    Raises:
        IncompleteInput: it holds no finished answers.
        Corrupted: a manifest is not readable.
    """
    facts = _facts(run)
    probes = _probes(run)
    runs = {each.name: each for each in _runs(run, bool(facts), bool(probes))}
    if not runs:
        raise IncompleteInput(
            f"{run} holds no finished answers; give a directory that 'sixtyfold run' wrote, "
            "or a store with --store"
        )
    return Catalogue(str(run), runs, facts, probes, _models(run))


def _runs(run: Path, has_facts: bool, has_probe: bool) -> list[Run]:
    from sixtyfold.workflows.summary import PROMPTS, best_prompt  # statistics: slow to import

    found = []
    best = best_prompt(run)
    for folder in sorted((run / "answers").glob("*")):
        if not (folder / "manifest.json").is_file():
            continue
        result = finished(folder, "evaluate")
        name, _, split = folder.name.rpartition("-")
        rank = list(_LABELS).index(name) if name in _LABELS else len(_LABELS)
        found.append(
            Run(
                name=folder.name,
                label=f"{_LABELS.get(name, name)} · {split}",
                group="",
                order=(rank, name, split),
                split=split,
                path=result.path / "answers.parquet",
                facts=_FACTS if has_facts else None,
                probe=_PROBE if has_probe else None,
                model="base" if name in PROMPTS.values() else name,
                is_base=name in PROMPTS.values(),
                base=f"{PROMPTS[best]}-{split}" if best else None,
                recorded=(folder / "manifest.json").stat().st_mtime,
            )
        )
    return found


def _facts(run: Path) -> dict[str, FactSet]:
    if not (run / "facts" / "manifest.json").is_file():
        return {}
    templates = run / "facts" / "templates.parquet"
    there = templates if templates.is_file() else None
    return {_FACTS: FactSet(run / "facts" / "facts.parquet", there)}


def _probes(run: Path) -> dict[str, Probe]:
    if not (run / "probe" / "manifest.json").is_file():
        return {}
    result = finished(run / "probe")
    prompts = run / "probe" / "probe_prompts.parquet"
    there = prompts if prompts.is_file() else None
    protocol = protocol_of(result.manifest["spec"])
    return {_PROBE: Probe("base", run / "probe" / "probe.parquet", there, protocol)}


def _models(run: Path) -> dict[str, Askable]:
    found = {}
    options = _base_spec(run)
    if options is not None:
        found["base"] = Askable("base", str(options["model"]), model_options(options))
    for name in ("tuned", "restored"):
        if (run / name / "manifest.json").is_file():
            of = "tuned" if name == "restored" else None
            found[name] = Askable(
                name, str(run / name), model_options(options or {}), restored_of=of
            )
        elif (run / "answers" / f"{name}-test").is_dir():
            missing = f"{run / name} is not there any more; 'sixtyfold run' makes it again"
            found[name] = Askable(name, str(run / name), ModelOptions(), missing)
    return found


def _base_spec(run: Path) -> dict[str, Any] | None:
    for name in _LABELS:
        for split in ("test", "dev"):
            manifest = run / "answers" / f"{name}-{split}" / "manifest.json"
            if name.startswith(BASE) and manifest.is_file():
                return dict(finished(manifest.parent).manifest["spec"])
    return None


def model_options(spec: dict[str, Any]) -> ModelOptions:
    """Return the options with which a recorded stage loaded its model."""
    known = {name: spec[name] for name in ModelOptions.model_fields if name in spec}
    return ModelOptions.parse(known)
