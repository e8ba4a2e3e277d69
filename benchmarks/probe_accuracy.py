"""Accuracy and cost of the probe against the papers' protocol, on the same facts.

    python benchmarks/probe_accuracy.py [--table benchmarks/data/probe_reference.parquet]

Reads the table that `probe_reference.py` made and draws nothing itself, so it takes seconds. The
reference level of a fact is the most probable one under K × 10 plain draws at the per-template
rates of 50 plain draws. Both sides are scored over 20 seeds with *other* draws:

  papers   10 of 12 further plain draws per template, hits counted
  ours     survival, 1 draw per template and further ones allocated by the schedule, out of 8
           (so that here at most 7 are allocated to a prompt, where the product allows 32)

RMSE of recall has the reference's own variance subtracted. Tokens: prompts once per pass, sampled
tokens, and tokens scored by look-ahead. Intervals: bootstrap over facts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from sixtyfold.core.levels import LEVELS, level_of, level_probabilities
from sixtyfold.stages.probe.sampling import ROULETTE
from sixtyfold.stages.probe.schedule import Pilot, further_draws

TABLE = Path(__file__).parent / "data" / "probe_reference.parquet"
REFERENCE, SEEDS, PAPERS, TOKENS = 50, 20, 10, 32
AVERAGES = (1.0, 1.1, 1.2, 1.35, 1.5, 2.0, 3.0, 4.0)

Floats = NDArray[np.float64]


class Fact(NamedTuple):
    """Rows of one fact, K templates."""

    name: str
    rates_K: Floats
    pool_KP: Floats
    certain_K: Floats
    values_KS: Floats
    prompt: int
    looked: int
    scored_K: Floats
    drawn_K: Floats


class Scored(NamedTuple):
    """One protocol over all seeds and facts: shape [seeds, facts] each."""

    right: NDArray[np.bool_]
    recall: Floats
    levels: NDArray[np.int64]
    sampled: Floats
    scored: Floats
    prompts: Floats


def read(path: Path) -> list[Fact]:
    """Read the table, one `Fact` a fact."""
    found = []
    for _, rows in pl.read_parquet(path).group_by("fact_id", maintain_order=True):
        values = np.array(rows["values"].to_list(), dtype=np.float64)
        draws = values.shape[1]
        found.append(
            Fact(
                rows["fact_id"][0],
                rows["reference_hits"].to_numpy() / REFERENCE,
                np.array(rows["pool"].to_list(), dtype=np.float64),
                np.minimum(rows["first_prob"].fill_null(0.0).to_numpy(), 1.0 - ROULETTE),
                values,
                int(rows["tokens_prompt"].sum()),
                int(rows["tokens_looked"].sum()),
                (rows["tokens_scored"] - rows["tokens_looked"]).to_numpy() / draws,
                rows["tokens_survival"].to_numpy() / draws,
            )
        )
    return found


def papers(facts: list[Fact], truth: NDArray[np.int64], tokens: float) -> Scored:
    """Score the papers' protocol: 10 plain draws per template, hits counted."""
    runs = [
        [_plain(fact, np.random.default_rng([seed, n])) for n, fact in enumerate(facts)]
        for seed in range(SEEDS)
    ]
    recall = np.array(runs)
    levels = np.vectorize(level_of)(recall)
    ones = np.ones_like(recall)
    per_fact = np.array([len(fact.rates_K) * PAPERS * tokens for fact in facts])
    prompts = np.array([fact.prompt for fact in facts])
    return Scored(levels == truth, recall, levels, ones * per_fact, 0 * ones, ones * prompts)


def _plain(fact: Fact, random: np.random.Generator) -> float:
    chosen = random.permuted(fact.pool_KP, axis=1)[:, :PAPERS]
    return float(chosen.mean())


def ours(facts: list[Fact], truth: NDArray[np.int64], draws: float, *, even: bool) -> Scored:
    """Score survival with so many draws per template on average."""
    seeds = [_scheduled(facts, draws, seed, even=even) for seed in range(SEEDS)]
    recall, levels, counts = zip(*seeds, strict=True)
    further = np.array([[(n > 1).any() for n in run] for run in counts])
    looked = np.array([fact.looked for fact in facts]) * (1 + further)
    return Scored(
        np.array(levels) == truth,
        np.array(recall),
        np.array(levels),
        np.array([[n @ f.drawn_K for n, f in zip(run, facts, strict=True)] for run in counts]),
        np.array([[n @ f.scored_K for n, f in zip(run, facts, strict=True)] for run in counts])
        + looked,
        np.array([fact.prompt for fact in facts]) * (1 + further),
    )


def _scheduled(
    facts: list[Fact], draws: float, seed: int, *, even: bool
) -> tuple[list[float], list[int], list[Floats]]:
    shuffled = [
        np.random.default_rng([seed, n]).permuted(fact.values_KS, axis=1)
        for n, fact in enumerate(facts)
    ]
    prompts = sum(len(fact.rates_K) for fact in facts)
    if even:
        further = [np.full(len(fact.rates_K), int(draws) - 1) for fact in facts]
    else:
        pilots = [
            Pilot(fact.name, fact.certain_K, values[:, 0])
            for fact, values in zip(facts, shuffled, strict=True)
        ]
        total = round((draws - 1) * prompts)
        most = min(len(fact.values_KS[0]) for fact in facts) - 1  # draws there are
        further = further_draws(pilots, total, seed, most=most)
    means = [
        np.array([row[: 1 + n].mean() for row, n in zip(values, counts, strict=True)])
        for values, counts in zip(shuffled, further, strict=True)
    ]
    return (
        [float(each.mean()) for each in means],
        [int(level_probabilities(each).argmax()) for each in means],
        [1.0 + each for each in further],
    )


