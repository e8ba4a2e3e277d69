"""Options of `sixtyfold probe`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import SPLITS
from sixtyfold.core.matching import MatchMode
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.spec import StageSpec
from sixtyfold.engines.vllm_options import VllmOptions
from sixtyfold.sources.options import FactsOption

BUDGET_UNITS = ("draws", "tokens", "minutes")


class ProbeSpec(FactsOption, ModelOptions, VllmOptions, StageSpec):
    """Measure recall and level of every fact for a base model."""

    not_recorded: ClassVar[frozenset[str]] = VllmOptions.not_recorded | {"fresh"}

    model: str = "embedded"
    """`embedded`, a directory, a .gguf file or a Hugging Face id."""

    splits: str = "train,dev,test"
    """Which splits to probe, separated by commas."""

    engine: Literal["torch", "vllm"] = "torch"
    """torch, or vllm where it is installed (`make setup-vllm`), which needs --estimator draws."""

    server: str | None = None
    """Address of an OpenAI-compatible completions server that draws, such as
    http://127.0.0.1:8000/v1; --model is its model's name there, or --served-model where --model is
    the model's files. Needs --estimator draws."""

    served_model: str | None = None
    """The model's name on the server, where that is not --model."""

    parity: str | None = None
    """Two engines, as `torch,vllm` or `torch,server`: probe with both, plainly, and say how many
    levels differ beyond chance."""

    limit: int | None = Field(default=None, ge=1)
    """First N facts of a seeded shuffle; all without it."""

    estimator: Literal["survival", "draws"] = "survival"
    """survival (cheap, unbiased) or draws (share of hits, the papers')."""

    match: MatchMode = "standard"
    """paper, standard, strict or loose."""

    templates: int | None = Field(default=None, ge=1)
    """First K templates of each relation; all without it."""

    draws: float | None = Field(default=None, ge=1)
    """Draws per template, on average where they are allocated; 1 for survival and 10 for draws
    without it."""

    budget: str | None = None
    """In place of --draws, what may be spent: `5000 draws`, `100000 tokens` or `20 minutes` (of
    the torch engine, whose speed can be timed); --plan says what that buys."""

    allocation: Literal["neyman", "even"] = "neyman"
    """neyman: one draw everywhere, further ones where they tell most. even: the same everywhere;
    plain draws are always even."""

    max_new_tokens: int = Field(default=32, ge=1)
    """Length of a draw."""

    slick: bool = False
    """Also sort every fact into a SliCK class (arXiv 2405.05904): 170 short answers a fact, to
    few-shot questions. Needs 6 other dev or training facts of each relation."""

    temperature: float = Field(default=0.7, gt=0)
    """Sampling temperature."""

    batch: int | None = Field(default=None, ge=1)
    """Draws that run together; what memory allows without it."""

    fresh: bool = False
    """Draw everything anew: neither take draws of the same weights and protocol from the cache nor
    keep new ones there."""

    seed: int = 0
    """Seed of the shuffle and of every draw."""

    @field_validator("splits")
    @classmethod
    def _known_splits(cls, value: str) -> str:
        parts = [part.strip() for part in value.split(",")]
        if not parts or not set(parts) <= set(SPLITS):
            raise ValueError(f"allowed: {', '.join(SPLITS)}, separated by commas")
        return ",".join(sorted(set(parts)))

    @model_validator(mode="after")
    def _engine_gives_what_is_asked(self) -> ProbeSpec:
        if self.drawn_by == "torch" or self.parity is not None:
            return self
        if self.server is not None and self.engine != "torch":
            raise ValueError("--server draws by itself: leave --engine vllm out, or --server")
        given = "--server" if self.drawn_by == "server" else "--engine vllm"
        if self.estimator != "draws":
            raise ValueError(f"{given} gives texts and no probabilities: add --estimator draws")
        if self.engine == "vllm" and (self.load_in_4bit or self.device != "auto"):
            raise ValueError(
                "--engine vllm takes the devices it was built for and the weights as they are: "
                "leave --device and --load-in-4bit out"
            )
        if self.budget is not None and parse_budget(self.budget)[1] == "minutes":
            raise ValueError(
                f"--budget {self.budget}: the speed of {given} is not known before it draws; "
                "give the budget in draws or tokens"
            )
        return self

    @property
    def drawn_by(self) -> Literal["torch", "vllm", "server"]:
        """The engine that draws."""
        return self.engine if self.server is None else "server"

    @field_validator("budget")
    @classmethod
    def _known_unit(cls, value: str | None) -> str | None:
        if value is not None:
            parse_budget(value)
        return value

    @model_validator(mode="after")
    def _draws_can_be_made(self) -> ProbeSpec:
        if self.draws is not None and self.budget is not None:
            raise ValueError("--draws and --budget say the same thing: give one of them")
        even = self.estimator == "draws" or self.allocation == "even"
        if even and self.draws is not None and self.draws != int(self.draws):
            raise ValueError(
                f"--draws {self.draws} is no whole number; the same draws everywhere need one "
                "(--estimator survival --allocation neyman takes 1.5)"
            )
        return self

    @property
    def evenly(self) -> bool:
        """Whether every prompt gets the same number of draws."""
        return self.estimator == "draws" or self.allocation == "even"

    @property
    def draws_per_template(self) -> float:
        """Draws per template on average, the default filled in; a budget is not."""
        return self.draws or (1.0 if self.estimator == "survival" else 10.0)

    def bought(self, prompts: int, tokens_in: Callable[[float], float]) -> ProbeSpec:
        """Return this spec with its budget turned into draws per template.

        Args:
            prompts: prompts of the probe.
            tokens_in: how many tokens can be sampled in so many seconds.

        Raises:
            BadInput: the budget does not buy one draw for each prompt.
        """
        if self.budget is None:
            return self
        amount, unit = parse_budget(self.budget)
        if unit == "minutes":
            amount, unit = tokens_in(60 * amount), "tokens"
        bought = amount / self.max_new_tokens if unit == "tokens" else amount
        if bought < prompts:
            raise BadInput(
                f"--budget {self.budget} buys {int(bought)} draws and {prompts} prompts need one "
                "each; allow more, or use fewer facts (--limit) or templates (--templates)"
            )
        draws = bought / prompts
        # Rounded down, so that what is recorded is what was used.
        return self.model_copy(
            update={"draws": float(int(draws) if self.evenly else int(draws * 100) / 100)}
        )


def parse_budget(text: str) -> tuple[float, str]:
    """Split a budget into amount and unit.

    >>> parse_budget("20 minutes")
    (20.0, 'minutes')
    """
    number, _, unit = text.strip().partition(" ")
    unit = unit.strip().rstrip("s") + "s"
    try:
        amount = float(number.replace(",", "").replace("_", ""))
    except ValueError:
        amount = 0.0
    if unit not in BUDGET_UNITS or amount <= 0:
        raise ValueError(f"allowed: a number and one of {', '.join(BUDGET_UNITS)}: '20 minutes'")
    return amount, unit
