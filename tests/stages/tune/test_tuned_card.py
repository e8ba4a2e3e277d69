"""The card of a tuned checkpoint: its receipt, how it is loaded, how it is repeated."""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.tune.run import run
from sixtyfold.stages.tune.spec import TuneSpec


def blocks(card: ModelCard, language: str) -> list[str]:
    """The blocks of code of a language."""
    parts = card.text.split(f"```{language}\n")[1:]
    return [part.split("\n```")[0] for part in parts]


def printed(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the loading code of a card prints when it is run beside the checkpoint."""
    monkeypatch.chdir(folder)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(script, "card", "exec"), {})  # noqa: S102 - what a reader would run
    return out.getvalue().strip()


def answered(folder: Path, **form: Any) -> str:
    """What the model answers to the card's question when sixtyfold asks it."""
    from sixtyfold.core.models import ModelOptions
    from sixtyfold.core.prompts import question_ids
    from sixtyfold.engines.greedy import cut_answer, greedy
    from sixtyfold.engines.torch_engine import TorchEngine

    engine = TorchEngine.load(str(folder), ModelOptions(device="cpu", dtype="float32"))
    prompt = question_ids(engine.tokenizer, PromptOptions(**form), "What is the capital of France?")
    (found,) = greedy(engine, [prompt], 20)
    return cut_answer(engine.text(found.ids))


@pytest.fixture(scope="module")
def quick(planted: Path, selected: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("card") / "tuned"
    return run(TuneSpec(model=str(planted), selection=selected, out=out, learning_rate=5e-4))


@pytest.fixture(scope="module")
def card(quick: Finished) -> ModelCard:
    return ModelCard.load(quick.path / "README.md")


def test_says_what_was_trained_on(card: ModelCard, quick: Finished, selected: Path) -> None:
    selection = finished(selected)
    assert f"fingerprint of the selection `{selection.fingerprint}`" in card.text
    assert f"(fingerprint `{quick.manifest['inputs']['model']}`)" in card.text
    assert "32 examples seen" in card.text
    relations = {row["relation"]: row["len"] for row in
                 selection.json("receipt")["per_level_and_relation"]}  # fmt: skip
    assert "| relation | level 4 |" in card.text
    for relation, count in relations.items():
        assert f"| `{relation}` | {count} |" in card.text
    assert "0 facts and 0 questions shared" in card.text
    assert "Nothing was measured" in card.text


def test_names_no_place_of_this_machine(
    card: ModelCard, planted: Path, selected: Path, tmp_path: Path
) -> None:
    for place in (planted, selected, tmp_path):
        assert str(place.parent) not in card.content


def test_loads_and_answers_as_told(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = blocks(ModelCard.load(tuned / "README.md"), "python")
    said = printed(script, tuned, monkeypatch)
    assert said == answered(tuned)
    assert said


def test_the_commands_are_those_that_made_it(
    card: ModelCard, quick: Finished, selected: Path
) -> None:
    from sixtyfold.arguments import read
    from sixtyfold.commands import COMMANDS, spec_class

    lines = blocks(card, "bash")[-1].replace("\\\n", " ").splitlines()
    made = {"select": finished(selected), "tune": quick}
    assert [line.split()[1] for line in lines] == list(made)
    for line, result in zip(lines, made.values(), strict=True):
        _, name, *arguments = shlex.split(line)
        spec = read(name, spec_class(COMMANDS[name]), arguments).spec
        places = spec.places  # type: ignore[attr-defined]
        recorded = result.manifest["spec"]
        again = {key: value for key, value in spec.recorded().items() if key in recorded}
        assert {k: v for k, v in again.items() if k not in places} == {
            k: v for k, v in recorded.items() if k not in places
        }


def test_the_chat_form_is_asked_as_a_chat(
    planted: Path, probed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sixtyfold.stages.select.run import run as select
    from sixtyfold.stages.select.spec import SelectSpec

    base = tmp_path / "with-chat"
    shutil.copytree(planted, base)
    (base / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} \n{% endfor %}"
        "{% if add_generation_prompt %}Answer:{% endif %}"
    )
    form = {"prompt_form": "chat", "system_prompt": "Say 'it' in \"one\" word."}
    picked = select(
        SelectSpec(facts=str(planted), probe=probed, size=8, out=tmp_path / "s", **form)
    )
    done = run(TuneSpec(model=str(base), selection=picked.path, out=tmp_path / "t", **form))
    (script,) = blocks(ModelCard.load(done.path / "README.md"), "python")
    assert "apply_chat_template" in script
    assert printed(script, done.path, monkeypatch) == answered(done.path, **form)


def test_a_licence_and_a_parent_are_carried_over(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(planted, base)
    (base / "README.md").write_text("---\nlicense: mit\nbase_model: owner/parent\n---\nWords.\n")
    done = run(TuneSpec(model=str(base), selection=selected, out=tmp_path / "t", max_steps=1))
    header = ModelCard.load(done.path / "README.md").data.to_dict()
    assert (header["license"], header["base_model"]) == ("mit", "owner/parent")


def test_an_adapter_has_a_card_of_its_own(planted: Path, selected: Path, tmp_path: Path) -> None:
    options = {"max_steps": 1, "lora_rank": 2, "keep_adapter": True, "out": tmp_path / "t"}
    done = run(TuneSpec.parse({"model": str(planted), "selection": selected, **options}))
    card = ModelCard.load(done.path / "adapter" / "README.md")
    assert card.data.library_name == "peft"
    assert "A LoRA of rank 2" in card.text
    assert "from_pretrained('BASE')" in card.text
    assert str(planted.parent) not in card.content
    assert "LoRA of rank 2 was trained and merged" in (done.path / "README.md").read_text()


@pytest.mark.parametrize(("own", "where"), [(True, "owner/parent"), (False, "BASE")])
def test_an_adapter_is_loaded_on_the_weights_it_was_trained_on(
    own: bool, where: str, tmp_path: Path
) -> None:
    from sixtyfold.core.model_origin import Origin
    from sixtyfold.stages.tune.card import write_adapter_card

    base = Origin("owner/parent" if own else "mine", "owner/parent", {}, "f0")
    spec = TuneSpec.parse({"selection": tmp_path, "lora_rank": 2, "out": tmp_path / "t"})
    write_adapter_card(tmp_path, spec, base)
    card = ModelCard.load(tmp_path / "README.md")
    assert f"AutoModelForCausalLM.from_pretrained({where!r})" in card.text
    assert (card.data.base_model, card.data.base_model_relation) == ("owner/parent", "adapter")
