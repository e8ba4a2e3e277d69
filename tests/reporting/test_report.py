"""The report: one file, nothing loaded, numbers of the summary, hostile text as text."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from made_up_run import HOSTILE, RIGHT, arm, build_run, curve, facts, stage, write_answers
from sixtyfold.commands import COMMANDS, spec_class
from sixtyfold.core.errors import BadInput, IncompleteInput
from sixtyfold.core.stage import Finished
from sixtyfold.reporting.charts import concentration_chart
from sixtyfold.reporting.packed import unpacked
from sixtyfold.reporting.repeat import ON_BY_DEFAULT, commands
from sixtyfold.reporting.run import run as run_report
from sixtyfold.reporting.run import write_report
from sixtyfold.reporting.spec import ReportSpec
from sixtyfold.stages.restore.alternatives import FAMILIES
from sixtyfold.workflows.console import percent
from sixtyfold.workflows.summary import summarise


class Elements(HTMLParser):
    """Elements with their attributes, the page's text, and the content of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data

    def charts(self) -> dict[str, Any]:
        """The charts that the page hands to its script."""
        found: dict[str, Any] = json.loads(self.scripts[0])
        return found

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a long table."""
        places = [attributes.get("id") for tag, attributes in self.elements if tag == "script"]
        columns = unpacked(self.scripts[places.index(f"packed-{name}")])
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def page(made_up: Path) -> Elements:
    return Elements(write_report(made_up).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Elements:
    run = build_run(tmp_path_factory.mktemp("hostile") / "run", hostile=HOSTILE)
    return Elements(write_report(run).read_text(encoding="utf-8"))


def test_nothing_is_loaded(made_up: Path, page: Elements) -> None:
    loading = {"src", "srcset", "data", "poster", "action", "background"}
    for tag, attributes in page.elements:
        assert not loading & set(attributes), (tag, attributes)
        target = attributes.get("href") or "#"
        assert target.startswith("#") or (tag, target) == ("link", "data:,"), (tag, target)
        assert tag not in {"iframe", "object", "embed", "base"}
    style = (made_up / "report.html").read_text(encoding="utf-8").split("</style>")[0]
    assert not re.search(r"@import|url\((?!data:)", style)


def test_policy_forbids_loading_and_foreign_scripts(page: Elements) -> None:
    policy = next(
        attributes["content"]
        for tag, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert not re.search(r"script-src[^;]*(blob|data|unsafe)", policy)
    assert "http" not in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0]


def test_libraries_are_inlined_once(made_up: Path, page: Elements) -> None:
    kinds = [attributes.get("type") for tag, attributes in page.elements if tag == "script"]
    assert kinds == ["application/json", "text/plain", None, None, None, None]
    assert (made_up / "report.html").stat().st_size < 2_500_000


def test_same_run_same_bytes(made_up: Path, tmp_path: Path) -> None:
    first = write_report(made_up).read_bytes()
    assert write_report(made_up, tmp_path / "again.html").read_bytes() == first


def test_numbers_are_the_summary_s(made_up: Path, page: Elements) -> None:
    summary = summarise(made_up)
    for model in ("base", "base_few_shot", "tuned", "restored"):
        for domain in ("in", "out"):
            for measure in ("macro_relation", "micro", "exact", "ended"):
                assert percent(summary[model][domain][measure]) in page.text
    assert "kept 13, lost 0, gained 4, never 13" in page.text
    assert "No difference could be shown in-domain: +20.0" in page.text
    assert "merged for accuracy by level: 0+1+2+3+4" in page.text


def test_every_chart_has_a_place_and_numbers_behind_it(page: Elements) -> None:
    places = [
        attributes["data-chart"] for _, attributes in page.elements if "data-chart" in attributes
    ]
    charts = page.charts()
    assert sorted(charts) == sorted(str(place) for place in places)
    assert set(charts) == {
        *("levels", "relation-levels", "by-level-in", "by-level-out", "by-relation"),
        *("drift", "update-map", "concentration", "restoration"),
    }
    for chart in charts.values():
        assert chart["description"]
        assert chart["data"]["values"]
    assert page.text.count("Numbers behind this chart") == len(charts)


def test_null_stands_beside_the_concentration(page: Elements) -> None:
    rows = page.charts()["concentration"]["data"]["values"]
    assert {row["kind"] for row in rows} == {"update", "null"}
    assert "null: shuffled" in page.text
    assert len(rows) == 12, "a share that is not defined is not drawn"
    nulls = {row["series"]: row["share"] for row in rows
             if row["kind"] == "null" and row["percent"] == 1.0}  # fmt: skip
    # shuffling leaves absolute change as it is, so it is no null of it
    assert nulls == {"relative change": pytest.approx(0.5 * 0.97),
                     "absolute change": pytest.approx(0.15 * 0.9)}  # fmt: skip
    assert "4,830 of 5,600 weights of the region changed (86.2%)" in page.text


def test_ring_is_around_the_chosen_candidate(page: Elements) -> None:
    rows = page.charts()["restoration"]["data"]["values"]
    assert [row["label"] for row in rows if row["chosen"]] == ["relative 20%"]
    assert "Chosen on dev: relative 20%, 88.0% of the update left." in page.text


def test_repairs_are_compared_on_facts_that_all_answered(page: Elements) -> None:
    rows = page.charts()["restoration"]["data"]["values"]
    (ringed,) = (row for row in rows if row["chosen"])
    # on all it was asked 0.54, on the first round's facts five points less
    assert (ringed["accuracy"], ringed["n"]) == (pytest.approx(0.49), 30)
    assert "on the 30 dev facts that all candidates answered" in page.text
    assert "−1.0 (−3.0 to +1.0)" in page.text


def test_a_full_search_tells_its_families_apart_and_shows_its_test(tmp_path: Path) -> None:
    names = sorted(("tuned", *FAMILIES))
    candidates = [
        {"candidate": number, "family": name, "setting": f"{name} as set", "percent": None,
         "alpha": None, "n": 120, "remaining_norm": 0.9, "accuracy": 0.5, "low": 0.4, "high": 0.6}
        for number, name in enumerate(names)
    ]  # fmt: skip
    scored = pl.DataFrame([arm("tuned", None, -0.02, 0.01), arm("relative", 0.03, -0.01, 0.01)])
    write_answers(tmp_path, facts(), RIGHT)
    chosen = {**candidates[names.index("relative")], "rule": "most"}
    tables = {"candidates": pl.DataFrame(candidates), "curve": curve(candidates), "test": scored}
    stage(tmp_path / "search", "search", tables, {"chosen": chosen})
    page = Elements(write_report(tmp_path).read_text(encoding="utf-8"))
    looks = series(page.charts()["restoration"])
    assert sorted(looks) == names
    assert len(set(looks.values())) == len({colour for colour, _ in looks.values()}) == len(names)
    assert "On test it is better (+3.0 (+2.0 to +4.0) points" in page.text
    assert "relative change is worse" in page.text
    assert "The best of each family on test" in page.text


def series(chart: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Colour and shape of every family."""
    layer = next(each for each in chart["layer"] if "shape" in each["encoding"])
    colour, shape = (layer["encoding"][name]["scale"] for name in ("color", "shape"))
    assert colour["domain"] == shape["domain"]
    pairs = zip(colour["range"], shape["range"], strict=True)
    return dict(zip(colour["domain"], pairs, strict=True))


