"""The README of a tuned checkpoint: what it was trained on, and how."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sixtyfold.core.atomic_files import read_json
from sixtyfold.core.model_card import (
    Card,
    Section,
    code,
    fenced,
    licence_words,
    listed,
    loading,
    not_measured,
    origin_words,
    table,
    versions,
    write_card,
)
from sixtyfold.core.model_origin import Origin
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.repeatable_command import command, place
from sixtyfold.core.stage import Finished
from sixtyfold.stages.tune.spec import TuneSpec

_MOST_RELATIONS = 40
_HUB = "hub:"
_LEVELS = (
    "A level says how often the base completed a fact before training: 0 never, 4 nearly always."
)


def write_tuned_card(
    folder: Path,
    spec: TuneSpec,
    base: Origin,
    selection: Finished,
    report: Mapping[str, Any],
) -> None:
    """Write the README of a tuned checkpoint.

    Args:
        folder: the checkpoint's.
        spec: how it was tuned.
        base: what it was tuned from.
        selection: what it was tuned on.
        report: what `training.json` holds.
    """
    prompt = PromptOptions(prompt_form=spec.prompt_form, system_prompt=spec.system_prompt)
    method = "All weights were trained."
    if spec.lora_rank is not None:
        method = f"A LoRA of rank {spec.lora_rank} was trained and merged."
    source = _source(selection)
    about = (
        f"Fine-tuned with sixtyfold from {origin_words(base)} to answer questions about facts. "
        f"{method}"
    )
    write_card(
        folder,
        Card(
            title=f"{code(base.name)} tuned on {selection.manifest['rows']['selection']} examples",
            about=[about, licence_words([base])],
            origins=[base],
            tags=["sft"],
            sections=[
                Section("Training data", _receipt(selection)),
                Section("Training", _training(spec, report)),
                not_measured("sixtyfold evaluate --model . --facts FACTS --split test --out OUT"),
                Section("How to load", loading(prompt, trust_remote_code=spec.trust_remote_code)),
                Section("How to repeat", _repeat(spec, selection)),
            ],
            datasets=[source.removeprefix(_HUB).split("@")[0]] if source.startswith(_HUB) else [],
        ),
    )


def write_adapter_card(folder: Path, spec: TuneSpec, base: Origin) -> None:
    """Write the README of the LoRA that is kept beside the merged model."""
    # The weights of a local model are not those of the model on the hub that it comes from.
    where = base.name if base.name == base.hub_id else "BASE"
    words = [] if where == base.name else ["BASE is the directory of the model named above."]
    loaded = [
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM",
        "",
        f"base = AutoModelForCausalLM.from_pretrained({where!r})",
        'model = PeftModel.from_pretrained(base, ".")  # this directory',
    ]
    about = f"A LoRA of rank {spec.lora_rank} for {origin_words(base)}, trained with sixtyfold."
    more = "What it was trained on stands in the card of the merged model, one directory above."
    write_card(
        folder,
        Card(
            title=f"LoRA for {code(base.name)}",
            about=[about, more, licence_words([base])],
            origins=[base],
            tags=["sft", "lora"],
            sections=[Section("How to load", [*words, fenced("python", "\n".join(loaded))])],
            is_adapter=True,
        ),
    )


def _receipt(selection: Finished) -> list[str]:
    """Say what was trained on: the receipt of the selection, where it has one."""
    examples = selection.manifest["rows"]["selection"]
    facts = selection.manifest["inputs"].get("facts", "unknown")
    told = [
        f"{examples} examples, fingerprint of the selection {code(selection.fingerprint)}",
        f"facts: {code(_source(selection))}, fingerprint {code(facts)}",
    ]
    path = selection.path / "receipt.json"
    if not path.is_file():
        return [listed(told)]
    receipt = read_json(path)
    levels, dropped = code(str(receipt["levels"])), receipt["dropped"]["by_reason"]
    pool = f"chosen from a pool of {receipt['pool']:,} training facts"
    told += [
        f"{pool}: levels {levels}, seed {receipt['seed']}",
        f"left out of the pool: {sum(dropped.values()):,}",
    ]
    if receipt["relabelled"]:
        told.append(f"{receipt['relabelled']} examples of level 0 teach that it is not known")
    shared = receipt["leaks"]
    told.append(
        f"checked against {shared['held_out_facts_checked']:,} dev and test facts: "
        f"{shared['facts_shared']} facts and {shared['questions_shared']} questions shared"
    )
    crossed = _crossed(receipt["per_level_and_relation"])
    if any("level " in each for each in crossed):
        crossed.append(_LEVELS)
    return [listed(told), *crossed]


def _source(selection: Finished) -> str:
    """Return where the facts came from, without the places of files."""
    reference = str(selection.manifest["spec"].get("facts", ""))
    built = Path(reference) / "manifest.json"
    if built.is_file():  # a directory that 'sixtyfold facts build' wrote
        reference = str(read_json(built)["spec"].get("facts", ""))
    if reference == "atlas" or reference.startswith(_HUB):
        return reference
    kind, colon, _ = reference.partition(":")
    return kind if colon else "a fact set of one's own"


def _crossed(counts: list[dict[str, Any]]) -> list[str]:
    """Return the examples by relation and level as a table."""
    by_relation: dict[str, dict[str, int]] = defaultdict(dict)
    for row in counts:
        by_relation[row["relation"]][str(row["level"])] = row["len"]
    levels = sorted({level for row in by_relation.values() for level in row})
    headings = [f"level {each}" if each != "None" else "examples" for each in levels]
    rows = [
        [code(relation), *(str(row.get(level, 0)) for level in levels)]
        for relation, row in sorted(by_relation.items())[:_MOST_RELATIONS]
    ]
    more = len(by_relation) - len(rows)
    rest = [f"and {more} more relations"] if more else []
    return [table(["relation", *headings], rows), *rest]


def _training(spec: TuneSpec, report: Mapping[str, Any]) -> list[str]:
    steps = f"{report['steps']} steps of {spec.recipe.batch} examples"
    if report["weights_of_step"] != report["steps"]:
        steps += f" (the weights are those after step {report['weights_of_step']})"
    seen = f"{report['examples']} examples seen, {report['target_tokens']} tokens learned"
    rate = f"AdamW, peak learning rate {spec.learning_rate:g}, cosine decay to 0"
    told = [
        f"{steps}; {seen}: those of the answer and its end alone",
        f"{rate}, {spec.warmup_steps} steps of warm-up; seed {spec.seed}",
        f"prompt form {code(spec.prompt_form)}",
    ]
    return [listed(told)]


def _repeat(spec: TuneSpec, selection: Finished) -> list[str]:
    chosen = {**selection.manifest["spec"]}
    if chosen.get("probe") is None:  # levels are chosen by what a probe found
        chosen.pop("levels", None)
    facts = place(str(chosen.get("facts", "")), "FACTS")
    places = {"facts": facts, "probe": "PROBE", "selection": "SELECTION"}
    commands = [
        command("select", chosen, {**places, "out": "SELECTION"}),
        command(
            "tune", spec.recorded(), {"model": place(spec.model, "BASE"), **places, "out": "OUT"}
        ),
    ]
    return [
        "Words in capitals stand for places of your own; BASE is the model named at the top.",
        fenced("bash", "\n".join(commands)),
        f"{versions()} `manifest.json` holds all settings, `training.json` every step.",
    ]
