"""Which facts a search asks, and in which order, so that every first part is like the whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.models import load_tokenizer
from sixtyfold.core.stage import finished
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.evaluate.answer import answer_facts, question_prompts, with_levels
from sixtyfold.workflows.search_spec import SearchSpec

if TYPE_CHECKING:
    from sixtyfold.engines.torch_engine import TorchEngine


class FactQuestions(NamedTuple):
    """The facts of a search, with levels where a probe is given."""

    dev: pl.DataFrame
    """In-domain facts to judge on, in the order in which the rounds ask them."""
    test: pl.DataFrame
    """Facts of both domains to report on, by key; none without a test."""
    inputs: dict[str, str]
    """Fingerprints of what was read."""
    spec: SearchSpec

    def ask(self, engine: TorchEngine, rows: pl.DataFrame) -> pl.DataFrame:
        """Answer the questions of some rows with a loaded model; sorted by key."""
        spec = self.spec
        return answer_facts(engine, rows, spec, spec.match, spec.max_new_tokens, spec.batch)

    def prompt_tokens(self, model: Path) -> float:
        """Return the mean length of a prompt."""
        prompts = question_prompts(self.dev, load_tokenizer(model), self.spec, {})
        return sum(map(len, prompts)) / len(prompts)


def read_facts(spec: SearchSpec) -> FactQuestions:
    """Read the facts of a search.

    Raises:
        BadInput: there are no facts to judge on or to test on, or none of level 4 where the choice
            is about them.
        IncompleteInput: the probe is not finished.
    """
    source = open_facts(spec.facts)
    inputs = {"facts": source.fingerprint}
    levels = None
    if spec.probe is not None:
        probe = finished(spec.probe, "probe")
        levels, inputs["probe"] = probe.table("probe"), probe.fingerprint
    dev = balanced(with_levels(dev_facts(source.facts, spec), levels), spec.seed)
    if spec.about_level_4 and dev.filter(pl.col("level") == LEVELS[-1]).is_empty():
        raise BadInput(
            f"{spec.probe} found no {spec.split} fact of level {LEVELS[-1]}, which the choice is "
            f"about; probe with --splits {spec.split}, or choose by --objective accuracy alone"
        )
    test = source.facts.clear()
    if spec.test:
        test = source.facts.filter(pl.col("split") == "test")
        if test.is_empty():
            raise BadInput(
                f"{spec.facts} holds no test fact to report on; give facts with a test split or "
                "leave the test out with --no-test"
            )
    test = with_levels(first_of(test, spec.test_limit, spec.seed), levels)
    return FactQuestions(dev, test.sort("fact_id"), inputs, spec)


def dev_facts(facts: pl.DataFrame, spec: SearchSpec) -> pl.DataFrame:
    """Return the in-domain facts to judge on.

    Raises:
        BadInput: there are none.
    """
    rows = facts.filter((pl.col("split") == spec.split) & (pl.col("domain") == "in"))
    if rows.is_empty():
        raise BadInput(f"--split {spec.split} holds no in-domain fact to judge repairs on")
    return first_of(rows, spec.limit, spec.seed)


def first_of(rows: pl.DataFrame, limit: int | None, seed: int) -> pl.DataFrame:
    """Return the first rows of a seeded shuffle by `fact_id`; all as they are without a limit."""
    if limit is None:
        return rows
    return rows[seeded_order(rows["fact_id"].to_list(), seed)[:limit]]


def balanced(facts: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return the facts in an order whose every first part has the whole's mix.

    Within each relation and level the order is a seeded shuffle; the strata are then dealt out in
    proportion to their sizes.

    >>> rows = pl.DataFrame({"fact_id": list("abcdef"), "relation": list("rrrrss"),
    ...                      "level": [None] * 6}, schema_overrides={"level": pl.Int8})
    >>> balanced(rows, 0)["relation"].head(3).to_list()
    ['r', 's', 'r']
    """
    shuffled = facts[seeded_order(facts["fact_id"].to_list(), seed)]
    stratum = ["relation", "level"]
    place = (pl.int_range(pl.len()).over(stratum) + 0.5) / pl.len().over(stratum)
    return shuffled.with_columns(_place=place).sort("_place", maintain_order=True).drop("_place")