def test_every_series_of_the_concentration_has_a_colour_of_its_own() -> None:
    names = ("relative", "nonzero-base relative", "absolute", "bf16 relative")
    rows = [{"percent": 1.0, "share": 0.5, "series": name, "kind": "update"} for name in names]
    scale = concentration_chart(rows)["layer"][0]["encoding"]["color"]["scale"]
    assert scale["domain"] == sorted(names)
    assert len(set(scale["range"])) == len(names)


def test_facts_table(page: Elements) -> None:
    rows = page.table("facts")
    assert len(rows) == 30
    states = [row["state"] for row in rows]
    # restored: capital 8 of 10 -> 9, currency 6 -> 5, river 3 -> 4
    assert sorted(states) == sorted(
        ["gained"] * 3 + ["gained, lost by the repair"] + ["kept"] * 13
        + ["never"] * 11 + ["never, gained by the repair"] * 2
    )  # fmt: skip
    assert states[0].startswith("gained"), "what changed stands first"
    gained = next(row for row in rows if row["state"] == "gained")
    assert gained["base"] == "✗ no idea"
    assert gained["tuned"].startswith("✓ ")
    assert gained["accepted"].endswith(gained["tuned"].removeprefix("✓ ")) or (
        gained["tuned"].removeprefix("✓ ") in gained["accepted"]
    )


