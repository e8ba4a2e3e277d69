"""Questions tried live: models are loaded when they are asked, one in memory at a time.

All of it runs in one worker thread, so the page stays alive and two people wait for each other.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from sixtyfold.core.errors import BadInput, SixtyfoldError
from sixtyfold.core.prompts import PromptForm, PromptOptions, Shot, question_ids
from sixtyfold.explorer.catalogue import Askable

if TYPE_CHECKING:
    from sixtyfold.engines.torch_engine import TorchEngine

LONGEST_QUESTION = 2000
_FIRST_TOKENS = 5
_ROOM = 1.2  # times the weights: what runs beside them


class Way(NamedTuple):
    """How a question is asked."""

    form: PromptForm = "plain"
    shots: tuple[Shot, ...] = ()
    max_new_tokens: int = 32


class Reply(NamedTuple):
    """What a model said, or why it said nothing.

    answer: its first line, greedily.
    ended: whether it ended by itself.
    first: the most likely first tokens of the answer with their probabilities.
    seconds: of the answer, without loading the model.
    problem: one line in the place of an answer.
    """

    answer: str = ""
    ended: bool = False
    first: tuple[tuple[str, float], ...] = ()
    seconds: float = 0.0
    problem: str | None = None


class Live:
    """Models that can be asked."""

    def __init__(self, models: Mapping[str, Askable]) -> None:
        self._models = models
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._loaded: str | None = None

    def ask(self, name: str, question: str, way: Way) -> Future[Reply]:
        """Ask a model as soon as those before it are done.

        A problem (no weights, no memory, a prompt form the model has not) is a part of the reply.

        Args:
            name: key of the model.
            question: at most `LONGEST_QUESTION` characters.
            way: how to ask.
        """
        return self._worker.submit(self._reply, name, question, way)

    def close(self) -> None:
        """Ask nothing more."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _reply(self, name: str, question: str, way: Way) -> Reply:
        try:
            return answered(self._engine(name), question, way)
        except SixtyfoldError as error:
            return Reply(problem=" ".join(str(error).split()))
        except Exception as error:  # noqa: BLE001 - models and their templates fail in many ways
            line = " ".join(str(error).split())[:300]
            return Reply(problem=f"the model failed ({type(error).__name__}: {line})")

    def _engine(self, name: str) -> TorchEngine:
        """Load a model; another one that is in memory is forgotten first.

        Raises:
            BadInput: it cannot be asked, or there is not enough memory for it.
            Corrupted: a file of it is damaged.
        """
        from sixtyfold.core.models import release_model
        from sixtyfold.engines.torch_engine import TorchEngine

        model = self._models[name]
        if model.missing is not None:
            raise BadInput(model.missing)
        if name != self._loaded:
            self._loaded = None
            release_model()
            _check_memory(model)
        engine = TorchEngine.load(model.reference, model.options)
        self._loaded = name
        return engine


def answered(engine: TorchEngine, question: str, way: Way) -> Reply:
    """Answer one question.

    Raises:
        BadInput: the question is empty or too long, or the model has no chat template.
    """
    import torch

    from sixtyfold.engines.greedy import cut_answer, greedy

    if not question.strip() or len(question) > LONGEST_QUESTION:
        raise BadInput(
            f"the question has {len(question)} characters; allowed: 1 to {LONGEST_QUESTION}"
        )
    started = time.monotonic()
    options = PromptOptions(prompt_form=way.form)
    prompt = question_ids(engine.tokenizer, options, question, way.shots)
    if len(prompt) + way.max_new_tokens > engine.context_length:
        raise BadInput(
            f"the prompt has {len(prompt)} tokens and the model takes {engine.context_length} "
            f"with the answer; ask something shorter"
        )
    logits_BV = engine.prefill([prompt]).logits_BV.float()
    likely = torch.softmax(logits_BV[0], -1).topk(min(_FIRST_TOKENS, logits_BV.shape[-1]))
    tokens = zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
    first = tuple((str(engine.tokenizer.decode([token])), share) for token, share in tokens)
    found = greedy(engine, [prompt], way.max_new_tokens)[0]
    seconds = time.monotonic() - started
    return Reply(cut_answer(engine.text(found.ids)), found.stopped, first, seconds)


def _check_memory(model: Askable) -> None:
    """Refuse a model whose weights would not fit into what is free; on a GPU, torch tells.

    Raises:
        BadInput: they would not fit.
    """
    import psutil

    from sixtyfold.core.cost import parameters
    from sixtyfold.core.models import model_directory, resolve_device, resolve_dtype

    device = resolve_device(model.options.device)
    if device != "cpu":
        return
    weights = parameters(model_directory(model.reference, model.options.revision))
    needed = _ROOM * weights * resolve_dtype(model.options.dtype, device).itemsize
    free = psutil.virtual_memory().available
    if needed > free:
        raise BadInput(
            f"{model.label} needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
            "close something else, or ask it on a larger machine"
        )
