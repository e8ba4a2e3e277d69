"""Options of the `evaluate` command: those of the stage, and asking a base in all ways."""

from __future__ import annotations

from pydantic import model_validator

from sixtyfold.stages.evaluate.spec import EvaluateSpec


class AskingSpec(EvaluateSpec):
    """Ask a model questions and record every answer; ask a base in every way it might answer."""

    ways: bool = False
    """Ask dev and test facts three ways (--prompt-form as given, the same with 4 worked examples,
    the model's chat template where it has one) and say which is best on dev: what a base can do
    with the best prompt is what a tuned model has to beat."""

    @model_validator(mode="after")
    def _ways_choose_themselves(self) -> AskingSpec:
        if self.ways and self.shots:
            raise ValueError("--ways asks with 4 worked examples by itself: leave --shots out")
        return self

    def stage(self, **changed: object) -> EvaluateSpec:
        """Return the stage's options, some of them changed."""
        own = {name: getattr(self, name) for name in EvaluateSpec.model_fields}
        return EvaluateSpec.parse({**own, **changed})
