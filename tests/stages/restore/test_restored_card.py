"""The card of a restored checkpoint, of a patch, and of what is rebuilt from it."""

from __future__ import annotations

import shlex
from pathlib import Path

from huggingface_hub import ModelCard

from made_up_checkpoints import write_pair
from sixtyfold.arguments import read
from sixtyfold.commands import COMMANDS, spec_class
from sixtyfold.core.stage import Finished
from sixtyfold.stages.restore.rebuild import run as rebuild
from sixtyfold.stages.restore.rebuild_spec import RebuildSpec
from sixtyfold.stages.restore.run import run
from sixtyfold.stages.restore.spec import RestoreSpec


def restored(tmp_path: Path, name: str = "out", **options: object) -> Finished:
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    if not base.exists():
        write_pair(tmp_path)
    given = {"base": str(base), "tuned": str(tuned), "out": tmp_path / name, **options}
    return run(RestoreSpec.parse(given))


def card(result: Finished) -> ModelCard:
    return ModelCard.load(result.path / "README.md")


def commands(found: ModelCard) -> list[str]:
    """The command lines of a card, folded ones whole."""
    parts = found.text.split("```bash\n")[1:]
    return [part.split("\n```")[0].replace("\\\n", " ") for part in parts]


def test_says_what_was_put_back_and_from_what(tmp_path: Path) -> None:
    done = restored(tmp_path, top=50)
    found = card(done)
    for name in ("base", "tuned"):
        assert f"(fingerprint `{done.manifest['inputs'][name]}`)" in found.text
    assert "54 of 108 weights of the region put back" in found.text
    assert "base_model" not in found.data.to_dict()
    assert found.data.tags == ["sixtyfold", "restored"]
    assert str(tmp_path) not in found.content
    assert "No licence was found for `tuned` and `base`" in found.text


def test_licences_of_both_are_told_and_none_is_claimed(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "base" / "README.md").write_text("---\nlicense: gemma\n---\n")
    (tmp_path / "tuned" / "README.md").write_text("---\nlicense: mit\nbase_model: own/base\n---\n")
    found = card(restored(tmp_path))
    assert (found.data.license, found.data.base_model) == (None, "own/base")
    assert "`mit` of `tuned`; `gemma` of `base`" in found.text


def test_the_command_is_the_one_that_made_it(tmp_path: Path) -> None:
    done = restored(tmp_path, top=50, region="mlp:1", scope="tensor", seed=3)
    _, name, *arguments = shlex.split(commands(card(done))[-1])
    spec = read(name, spec_class(COMMANDS[name]), arguments).spec
    places = {"base", "tuned"}
    again, recorded = spec.recorded(), done.manifest["spec"]
    assert {k: v for k, v in again.items() if k not in places} == {
        k: v for k, v in recorded.items() if k not in places
    }


def test_a_patch_says_how_to_make_the_checkpoint_and_the_checkpoint_does_not(
    tmp_path: Path,
) -> None:
    whole = restored(tmp_path, "whole", top=20)
    patch = restored(tmp_path, "patch", top=20, as_patch=True)
    told = card(patch)
    assert "## This directory is a patch" in told.text
    _, name, *arguments = shlex.split(commands(told)[0])
    spec = read(name, spec_class(COMMANDS[name]), arguments).spec
    assert isinstance(spec, RebuildSpec)
    given = {"base": str(tmp_path / "base"), "tuned": str(tmp_path / "tuned"), "patch": patch.path,
             "out": tmp_path / "rebuilt"}  # fmt: skip
    made = rebuild(spec.model_copy(update=given))
    assert (made.path / "README.md").read_bytes() == (whole.path / "README.md").read_bytes()
    assert "patch" not in card(made).text


def test_a_model_that_was_not_tuned_here_is_loaded_with_a_caution(tmp_path: Path) -> None:
    assert "How questions were put in training is not known here" in card(restored(tmp_path)).text
