"""Make the reference that probe estimators are judged by: many plain draws of every prompt.

    python benchmarks/probe_reference.py --entityquestions DIR --out benchmarks/data

Facts are those of `data/probe_reference_facts.csv`: atlas and EntityQuestions facts, picked by the
level that a probe with another seed (11) gave them, so that each level of the embedded model has 20
or more. For each of their 21 templates:

  draws 0..49     plain, the reference itself: never used to score anything
  draws 50..61    plain, what a run of the papers' protocol takes its 10 draws from
  draws 100..107  of the survival estimator; no random number is shared with the plain ones

One part per fact and kind, so a killed run continues; about 30,000 sampled tokens a fact.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

from sixtyfold.core.progress import progress
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.probe.paths import ClozePrompt
from sixtyfold.stages.probe.prompts import cloze_prompts, relation_templates
from sixtyfold.stages.probe.sampling import Estimate, Sampling, sample_prompts
from sixtyfold.stages.probe.spec import ProbeSpec

HERE = Path(__file__).parent / "data"
REFERENCE, POOL = 50, 12
SURVIVAL = range(100, 108)
AT_ONCE = 31  # draws of 21 prompts: 651 rows
SEED = 0


def prompts_of(source: str, wanted: list[str], engine: TorchEngine) -> dict[str, list[ClozePrompt]]:
    """Return the 21 cloze prompts of each wanted fact."""
    spec = ProbeSpec(out=Path())
    read = open_facts(source)
    facts = read.facts.filter(pl.col("fact_id").is_in(wanted))
    templates = relation_templates(facts, read.templates, None)
    found: dict[str, list[ClozePrompt]] = {}
    for prompt in cloze_prompts(facts, templates, engine.tokenizer, engine.vocabulary, spec):
        found.setdefault(prompt.fact_id, []).append(prompt)
    return found


def plain(engine: TorchEngine, prompts: list[ClozePrompt]) -> pl.DataFrame:
    """Make the plain draws of one fact."""
    hits: list[list[float]] = [[] for _ in prompts]
    drawn = [0] * len(prompts)
    for start in range(0, REFERENCE + POOL, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, REFERENCE + POOL))
        for place, each in enumerate(draw(engine, prompts, "draws", numbers)):
            hits[place] += each.values
            drawn[place] += sum(each.drawn)
    return pl.DataFrame(
        {
            **_key(prompts),
            "reference_hits": pl.Series([int(sum(v[:REFERENCE])) for v in hits], dtype=pl.Int16),
            "pool": pl.Series(
                [[int(x) for x in v[REFERENCE:]] for v in hits], dtype=pl.List(pl.UInt8)
            ),
            "tokens_plain": pl.Series(drawn, dtype=pl.Int32),
        }
    )


def survival(engine: TorchEngine, prompts: list[ClozePrompt]) -> pl.DataFrame:
    """Make the survival draws of one fact."""
    found = draw(engine, prompts, "survival", SURVIVAL)
    return pl.DataFrame(
        {
            **_key(prompts),
            "first_prob": pl.Series([each.first_prob for each in found], dtype=pl.Float32),
            "values": pl.Series([each.values for each in found], dtype=pl.List(pl.Float32)),
            "tokens_prompt": pl.Series([len(each.ids) for each in prompts], dtype=pl.Int16),
            "tokens_looked": pl.Series([each.looked for each in found], dtype=pl.Int32),
            "tokens_scored": pl.Series([each.tokens_scored for each in found], dtype=pl.Int32),
            "tokens_survival": pl.Series([sum(each.drawn) for each in found], dtype=pl.Int32),
        }
    )


def _key(prompts: list[ClozePrompt]) -> dict[str, pl.Series]:
    return {
        "fact_id": pl.Series([each.fact_id for each in prompts]),
        "template_id": pl.Series([each.template_id for each in prompts], dtype=pl.Int16),
    }


def draw(
    engine: TorchEngine, prompts: list[ClozePrompt], estimator: str, numbers: range
) -> list[Estimate]:
    """Make the same draws of every prompt."""
    how = Sampling(estimator, max_new_tokens=32, temperature=0.7, seed=SEED)
    return sample_prompts(engine, prompts, [numbers] * len(prompts), how)


def main() -> None:
    """Make what is missing, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entityquestions", required=True, help="directory of the data")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--parts", type=Path, default=Path("runs/probe_reference"))
    options = parser.parse_args()
    options.parts.mkdir(parents=True, exist_ok=True)
    engine = TorchEngine.load("embedded", ProbeSpec(out=Path()))
    listed = pl.read_csv(HERE / "probe_reference_facts.csv")
    places = {
        "atlas": "atlas",
        "entityquestions": f"entityquestions:{options.entityquestions}",
    }
    prompts = {
        source: prompts_of(place, listed.filter(source=source)["fact_id"].to_list(), engine)
        for source, place in places.items()
    }
    made = {}
    for name, make in (("plain", plain), ("survival", survival)):
        for source, fact in progress(list(listed.iter_rows()), name, listed.height):
            part = options.parts / f"{name}-{fact}.parquet"
            if not part.is_file():
                make(engine, prompts[source][fact]).write_parquet(part.with_suffix(".partial"))
                part.with_suffix(".partial").replace(part)
        made[name] = pl.concat(
            pl.read_parquet(options.parts / f"{name}-{fact}.parquet") for fact in listed["fact_id"]
        )
    key = ["fact_id", "template_id"]
    table = made["plain"].join(made["survival"], on=key).join(listed, on="fact_id").sort(key)
    table.write_parquet(options.out / "probe_reference.parquet", compression="zstd")
    print(f"{listed.height} facts, {table.height} prompts, {table['tokens_plain'].sum()} tokens")


if __name__ == "__main__":
    main()
