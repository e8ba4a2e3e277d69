"""A probe whose draws come from a server: counted exactly, continued, and never silently weaker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engines.faulty_server import Server, running, short_waits, status, text_of
from sixtyfold.core.errors import BadInput
from sixtyfold.engines.server_client import ServerFailed
from sixtyfold.engines.text_draws import first_seed
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.probe import texts as probe_texts
from sixtyfold.stages.probe.run import plan, run
from sixtyfold.stages.probe.spec import ProbeSpec

pytest.importorskip("openai")
DRAWS, TEMPLATES = 6, 2


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    short_waits(monkeypatch)
    monkeypatch.setattr(probe_texts, "_PROMPTS_A_CHUNK", 4)


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "facts.csv"
    rows = [
        f"Which digit has {name}?,{digit}" for name, digit in zip("uvwxyz", "abcd01", strict=True)
    ]
    path.write_text("\n".join(["question,answer", *rows]) + "\n")
    return f"table:{path}"


def asked(table: str, running_server: Server, out: Path, **options: Any) -> ProbeSpec:
    settings: dict[str, Any] = {
        "facts": table,
        "model": "made-up",
        "server": running_server.url,
        "estimator": "draws",
        "draws": DRAWS,
        "templates": TEMPLATES,
        "match": "paper",
        "out": out,
    }
    return ProbeSpec.parse({**settings, **options})


def test_recall_is_the_share_of_hits_of_every_draw_once(table: str, tmp_path: Path) -> None:
    source = open_facts(table)
    texts = source.templates.sort("template_id")["text"].to_list()[:TEMPLATES]
    with running() as server:
        done = run(asked(table, server, tmp_path / "p"))
    rows = {row["fact_id"]: row for row in done.table("probe").iter_rows(named=True)}
    assert len(rows) == 6
    for fact in source.facts.iter_rows(named=True):
        hits = [
            fact["objects"][0] in text_of(text.replace("{question}", fact["question"]), seed + draw)
            for number, text in enumerate(texts)
            for seed in [first_seed("0", fact["fact_id"], number)]
            for draw in range(DRAWS)
        ]
        assert rows[fact["fact_id"]]["recall"] == pytest.approx(sum(hits) / len(hits))
        assert rows[fact["fact_id"]]["draws"] == TEMPLATES * DRAWS
    assert done.table("probe")["engine"].unique().to_list() == ["server"]
    assert done.table("probe")["estimator"].unique().to_list() == ["draws"]
    assert done.manifest["inputs"]["model"] == f"made-up at {server.url}"


def test_a_server_that_fails_half_way_loses_no_finished_chunk(table: str, tmp_path: Path) -> None:
    with running() as server:
        whole = run(asked(table, server, tmp_path / "whole"))
        server.asked.clear()
        refused = status(401)
        server.fault = lambda number, body: refused if len(server.draws_asked()) > 6 else None
        with pytest.raises((BadInput, ServerFailed), match=r"127\.0\.0\.1"):
            run(asked(table, server, tmp_path / "p"))
        kept = len(list((tmp_path / "p" / "parts").glob("probe_prompts-*")))
        assert 1 <= kept < 3
        server.fault = lambda number, body: None
        again = run(asked(table, server, tmp_path / "p"))
    assert again.table("probe").equals(whole.table("probe"))
    assert again.table("probe_prompts").equals(whole.table("probe_prompts"))


def test_what_a_server_cannot_give_is_refused(table: str, tmp_path: Path) -> None:
    with running() as server:
        with pytest.raises(BadInput, match="--server gives texts and no probabilities"):
            asked(table, server, tmp_path / "p", estimator="survival")
        with pytest.raises(BadInput, match="SliCK needs 10 different prompts"):
            run(asked(table, server, tmp_path / "p", slick=True))
        with pytest.raises(BadInput, match="an address such as http"):
            run(asked(table, server, tmp_path / "p", server="nowhere"))
        with pytest.raises(BadInput, match=r"^--budget 3 minutes: the speed of --server is not"):
            asked(table, server, tmp_path / "p", draws=None, budget="3 minutes")
        planned = plan(asked(table, server, tmp_path / "p"))
        assert planned["draws"] == 6 * TEMPLATES * DRAWS
        assert planned["server"] == server.url
        assert not server.asked
    assert not (tmp_path / "p").exists()


def test_a_budget_is_what_is_spent(table: str, tmp_path: Path) -> None:
    with running() as server:
        spec = asked(table, server, tmp_path / "p", draws=None, budget="1,000 tokens")
        assert plan(spec)["draws"] == 6 * TEMPLATES * 2
        done = run(spec)
    assert done.table("probe_prompts")["draws"].to_list() == [2] * 6 * TEMPLATES
