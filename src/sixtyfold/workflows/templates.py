"""How well each cloze template brings out what a model knows.

A template that a model cannot continue with the answer lowers the recall of every fact of its
relation and says nothing about the facts. Measured on training facts, by the probe itself.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from scipy import stats

from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import model_directory, model_fingerprint
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.core.templates import overlap, template_table
from sixtyfold.sources.build import build, per_relation
from sixtyfold.sources.open import FactSet, open_facts
from sixtyfold.sources.relations import question_templates
from sixtyfold.sources.spec import FactsBuildSpec
from sixtyfold.stages.probe.run import run as probe
from sixtyfold.stages.probe.spec import ProbeSpec
from sixtyfold.workflows.templates_spec import FactsTemplatesSpec

#: A template below this share of its relation's best is called weak.
WEAK = 1 / 3
#: A relation is known where the best template's recall is surely above this, or, with a pilot,
#: where so many of the facts that were asked were answered with at least this probability.
KNOWN = 0.02
KNOWN_FACTS = 5
_PILOT_TOKENS = 6
#: Templates that share more of their words than this are one template twice.
SAME = 0.6


class Mean(NamedTuple):
    """Mean recall over facts with its 95% interval (Student's t over facts), in [0, 1]."""

    value: float
    low: float
    high: float


def run(spec: FactsTemplatesSpec) -> Finished:
    """Measure every template of a fact set.

    Returns:
        the stage with the table `template_recall`: relation, template_id, text, facts, recall, low,
        high (over facts), share_of_best, nearest (largest word overlap with an earlier template
        of the relation), verdict (good, weak, doubled, or unknown relation).

    Raises:
        BadInput: the facts or the model are not there, or the split is empty.
    """
    source = _opened(spec)
    directory = model_directory(spec.model, spec.revision)
    inputs = {"model": model_fingerprint(directory), "facts": source.fingerprint}
    with open_stage("facts-templates", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "facts-templates")
        sample = build(_sample(spec))
        if spec.pilot:
            sample = known_facts(sample, spec)
        probed = probe(_probe_spec(spec, sample.path))
        facts, templates = (sample.table(name) for name in ("facts", "templates"))
        unknown = set(sample.manifest.get("unknown_relations", ()))
        table = measured(probed.table("probe_prompts"), facts, templates, unknown)
        stage.write_table("template_recall", table)
        return stage.finish({"template_recall": table.height}, protocol=probed.manifest["protocol"])


def plan(spec: FactsTemplatesSpec) -> dict[str, Any]:
    """Return how much would be measured, writing nothing.

    Raises:
        BadInput: the facts are not there, or the split is empty.
    """
    source = _opened(spec)
    split = source.facts.filter(pl.col("split") == spec.split)
    facts = per_relation(split, spec.per_relation, 0)
    counts = (
        facts.group_by("relation")
        .len()
        .join(source.templates.group_by("relation").len("templates"), on="relation")
    )
    prompts = int((counts["len"] * counts["templates"]).sum())
    asked = per_relation(split, max(spec.per_relation, spec.pilot), 0) if spec.pilot else split[:0]
    first = {"prompts_of_the_pilot": asked.height * len(pilot_templates())} if spec.pilot else {}
    return {"relations": counts.height, "facts": facts.height, **first, "prompts": prompts}


def _opened(spec: FactsTemplatesSpec) -> FactSet:
    """Open the facts and refuse a split without any."""
    source = open_facts(spec.facts, spec.read_options())
    if source.facts.filter(pl.col("split") == spec.split).is_empty():
        other = "dev" if spec.split == "train" else "train"
        raise BadInput(f"{spec.facts} has no {spec.split} fact; give --split {other} or more facts")
    return source


def _sample(spec: FactsTemplatesSpec) -> FactsBuildSpec:
    return FactsBuildSpec(
        out=spec.out / ("candidates" if spec.pilot else "facts"),
        facts=spec.facts,
        per_relation=max(spec.per_relation, spec.pilot),
        seed=spec.seed,
        **spec.read_options().model_dump(),
    )


def known_facts(candidates: Finished, spec: FactsTemplatesSpec) -> Finished:
    """Write the candidates that the model answers best when it is asked.

    They are asked through questions with worked examples, not through the templates that are
    measured, so that no template is favoured by the choice.
    """
    facts = candidates.table("facts").filter(split=spec.split)
    asked = template_table(dict.fromkeys(facts["relation"].unique(), pilot_templates()))
    inputs = {"facts": candidates.fingerprint}
    with open_stage("facts", StageSpec(out=spec.out / "asked"), inputs) as stage:
        stage.write_table("facts", facts)
        stage.write_table("templates", asked)
        stage.finish({"facts": facts.height, "templates": asked.height})
    pilot = _probe_spec(spec, spec.out / "asked").model_copy(
        update={"out": spec.out / "pilot", "draws": 1, "max_new_tokens": _PILOT_TOKENS}
    )
    recall = probe(pilot).table("probe").select("fact_id", "recall")
    ranked = facts.join(recall, on="fact_id").sort(["recall", "fact_id"], descending=[True, False])
    known = ranked.group_by("relation").agg((pl.col("recall") >= KNOWN).sum())
    unknown = known.filter(pl.col("recall") < KNOWN_FACTS)["relation"].sort().to_list()
    turn = pl.int_range(pl.len()).over("relation")
    chosen = ranked.filter(turn < spec.per_relation).drop("recall").sort("fact_id")
    with open_stage("facts", StageSpec(out=spec.out / "facts"), inputs) as stage:
        if stage.complete:
            return finished(stage.path, "facts")
        stage.write_table("facts", chosen)
        templates = stage.write_table("templates", candidates.table("templates"))
        rows = {"facts": chosen.height, "templates": templates.height}
        return stage.finish(rows, unknown_relations=unknown)


def pilot_templates() -> list[str]:
    """Return the question forms with worked examples: they bring out most."""
    return [text for text in question_templates() if text.count("?") > 1]


def _probe_spec(spec: FactsTemplatesSpec, facts: Path) -> ProbeSpec:
    return ProbeSpec(
        out=spec.out / "probe",
        model=spec.model,
        facts=str(facts),
        splits=spec.split,
        match=spec.match,
        draws=spec.draws,
        max_new_tokens=spec.max_new_tokens,
        batch=spec.batch,
        seed=spec.seed,
        **spec.options().model_dump(),
    )


def measured(
    prompts: pl.DataFrame,
    facts: pl.DataFrame,
    templates: pl.DataFrame,
    unknown: Collection[str] = (),
) -> pl.DataFrame:
    """Return recall and verdict of every template.

    Args:
        prompts: the probe's table `probe_prompts`.
        facts: facts with `relation`.
        templates: a table of `TEMPLATES_SCHEMA`.
        unknown: relations of which the model knows too little to judge a template.
    """
    joined = prompts.join(facts.select("fact_id", "relation"), on="fact_id")
    rows = []
    for (relation,), group in joined.group_by("relation", maintain_order=True):
        texts = templates.filter(pl.col("relation") == relation).sort("template_id")
        means = {
            number: mean_recall(group.filter(pl.col("template_id") == number)["recall_hat"])
            for number in texts["template_id"]
        }
        top = max(means.values())
        best, known = top.value, relation not in unknown and top.low > KNOWN
        earlier: list[str] = []
        for number, text in texts.select("template_id", "text").iter_rows():
            nearest = max((overlap(text, other) for other in earlier), default=0.0)
            earlier.append(text)
            mean = means[number]
            rows.append(
                {
                    "relation": relation,
                    "template_id": number,
                    "text": text,
                    "facts": group["fact_id"].n_unique(),
                    "recall": mean.value,
                    "low": mean.low,
                    "high": mean.high,
                    "share_of_best": mean.value / best if best else 0.0,
                    "nearest": nearest,
                    "verdict": _verdict(mean.value, best if known else None, nearest),
                }
            )
    return pl.DataFrame(rows).sort("relation", "template_id")


def mean_recall(values: pl.Series) -> Mean:
    """Return the mean of per-fact recalls with Student's interval, cut to [0, 1].

    >>> mean_recall(pl.Series([0.5, 0.5, 0.5]))
    Mean(value=0.5, low=0.5, high=0.5)
    """
    value = float(values.mean() or 0.0)  # type: ignore[arg-type]
    n = len(values)
    error = float(values.std() or 0.0) / n**0.5  # type: ignore[arg-type]
    half = float(stats.t.ppf(0.975, n - 1)) * error if n > 1 else 1.0
    return Mean(value, max(0.0, value - half), min(1.0, value + half))


def _verdict(recall: float, best: float | None, nearest: float) -> str:
    if nearest > SAME:
        return "doubled"
    if best is None:
        return "unknown relation"
    return "good" if recall >= WEAK * best else "weak"
