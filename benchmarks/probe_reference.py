"""Make the reference that probe estimators are judged by: many plain draws of every prompt.

    python benchmarks/probe_reference.py --entityquestions DIR --out benchmarks/data

Facts are those of `data/probe_reference_facts.csv`: atlas and EntityQuestions, chosen so that each
level of the embedded model has 20 or more. For each of their 21 templates:

  draws 0..49    plain, the reference itself: never used to score anything
  draws 50..61   plain, what one run of the papers' protocol takes its 10 draws from
  12 draws       of the survival estimator, with random numbers of their own

One part per fact, so a killed run continues; about 30,000 sampled tokens a fact.
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
REFERENCE, POOL, SURVIVAL = 50, 12, 12
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


def measure(engine: TorchEngine, prompts: list[ClozePrompt], source: str) -> pl.DataFrame:
    """Draw everything for one fact."""
    plain: list[list[float]] = [[] for _ in prompts]
    drawn = [0] * len(prompts)
    for start in range(0, REFERENCE + POOL, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, REFERENCE + POOL))
        for place, each in enumerate(draw(engine, prompts, "draws", numbers)):
            plain[place] += each.values
            drawn[place] += sum(each.drawn)
    cheap = draw(engine, prompts, "survival", range(SURVIVAL))
    return pl.DataFrame(
        {
            "source": source,
            "fact_id": [each.fact_id for each in prompts],
            "template_id": pl.Series([each.template_id for each in prompts], dtype=pl.Int16),
            "reference_hits": pl.Series([int(sum(v[:REFERENCE])) for v in plain], dtype=pl.Int16),
            "pool": pl.Series(
                [[int(x) for x in v[REFERENCE:]] for v in plain], dtype=pl.List(pl.UInt8)
            ),
            "first_prob": pl.Series([each.first_prob for each in cheap], dtype=pl.Float32),
            "values": pl.Series([each.values for each in cheap], dtype=pl.List(pl.Float32)),
            "tokens_prompt": pl.Series([len(each.ids) for each in prompts], dtype=pl.Int16),
            "tokens_scored": pl.Series([each.tokens_scored for each in cheap], dtype=pl.Int32),
            "tokens_looked": pl.Series([each.looked for each in cheap], dtype=pl.Int32),
            "tokens_survival": pl.Series([sum(each.drawn) for each in cheap], dtype=pl.Int32),
            "tokens_plain": pl.Series(drawn, dtype=pl.Int32),
        }
    )


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
    for source, fact in progress(list(listed.iter_rows()), "facts", listed.height):
        part = options.parts / f"{fact}.parquet"
        if not part.is_file():
            rows = measure(engine, prompts[source][fact], source)
            rows.write_parquet(part.with_suffix(".partial"))
            part.with_suffix(".partial").replace(part)
    parts = [pl.read_parquet(options.parts / f"{fact}.parquet") for fact in listed["fact_id"]]
    table = pl.concat(parts).sort("source", "fact_id", "template_id")
    table.write_parquet(options.out / "probe_reference.parquet", compression="zstd")
    print(f"{listed.height} facts, {table.height} prompts, {table['tokens_plain'].sum()} tokens")


if __name__ == "__main__":
    main()
