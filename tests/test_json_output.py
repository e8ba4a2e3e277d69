"""Every command with `--json`: one JSON document on the output stream, nothing else there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

import toy_stages
from made_up_run import build_run
from sixtyfold.cli import run_command
from sixtyfold.commands import COMMANDS
from sixtyfold.json_output import json_document


class Places:
    """Where the inputs of the commands are."""

    def __init__(self, root: Path, request: pytest.FixtureRequest) -> None:
        self.root = root
        self._request = request

    def __getattr__(self, name: str) -> str:
        return str(self._request.getfixturevalue(name))

    @property
    def model(self) -> str:
        return f"--model {self.planted} --facts {self.planted} --device cpu"

    @property
    def pair(self) -> str:
        return f"--base {self.planted} --tuned {self.tuned}"

    @property
    def answers(self) -> Path:
        return Path(self.run) / "answers"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def patch(planted: Path, tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("patch") / "patch"
    made = f"restore --base {planted} --tuned {tuned} --as-patch --quiet --out {out}"
    assert run_command(made.split()) == 0
    return out


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "mine.csv"
    lines = [f"Who is number {number}?,name{number}" for number in range(20)]
    path.write_text("\n".join(["question,answer", *lines]))
    return path


@pytest.fixture(scope="module")
def study(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study of toy stages that was run: the options that name it."""
    root = tmp_path_factory.mktemp("study")
    grids = "[{name: g, select: {size: [4, 8]}, drift: {}, search: [{}]}]"
    (root / "study.yaml").write_text(
        f"name: toy\nmodels: [{{name: m, model: {planted}}}]\nfacts: {{facts: {planted}}}\n"
        f"seeds: [0, 1, 2]\nstore: {root / 'store'}\ngrids: {grids}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        toy_stages.use(patch)
        given = f"study run --file {root / 'study.yaml'} --quiet"
        assert run_command(given.split()) == 0
    return f"--file {root / 'study.yaml'}"


def arguments(name: str, at: Places) -> str:
    """The options with which a command is done in seconds."""
    out = f"--out {at.root / 'out'}"
    few = f"--limit 6 {out}"
    given = {
        "run": lambda: f"{at.model} --plan {out}",  # the steps are the commands below
        "facts build": lambda: f"--facts {at.planted} {few}",
        "facts list": lambda: "",
        "facts inspect": lambda: f"--facts {at.planted}",
        "facts templates": lambda: f"{at.model} --per-relation 2 --pilot 1 --draws 1 {out}",
        "probe": lambda: f"{at.model} {few} --templates 1",
        "select": lambda: f"--facts {at.planted} --size 8 {out}",
        "tune": lambda: f"--model {at.planted} --selection {at.selected} --max-steps 1 {out}",
        "evaluate": lambda: f"{at.model} {few}",
        "compare": lambda: f"--before {at.answers}/base-test --after {at.answers}/tuned-test {out}",
        "drift": lambda: f"{at.pair} --facts {at.planted} --levels all {out}",
        "diff": lambda: f"{at.pair} {out}",
        "restore": lambda: f"{at.pair} {out}",
        "rebuild": lambda: f"{at.pair} --patch {at.patch} {out}",
        "search": lambda: (
            f"{at.pair} --facts {at.planted} --families relative --top 20 "
            f"--halvings 0 --test-limit 6 {few}"
        ),
        "report": lambda: f"--run {at.run}",
        "check": lambda: f"--model {at.planted} --file {at.rows} --shot-sets 0 --draws 1 {few}",
        "export lm-eval": lambda: f"--facts {at.planted} {few}",
        "study run": lambda: at.study,
        "study status": lambda: at.study,
        "study results": lambda: at.study,
        "study contrast": lambda: f"{at.study} --vary size --against 4",
        "study repairs": lambda: at.study,
        "study clean": lambda: at.study,
        "sql": lambda: f"--store {store_of(at.study)} --query SELECT_1_AS_one",
        "view": lambda: f"--run {at.run} --port 0",
        "completion": lambda: "--shell bash",
        "plant": lambda: f"--subjects 8 --relations 2 --out-of-domain 1 --passes 1 {out}",
    }
    assert set(given) == set(COMMANDS), "every command needs its line here"
    return given[name]()


def store_of(study: str) -> Path:
    return Path(study.split()[1]).parent / "store"


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_one_document_and_nothing_else(
    name: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    toy_stages.use(monkeypatch)
    monkeypatch.setattr("sixtyfold.explorer.server.serve", lambda *_: None)
    given = [each.replace("_", " ") if each.startswith("SELECT") else each
             for each in arguments(name, Places(tmp_path, request)).split()]  # fmt: skip
    capfd.readouterr()
    assert run_command([*name.split(), *given, "--json"]) == 0
    printed = capfd.readouterr().out
    value = json.loads(printed, parse_constant=refuse)
    assert isinstance(value, dict | list)
    assert value
    assert printed.endswith("\n")


@pytest.mark.parametrize(
    ("value", "encoding", "text"),
    [
        ({"a": [float("inf"), (1, float("nan"))]}, "utf-8", '{"a": [null, [1, null]]}'),
        ({"name": "Łódź 🂡"}, "utf-8", '{"name": "Łódź 🂡"}'),
        ({"name": "Łódź 🂡"}, "iso8859-1", '{"name": "\\u0141\\u00f3d\\u017a \\ud83c\\udca1"}'),
        ({"name": "Ł"}, None, '{"name": "\\u0141"}'),
        ({"path": Path("/x")}, "UTF-8", '{"path": "/x"}'),
    ],
)
def test_any_value_is_a_document(value: Any, encoding: str | None, text: str) -> None:
    found = json_document(value, encoding)
    assert found == json.dumps(json.loads(text), indent=2, ensure_ascii="\\u" in text) + "\n"
    assert found.encode(encoding or "ascii")