def test_hostile_text_is_text(hostile: Elements) -> None:
    assert "alert(1)" in hostile.text  # in the receipt
    scripts = [attributes for tag, attributes in hostile.elements if tag == "script"]
    assert len(scripts) == 6
    assert not any(tag == "img" for tag, _ in hostile.elements)
    assert not any(name.startswith("on") for _, found in hostile.elements for name in found)
    cells = [cell for row in hostile.table("facts") for cell in row.values()]
    shown = "✗ </script><script>alert(1)</script><img src=x onerror=alert(2)>⟨U+202E⟩right to left"
    assert f"{shown}⟨U+0000⟩⟨U+001B⟩[31m" in cells
    assert "\u202e" not in hostile.text + hostile.scripts[0]
    assert "\x1b" not in hostile.text + hostile.scripts[0]


def test_missing_stages_are_said(tmp_path: Path) -> None:
    write_answers(tmp_path, facts(), {key: RIGHT[key] for key in ("base", "tuned")})
    page = Elements(write_report(tmp_path).read_text(encoding="utf-8"))
    for name in ("probe", "select", "search"):
        assert f"Not in this run: no finished result of 'sixtyfold {name}'." in page.text
    assert "no finished result of 'sixtyfold drift' and of 'sixtyfold diff'." in page.text
    assert set(page.charts()) == {"by-level-in", "by-level-out", "by-relation"}


def test_one_model_alone_has_no_fact_table(tmp_path: Path) -> None:
    write_answers(tmp_path, facts(), {"tuned": RIGHT["tuned"]})
    page = Elements(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "finished test answers of two models" in page.text
    assert not any("data-table" in attributes for _, attributes in page.elements)
    assert "70.0 (47.0–86.0)" in page.text


def test_how_to_repeat(page: Elements) -> None:
    assert "sixtyfold probe --match standard --model embedded --out probe" in page.text
    assert "answers/tuned-test" in page.text
    assert '"packages"' in page.text


def test_commands_quote_what_a_shell_would_read() -> None:
    manifest = {"stage": "probe", "spec": {"model": "a b;c", "top": [1, 3], "chat": True,
                                           "limit": None, "four": False}}  # fmt: skip
    assert commands({"p q": manifest}) == [
        "sixtyfold probe --model 'a b;c' --top 1 3 --chat --out 'p q'"
    ]


def test_commands_lead_from_one_to_the_next_wherever_the_run_lay() -> None:
    read = {"spec": {"facts": "runs/q/facts", "model": "embedded", "file": "data/own.csv"}}
    asked = {
        name: {"stage": "evaluate", **read, "inputs": {"facts": "aa", "model": name}}
        for name in ("answers/base-test", "answers/tuned-test")
    }
    before, after = (Finished(Path(), each).fingerprint for each in asked.values())
    compared = {"stage": "compare", "spec": {}, "inputs": {"after": after, "before": before}}
    elsewhere = {"stage": "compare", "spec": {}, "inputs": {"after": after, "before": "unknown"}}
    made = {"stage": "facts", "spec": {}}
    manifests = {**asked, "c": compared, "e": elsewhere, "facts": made}
    assert commands(manifests) == [
        "sixtyfold facts build --out facts",
        *(f"sixtyfold evaluate --facts facts --model embedded --file data/own.csv --out {name}"
          for name in asked),
        "sixtyfold compare --after answers/tuned-test --before answers/base-test --out c",
        "sixtyfold compare --after answers/tuned-test --out e",
    ]  # fmt: skip


def test_commands_name_what_was_left_out() -> None:
    manifest = {"stage": "search", "spec": {"test": False, "allow_pickle": False}}
    assert commands({"s": manifest}) == ["sixtyfold search --no-test --out s"]
    built = {"stage": "facts", "spec": {"facts": "atlas"}}
    assert commands({"f": built}) == ["sixtyfold facts build --facts atlas --out f"]


def test_options_on_by_default_are_known() -> None:
    found = set()
    for command in COMMANDS.values():
        for name, field in spec_class(command).model_fields.items():
            if field.default is True:
                found.add(name)
    assert found <= ON_BY_DEFAULT


def test_refusals(made_up: Path, tmp_path: Path) -> None:
    with pytest.raises(IncompleteInput, match="holds no finished answers/NAME-test"):
        run_report(ReportSpec(run=tmp_path))
    with pytest.raises(BadInput, match="cannot write"):
        run_report(ReportSpec(run=made_up, out=tmp_path / "none" / "report.html"))


def test_a_failed_write_leaves_the_old_report(made_up: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    write_report(made_up, out)
    before = out.read_bytes()
    broken = tmp_path / "broken"
    shutil.copytree(made_up, broken)
    (broken / "answers" / "tuned-test" / "answers.parquet").write_bytes(b"no table")
    with pytest.raises(Exception, match="not a readable Parquet table"):
        write_report(broken, out)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.glob(".*")] == []