class Truth(NamedTuple):
    """The reference: recall, its variance, and level of each fact."""

    recall: Floats
    variance: Floats
    level: NDArray[np.int64]


def reference(facts: list[Fact]) -> Truth:
    """Return what the 50 plain draws per template say."""
    k = np.array([len(fact.rates_K) for fact in facts])
    spread = np.array([(f.rates_K * (1 - f.rates_K)).sum() / (REFERENCE - 1) for f in facts])
    levels = [int(level_probabilities(fact.rates_K).argmax()) for fact in facts]
    return Truth(np.array([fact.rates_K.mean() for fact in facts]), spread / k**2, np.array(levels))


def _two_runs_agree(facts: list[Fact]) -> float:
    """Return how often two independent runs of the papers' protocol agree, at these rates."""
    random = np.random.default_rng(0)
    runs = [
        [level_of(random.binomial(PAPERS, f.rates_K).mean() / PAPERS) for f in facts]
        for _ in range(200)
    ]
    return float((np.array(runs[0::2]) == np.array(runs[1::2])).mean())


def rmse(found: Scored, truth: Truth, which: NDArray[np.bool_] | slice = slice(None)) -> float:
    """Return the root mean squared error of recall beyond the reference's own."""
    squared = (found.recall - truth.recall) ** 2 - truth.variance
    return float(np.sqrt(max(0.0, squared[:, which].mean())))


def agreement_gap(one: Scored, two: Scored) -> tuple[float, float, float]:
    """Return two − one in level agreement, with a 95% bootstrap interval over facts."""
    per_fact = two.right.mean(0) - one.right.mean(0)
    random = np.random.default_rng(0)
    means = random.choice(per_fact, (4000, len(per_fact))).mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(per_fact.mean()), float(low), float(high)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument(
        "--tokens", type=float, default=TOKENS, help="sampled tokens of a plain draw, on average"
    )
    given = parser.parse_args()
    facts = read(given.table)
    truth = reference(facts)
    base = papers(facts, truth.level, given.tokens)
    between = _two_runs_agree(facts)
    console = Console(width=150)
    counts = np.bincount(truth.level, minlength=5)
    console.print(f"{len(facts)} facts, by reference level {counts.tolist()}, {SEEDS} seeds")
    console.print(f"two runs of the papers' protocol agree on {100 * between:.1f}% of levels")
    table = Table(
        "protocol", "agreement", "less papers' (95%)", "RMSE", "sampled/fact", "fewer",
        "scored/fact", "prompts/fact", "all tokens fewer", *(f"level {n}" for n in LEVELS),
    )  # fmt: skip
    runs = {"papers, K × 10": base}
    runs |= {f"survival × {d:g}": ours(facts, truth.level, d, even=False) for d in AVERAGES}
    runs |= {f"survival × {d}, even": ours(facts, truth.level, d, even=True) for d in (2, 3, 4)}
    for name, run in runs.items():
        gap, low, high = agreement_gap(base, run)
        total = (run.sampled + run.scored + run.prompts).mean()
        whole = (base.sampled + base.scored + base.prompts).mean()
        table.add_row(
            name,
            f"{100 * run.right.mean():.1f}%",
            f"{100 * gap:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})",
            f"{rmse(run, truth):.4f}",
            f"{run.sampled.mean():.0f}",
            f"{base.sampled.mean() / run.sampled.mean():.1f}×",
            f"{run.scored.mean():.0f}",
            f"{run.prompts.mean():.0f}",
            f"{whole / total:.1f}×",
            *(f"{100 * run.right[:, truth.level == n].mean():.0f}%" for n in LEVELS),
        )
    console.print(table)
    _equal_error(console, base, runs, truth)


def _equal_error(console: Console, base: Scored, runs: dict[str, Scored], truth: Truth) -> None:
    """Say how many tokens survival needs for the papers' error, between the points measured."""
    wanted = rmse(base, truth)
    points = sorted(
        (run.sampled.mean(), rmse(run, truth)) for name, run in runs.items()
        if name.startswith("survival") and not name.endswith("even")
    )  # fmt: skip
    tokens, errors = (np.log([point[side] for point in points]) for side in (0, 1))
    needed = float(np.exp(np.interp(-np.log(wanted), -errors, tokens)))
    inside = errors.min() <= np.log(wanted) <= errors.max()
    console.print(
        f"the papers' error of recall, {wanted:.4f}, takes {needed:.0f} sampled tokens a fact: "
        f"{base.sampled.mean() / needed:.1f}× fewer"
        + ("" if inside else " (outside the points measured: the nearest one)")
    )


if __name__ == "__main__":
    main()
