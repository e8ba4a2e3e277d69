"""Options of `sixtyfold search`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from sixtyfold.core.lm_eval_options import SampleOptions
from sixtyfold.core.matching import MatchMode
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import Spec, StageSpec
from sixtyfold.core.tensor_names import Region
from sixtyfold.sources.options import FactsOption
from sixtyfold.stages.restore.names import FamilyName

#: Options that are about facts, and about a task of lm-eval.
_OF_FACTS = ("facts", "probe", "split", "match", "max_new_tokens", "system_prompt")
_OF_A_TASK = ("include_path", *SampleOptions.model_fields)


class SearchSpec(SampleOptions, FactsOption, PromptOptions, ModelOptions, StageSpec):
    """Find the repair that answers most dev questions; score the best of each family on test."""

    not_recorded: ClassVar[frozenset[str]] = Spec.not_recorded | {"checkpoint"}

    base: str = "embedded"
    """The model before tuning: `embedded`, a directory, a .gguf file or a Hugging Face id."""

    tuned: str
    """The model after tuning, or a LoRA adapter of the base."""

    allow_pickle: bool = False
    """Also read weights stored as pickles (.bin, .pt), a format that can carry code; with torch's
    loader that builds nothing but tensors. Only for files you trust."""

    probe: Path | None = None
    """A finished probe of the base that covers the judged facts, for what is about level 4."""

    lm_eval_task: str | None = None
    """A task of lm-eval to search on in the place of facts: a seeded half of its documents to
    choose on, the other half to report on."""

    include_path: Path | None = None
    """Directory of lm-eval tasks of your own."""

    split: Literal["train", "dev"] = "dev"
    """Facts the candidates are judged on."""

    limit: int | None = Field(default=None, ge=1)
    """First N facts of a seeded shuffle to judge on; all without it."""

    families: tuple[FamilyName, ...] = get_args(FamilyName)
    """Ways to repair; all of them without it. docs/search.md says what each does."""

    top: tuple[float, ...] = (1, 3, 5, 10, 20, 40, 60)
    """Percentages of weights that the relative rule puts back. Every family is tried at the norms
    of the update that these leave, so that all have equally many candidates of equal strength."""

    objective: Literal["accuracy", "knowledge"] = "accuracy"
    """What the best candidate has most of: accuracy (mean over relations), or knowledge: accuracy
    on the facts of level 4 alone, which needs a probe."""

    lose_at_most: float | None = Field(default=None, ge=0)
    """Points of accuracy on level-4 facts that the best candidate may be below the highest of any
    candidate. Needs a probe."""

    halvings: int = Field(default=2, ge=0, le=6)
    """How often the candidates of each family are halved: the first round asks 1 / 2^N of the
    facts, every further one twice as many of the better half of each family."""

    region: Region = "transformer"
    """The weights that repairs may touch."""

    test: bool = True
    """Score the best of each family once on test, beside tuned, base and the fixed 10% and 20%;
    `--no-test` leaves that out."""

    test_limit: int | None = Field(default=None, ge=1)
    """First N test facts of a seeded shuffle; all without it."""

    checkpoint: bool = True
    """Write the chosen repair as a checkpoint, in OUT/restored; `--no-checkpoint` does not."""

    match: MatchMode = "standard"
    """paper, standard, strict or loose."""

    max_new_tokens: int = Field(default=16, ge=1)
    """Longest answer."""

    batch: int | None = Field(default=None, ge=1)
    """Questions that run together; what memory allows without it."""

    seed: int = 0
    """Seed of the shuffle and of what families draw at random."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if not self.top or not self.families:
            raise ValueError("give at least one of --families and one percentage as --top")
        for percent in self.top:
            if not 0 < percent <= 100:
                raise ValueError(f"--top was given {percent:g}; allowed are percentages up to 100")
        for name in ("families", "top"):
            given = getattr(self, name)
            if len(set(given)) < len(given):
                raise ValueError(f"--{name} names the same thing twice; give each once")
        if self.probe is None and self.about_level_4:
            raise ValueError(
                "--objective knowledge and --lose-at-most are about facts of level 4: give --probe"
            )
        if self.lm_eval_task is not None and self.about_level_4:
            raise ValueError(
                "documents of an lm-eval task have no level: give --lm-eval-task without "
                "--objective knowledge and --lose-at-most"
            )
        if self.load_in_4bit:
            raise ValueError(
                "--load-in-4bit packs weights, and a search overwrites them; leave it out"
            )
        self._refuse_unused()
        return self

    def _refuse_unused(self) -> None:
        """Refuse options that would change nothing."""
        unused = [name for name in _OF_A_TASK if self._is_given(name)]
        if self.lm_eval_task is None and unused:
            raise ValueError(f"--{_flag(unused[0])} is about a task: give --lm-eval-task too")
        unused = [name for name in _OF_FACTS if self._is_given(name)]
        if self.prompt_form == "papers":
            unused.append("prompt_form papers")
        if self.lm_eval_task is not None and unused:
            raise ValueError(
                f"--{_flag(unused[0])} is about facts, and --lm-eval-task takes their place; "
                "the task itself says how its documents are asked and judged"
            )

    def _is_given(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @property
    def about_level_4(self) -> bool:
        """Whether the choice looks at level-4 facts."""
        return self.objective == "knowledge" or self.lose_at_most is not None

    @property
    def rule(self) -> str:
        """The rule of the choice in words."""
        if self.lm_eval_task is not None:
            return f"most accuracy on half of the documents of {self.lm_eval_task}"
        words = {
            "accuracy": f"most {self.split} accuracy, mean over relations",
            "knowledge": f"most accuracy on {self.split} facts of level 4",
        }[self.objective]
        if self.lose_at_most is None:
            return words
        return f"{words}, with at most {self.lose_at_most:g} points lost on level 4"


def _flag(name: str) -> str:
    return name.replace("_", "-")
