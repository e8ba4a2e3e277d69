"""Chunks, memory and budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.matching import matcher
from sixtyfold.engines import memory
from sixtyfold.stages.probe import drawing, sampling
from sixtyfold.stages.probe.paths import ClozePrompt
from sixtyfold.stages.probe.run import plan, run
from sixtyfold.stages.probe.sampling import Estimate, Sampling
from sixtyfold.stages.probe.spec import ProbeSpec, parse_budget
from sixtyfold.stages.probe.trie import Trie

HOW = Sampling("draws", 4, 0.7, 0)


def wanted(*draws: int) -> drawing.Chunk:
    hits = matcher("paper", ["a"], "s")
    return [
        (ClozePrompt("f", index, [1] * (9 - index), hits, Trie(())), range(count))
        for index, count in enumerate(draws)
    ]


def test_chunks_hold_at_most_so_many_draws() -> None:
    chunks = drawing.fixed_chunks(wanted(3, 3, 5, 1, 9, 2), 6)
    sizes = [[len(numbers) for _, numbers in chunk] for chunk in chunks]
    assert sizes == [[3, 3], [5, 1], [9], [2]]
    assert drawing.fixed_chunks([], 6) == []


def small_memory(monkeypatch: pytest.MonkeyPatch, rows: int) -> list[int]:
    """Let an engine fail that is asked for more rows at once."""
    tried: list[int] = []

    def sample(engine: Any, prompts: Any, numbers: Any, how: Any) -> list[Estimate]:
        tried.append(sum(map(len, numbers)))
        if tried[-1] > rows:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")
        return [Estimate.counted(None, [float(n) for n in each]) for each in numbers]

    monkeypatch.setattr(drawing, "sample_prompts", sample)
    return tried


def test_memory_that_runs_out_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = small_memory(monkeypatch, 3)
    found = drawing.draw_in_memory(None, wanted(2, 1, 7), HOW)  # type: ignore[arg-type]
    assert [each.values for each in found] == [[0, 1], [0], [0, 1, 2, 3, 4, 5, 6]]
    assert max(each for each in tried if each <= 3) == 3
    assert tried[0] == 10


def test_memory_for_no_draw_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    small_memory(monkeypatch, 0)
    with pytest.raises(BadInput, match=r"memory does not suffice .* use a smaller model"):
        drawing.draw_in_memory(None, wanted(1), HOW)  # type: ignore[arg-type]


def test_other_failures_are_not_taken_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(*_: Any) -> list[Estimate]:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(drawing, "sample_prompts", sample)
    with pytest.raises(RuntimeError, match="shapes"):
        drawing.draw_in_memory(None, wanted(4), HOW)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["", "20", "minutes", "0 draws", "5 hours", "-3 draws"])
def test_unknown_budgets_are_refused(given: str) -> None:
    with pytest.raises(BadInput, match="allowed: a number and one of draws, tokens, minutes"):
        ProbeSpec.parse({"out": Path("p"), "budget": given})


def test_budgets_are_read() -> None:
    assert parse_budget("1,000 draws") == (1000.0, "draws")
    assert parse_budget("1 minute") == (1.0, "minutes")


def test_budgets_turn_into_draws() -> None:
    def bought(budget: str, **options: Any) -> float | None:
        spec = ProbeSpec.parse({"out": Path("p"), "budget": budget, **options})
        return spec.bought(100, lambda seconds: seconds * 100).draws

    assert bought("250 draws") == 2.5
    assert bought("250 draws", allocation="even") == 2
    assert bought("6400 tokens") == 2
    assert bought("2 minutes") == 3.75
    with pytest.raises(BadInput, match=r"buys 99 draws and 100 prompts need one each"):
        bought("99 draws")


def test_a_budget_is_not_exceeded_and_is_bought_once(planted: Path, tmp_path: Path) -> None:
    spec = ProbeSpec.parse(
        {
            "model": str(planted),
            "facts": str(planted),
            "limit": 20,
            "templates": 3,
            "max_new_tokens": 6,
            "fresh": True,
            "budget": "100 draws",
            "out": tmp_path / "p",
        }
    )
    assert plan(spec)["draws_per_template"] == 1.66
    done = run(spec)
    spent = done.table("probe_prompts")["draws"]
    assert spent.min() == 1
    assert 60 < spent.sum() <= 110
    assert spent.max() > 1


def test_fractions_need_allocation() -> None:
    with pytest.raises(BadInput, match=r"--draws 1.5 is no whole number"):
        ProbeSpec.parse({"out": Path("p"), "draws": 1.5, "allocation": "even"})
    with pytest.raises(BadInput, match=r"give one of them"):
        ProbeSpec.parse({"out": Path("p"), "draws": 2, "budget": "5 draws"})


def test_a_continued_probe_keeps_its_chunks(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other memory, other chunks: parts would no longer fit together."""
    options = {
        "model": str(planted),
        "facts": str(planted),
        "limit": 10,
        "templates": 2,
        "max_new_tokens": 4,
        "fresh": True,
    }

    def probe(name: str, rows: int, killed: int | None) -> int:
        """Return rows of the finished table; kill at a chunk."""
        calls = iter(range(1000))
        sample = sampling.sample_prompts

        def counted(*arguments: Any) -> list[Estimate]:
            if next(calls) == killed:
                raise KeyboardInterrupt
            return sample(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(drawing, "sample_prompts", counted)
            patch.setattr(memory, "rows_that_fit", lambda model, tokens: rows)
            done = run(ProbeSpec.parse({**options, "out": tmp_path / name}))
        return done.table("probe_prompts").unique(["fact_id", "template_id"]).height

    with pytest.raises(KeyboardInterrupt):
        probe("p", 4, killed=2)
    assert probe("p", 8, killed=None) == 20
