"""What follows from a study: its comparisons, each with its rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from sixtyfold.reporting.advice import EXPLAINED, Effect, Rule, advise
from sixtyfold.reporting.page import Section
from sixtyfold.reporting.study_results import StudyResults
from sixtyfold.reporting.study_ways import LABELS, Way
from sixtyfold.reporting.study_words import NATURAL, way_words
from sixtyfold.reporting.untrusted import visible
from sixtyfold.workflows.console import DOMAIN_WORDS

ALL_TOGETHER = (
    "Compared were: the largest with the smallest number of examples of every kind of training "
    "set, every level with training facts as they come at the largest size both have, the training "
    "that did best on dev with the untuned model, and restoring by relative change with no repair. "
    "What is marked 'one seed' holds for those very trainings: another seed may differ by more."
)


def what_next(study: StudyResults, repairs: pl.DataFrame) -> Section:
    """What to do next, as far as the comparisons of a study carry it.

    Args:
        study: the study.
        repairs: the arms that `read_repairs` returned.
    """
    title = "What to do next"
    effects = [*_sizes(study), *_levels(study), *_tuned(study), *_repairs(repairs)]
    if not effects:
        missing = (
            "This study compares nothing: one size, no levels, no answers of the untuned model and "
            "no searches of several seeds."
        )
        return Section("next", title, missing=missing)
    return Section("next", title, [EXPLAINED, ALL_TOGETHER], points=advise(effects))


def _sizes(study: StudyResults) -> Iterator[Effect]:
    """The largest against the smallest training set of every kind."""
    for ways in _alike(study, "size"):
        small, large = ways[0], ways[-1]
        if small.examples == large.examples:
            continue
        few, many = f"{small.examples:,.0f}", f"{large.examples:,.0f}"
        rule = Rule(
            f"{many} over {few} examples",
            f"train on {many} examples rather than {few}.",
            f"train on {few} examples: {many} do worse.",
        )
        kind = way_words(study, small.labels, without=("size",))
        yield from _both_domains(study, large, small, rule, kind)


def _levels(study: StudyResults) -> Iterator[Effect]:
    """Every level against facts as they come, at the largest size both have."""
    for ways in _alike(study, "size", "levels"):
        natural = {way.labels["size"]: way for way in ways if way.labels["levels"] == NATURAL}
        largest = {
            way.labels["levels"]: way
            for way in ways  # smallest first, so the largest stays
            if way.labels["size"] in natural and way.labels["levels"] != NATURAL
        }
        for level, way in largest.items():
            rule = Rule(
                f"level {level} over natural training facts",
                f"prefer training facts of level {level} ('sixtyfold select --levels {level}').",
                f"do not train on facts of level {level} alone.",
            )
            kind = way_words(study, way.labels, without=("levels",))
            yield from _both_domains(study, way, natural[way.labels["size"]], rule, kind)


def _tuned(study: StudyResults) -> Iterator[Effect]:
    """The training that did best on dev, against the untuned model."""
    models = dict.fromkeys(way.labels["model"] for way in study.ways)
    for model in models:
        named = f" {visible(model)}" if len(models) > 1 else ""
        known = [way for way in study.ways if way.labels["model"] == model and way.dev is not None]
        if not known or study.gains.is_empty():
            continue
        best = max(known, key=lambda way: way.dev or 0.0)
        words = way_words(study, best.labels)
        rows = study.gains.filter(
            pl.all_horizontal(pl.col(name) == best.labels[name] for name in LABELS),
            pl.col("over") == "relations",
        )
        for row in rows.to_dicts():
            rule = Rule(
                f"best on dev ({words}) over the untuned model",
                f"tune, as in {words}: it beats the untuned model with its best prompt.",
                f"do not tune{named}: the untuned model with its best prompt does better.",
            )
            yield _effect(rule, row, seeds=len(best.test))


def _repairs(repairs: pl.DataFrame) -> Iterator[Effect]:
    """Restoring by relative change against no repair, for every training."""
    if repairs.is_empty():
        return
    wanted = repairs.filter((pl.col("arm") == "relative") & (pl.col("reference") == "tuned"))
    several = wanted["search"].n_unique() > 1
    rule = Rule(
        "restored by relative change over tuned",
        "put weights back after tuning ('sixtyfold search').",
        "leave the tuned weights as they are: putting them back costs answers.",
    )
    for row in wanted.to_dicts():
        kind = ", ".join([row["trained on"], *([row["search"]] if several else [])])
        yield _effect(rule, {**row, "value": row["difference"]}, kind)


def _both_domains(
    study: StudyResults, after: Way, before: Way, rule: Rule, kind: str
) -> Iterator[Effect]:
    seeds = len(after.test.keys() & before.test.keys())
    for row in study.compared(after, before):
        if row["over"] == "relations":
            yield _effect(rule, row, kind, seeds)


def _effect(rule: Rule, row: dict[str, Any], kind: str = "", seeds: int = 2) -> Effect:
    """Return the effect of one domain and kind of training, its sentences said of that domain."""
    where = DOMAIN_WORDS[row["domain"]]
    here = f"{where[0].upper()}{where[1:]}"
    about = f"{rule.about} ({kind}), {where}" if kind else f"{rule.about}, {where}"
    about += ", one seed" if seeds == 1 else ""
    said = Rule(about, f"{here}: {rule.above}", f"{here}: {rule.below}")
    return Effect(said, row["value"], row["low"], row["high"], row["p"], of=kind)


def _alike(study: StudyResults, *vary: str) -> Iterator[Sequence[Way]]:
    """Yield the ways that differ in some labels alone, smallest first; not groups of one."""
    groups: dict[tuple[str, ...], list[Way]] = {}
    for way in study.ways:
        key = tuple(way.labels[name] for name in LABELS if name not in vary)
        groups.setdefault(key, []).append(way)
    for ways in groups.values():
        if len(ways) > 1:
            yield sorted(ways, key=lambda way: way.examples)
