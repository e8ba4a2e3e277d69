"""The command line as a person meets it: help, results, and one clear line on bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sixtyfold.cli import run_command
from sixtyfold.commands import COMMANDS, spec_class


def complaint(capsys: pytest.CaptureFixture[str], arguments: str) -> tuple[int, str]:
    """Run a command that fails; return its exit code and its only line."""
    code = run_command(arguments.split())
    printed = capsys.readouterr()
    lines = printed.err.strip().splitlines()
    assert printed.out == ""
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("sixtyfold: ")
    assert "Traceback" not in printed.err
    return code, lines[0]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_names_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run_command([*name.split(), "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for key, field in spec_class(COMMANDS[name]).model_fields.items():
        option = key.replace("_", "-")
        assert f"--{'no-' if field.default is True else ''}{option} " in printed.replace("\n", " ")


def test_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in COMMANDS)


def test_help_can_be_asked_for_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for given in (["help", "facts", "build"], ["facts", "build", "--help"]):
        with pytest.raises(SystemExit) as stop:
            run_command(given)
        assert stop.value.code == 0
        printed.append(capsys.readouterr().out)
    assert "--per-relation" in printed[0]
    assert printed[0] == printed[1]
    assert run_command(["help"]) == 0
    assert "Start with 'sixtyfold run'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("prob", 2, ["'prob' is no command", "did you mean 'probe'"]),
        ("facts bild", 2, ["'facts bild' is no command", "facts build"]),
        ("facts", 2, ["'facts' needs a second word; allowed: facts build, facts list"]),
        (
            "probe --seed x --out y",
            2,
            ["option --seed was given 'x'; allowed: a whole number (see"],
        ),
        (
            "facts build --out \udcff",
            2,
            ["⟨U+DCFF⟩' is not UTF-8; give the file or directory a name"],
        ),
        ("probe --limt 3 --out x", 2, ["unknown option '--limt'", "did you mean '--limit'"]),
        ("probe --limit abc --out x", 2, ["--limit was given 'abc'; allowed: a whole number"]),
        ("probe --limit --out x", 2, ["option --limit was given without a value"]),
        ("probe all --out x", 2, ["'all' is no option and no value of one"]),
        (
            "tune --selection s --learning-rate x --out y",
            2,
            ["given 'x'; allowed: a number, or None"],
        ),
        (
            "search --tuned t --top 5 b --out x",
            2,
            ["--top was given '5', 'b'; allowed: a number, or"],
        ),
        ("probe --limit 0 --out x", 2, ["--limit was given 0", "greater than or equal to 1"]),
        ("probe", 2, ["--out"]),
        ("probe --budget soon --out x", 2, ["--budget was given 'soon'", "'20 minutes'"]),
        ("probe --draws 2 --budget 5_draws --out x", 2, ["--budget", "a number and one of draws"]),
        ("probe --estimator draws --draws 1.5 --out x", 2, ["1.5 is no whole number"]),
        ("probe --parity torch --out x", 2, ["--parity was given 'torch'", "with a comma"]),
        ("probe --engine vllm --out x", 2, ["gives texts", "add --estimator draws"]),
        ("probe --match std --out x", 2, ["--match was given 'std'; allowed: paper, standard, "]),
        ("probe --match strct --out x", 2, ["; did you mean 'strict'?; allowed: paper"]),
        ("select --probe p --size 0 --out x", 2, ["--size was given '0'", "from 1, all"]),
        ("select --probe p --levels 9 --out x", 2, ["--levels", "natural, levels 0 to 4"]),
        ("select --probe nowhere --out x", 3, ["there is no directory nowhere"]),
        ("tune --selection nowhere --out x", 3, ["there is no directory nowhere"]),
        ("evaluate --model ./nowhere --out x", 2, ["there is no model directory ./nowhere"]),
        ("evaluate --facts nowhere --out x", 2, ["nowhere", "atlas"]),
        ("run --device tpu --out x", 2, ["device 'tpu' is not known", "cuda"]),
        ("restore --tuned x --top 200 --out y", 2, ["--top was given 200", "100"]),
        ("restore --tuned x --rule interpolation --out y", 2, ["give --alpha"]),
        ("report --run nowhere", 3, ["nowhere"]),
        ("study run --file .", 2, [". cannot be read (Is a directory); give a study file"]),
        ("facts inspect --facts .", 3, ["a directory that a command of sixtyfold finished"]),
        (
            "probe --server me --estimator draws --out x",
            2,
            ["--server: allowed: an address such as"],
        ),
    ],
)
def test_bad_options_are_one_line(
    arguments: str,
    code: int,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    planted: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = arguments.replace(
        "run --device", f"run --model {planted} --facts {planted} --device"
    )
    if arguments.startswith("evaluate --facts"):
        arguments += f" --model {planted}"
    if arguments.startswith("evaluate --model ./"):
        arguments += f" --facts {planted}"
    found, line = complaint(capsys, arguments)
    assert found == code, line
    for word in words:
        assert word in line


def test_a_directory_that_is_no_model(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = complaint(
        capsys, f"evaluate --model {tmp_path} --facts {planted} --out {tmp_path}/o"
    )
    assert code == 2
    assert "it has no config.json" in line


def test_damaged_weights_are_named(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(planted, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    code, line = complaint(
        capsys, f"evaluate --model {broken} --facts {planted} --out {tmp_path}/o"
    )
    assert code == 5
    assert "broken" in line
    assert not (tmp_path / "o" / "manifest.json").exists()


def test_damaged_gguf_is_named(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (b"not a model", b"GGUF\x03\x00\x00\x00" + b"\xff" * 64):
        path = tmp_path / "m.gguf"
        path.write_bytes(content)
        code, line = complaint(
            capsys, f"evaluate --model {path} --facts {planted} --out {tmp_path}/o"
        )
        assert code == 5
        assert "m.gguf" in line


def test_facts_without_a_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("who,what\nAda,mathematician\n")
    code, line = complaint(capsys, f"facts inspect --facts table:{path}")
    assert code == 2
    assert "who" in line
    assert "question" in line


def test_what_was_guessed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("q,target\nWho is Ada?,a mathematician\n")
    assert run_command(f"facts build --facts table:{path} --out {tmp_path}/facts".split()) == 0
    printed = capsys.readouterr().out
    assert "- columns read: question from 'q' (guessed), answers from 'target' (guessed)" in printed


def test_data_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("question,answer,relation\nq?,a\x1b[2J,r\x1b[1m\n", encoding="utf-8")
    assert run_command(f"facts inspect --facts table:{path}".split()) == 0
    printed = capsys.readouterr().out
    assert "r⟨U+001B⟩[1m" in printed
    assert "\x1b" not in printed


def test_size_larger_than_the_pool(
    planted: Path, probed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = complaint(
        capsys, f"select --facts {planted} --probe {probed} --size 5000 --out {tmp_path}/s"
    )
    assert code == 2
    assert "--size 5000 is larger than the pool" in line


def test_other_settings_in_the_same_directory(
    planted: Path, probed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = f"select --facts {planted} --probe {probed} --short fill --out {tmp_path}/s --size"
    assert run_command(f"{same} 12".split()) == 0
    capsys.readouterr()
    code, line = complaint(capsys, f"{same} 24")
    assert code == 4
    assert "size: '12' there, '24' now" in line


def test_a_place_that_cannot_be_written(
    planted: Path, probed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    code, line = complaint(
        capsys, f"select --facts {planted} --probe {probed} --out {tmp_path}/file/s"
    )
    assert code == 2
    assert "cannot write to" in line


def test_a_full_disk_keeps_what_is_finished(
    planted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import errno

    import sixtyfold.core.stage as stage_module

    out = tmp_path / "answers"
    command = f"evaluate --model {planted} --facts {planted} --batch 8 --limit 24 --out {out}"
    real, calls = stage_module.write_parquet, []

    def full(path: Path, frame: object) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, frame)  # type: ignore[arg-type]

    monkeypatch.setattr(stage_module, "write_parquet", full)
    code, line = complaint(capsys, command)
    assert code == 1
    assert "No space left on device" in line
    assert len(list((out / "parts").iterdir())) == 2
    assert not (out / "manifest.json").exists()
    monkeypatch.undo()
    assert run_command(command.split()) == 0


def test_json_is_json(planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "answers"
    command = f"evaluate --model {planted} --facts {planted} --limit 12 --out {out} --json"
    assert run_command(command.split()) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["rows"] == {"answers": 12}
    assert set(value["accuracy"]) == set(value["majority"]) <= {"in", "out"}
    assert run_command(command.removesuffix("--json").split()) == 0
    assert "most common answer" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["probe", "evaluate", "run"])
def test_a_plan_does_nothing(
    command: str, planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = f"{command} --model {planted} --facts {planted} --plan --out {out} --json"
    assert run_command(arguments.split()) == 0
    value = json.loads(capsys.readouterr().out)
    assert any(isinstance(each, int) and each > 0 for each in value.values())
    assert not out.exists()


def test_verbs_are_functions(planted: Path, tmp_path: Path) -> None:
    import sixtyfold as sf

    result = sf.evaluate(model=str(planted), facts=str(planted), limit=12, out=tmp_path / "o")
    assert result.table("answers").height == 12
    with pytest.raises(sf.BadInput, match="did you mean 'limit'"):
        sf.evaluate(limt=12, out=tmp_path / "p")


def test_commands_on_tables_do_not_load_models_or_statistics(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,answer\nWho?,Ada\n")
    script = (
        "import sys; from sixtyfold.cli import run_command;"
        f"code = run_command(['facts', 'inspect', '--facts', 'table:{tmp_path / 't.csv'}']);"
        "print(code, [name for name in ('torch', 'transformers', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"
