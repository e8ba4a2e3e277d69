"""What follows from a comparison, and what does not.

A rule says what to do where a difference is above 0 and where it is below. It speaks only where
the 95% interval leaves 0 out and p, adjusted after Holm over all comparisons of the section, is
below .05. All other comparisons are listed as not shown, with what this many facts could have
shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sixtyfold.core.paired_tests import holm
from sixtyfold.core.statistics import ALPHA
from sixtyfold.reporting.page import Point
from sixtyfold.workflows.console import percent

DO = "What to do"
NOT_SHOWN = "Not shown, so nothing follows from it"
NOT_SHOWN_EXPLAINED = "Differences whose interval holds 0, or whose p is not below .05:"
NOTHING = "Nothing is recommended: no comparison shows a difference."
EXPLAINED = (
    "A comparison is followed by advice only where the 95% interval of its paired difference "
    "leaves 0 out and p, adjusted after Holm over the comparisons of this section, is below .05. "
    "Differences are in points of accuracy on test, mean over relations where nothing else is said."
)


class Rule(NamedTuple):
    """What to do for each sign of one difference."""

    about: str
    """What is compared: `A over B, where`."""
    above: str
    below: str


class Effect(NamedTuple):
    """A difference in -1..1 with its 95% interval and p, and the rule for it.

    of: which models or trainings are compared, where one rule is asked of several.
    """

    rule: Rule
    value: float
    low: float
    high: float
    p: float
    detectable: float | None = None
    """The smallest true difference that 80% of such comparisons would show, where it is known."""
    of: str = ""


def advise(effects: Sequence[Effect], more: Sequence[str] = ()) -> list[tuple[str, list[Point]]]:
    """Return the lists of a section: what to do, and, where there is any, what is not shown.

    Equal sentences stand once, with all the comparisons that say so; where the same was asked of
    several models or trainings, a sentence says of which it was shown.

    Args:
        effects: differences that were looked at together.
        more: sentences that follow from something else.

    >>> rule = Rule("tuned over base", "Use the tuned model.", "Use the base.")
    >>> advise([Effect(rule, 0.1, 0.04, 0.16, 0.001)])[0][1]  # doctest: +NORMALIZE_WHITESPACE
    [Point(sentence='Use the tuned model.',
           evidence=['tuned over base: +10.0 (+4.0 to +16.0), p 0.001'])]
    >>> advise([Effect(rule, 0.1, -0.04, 0.24, 0.16, 0.2)])[1][1][0].evidence
    ['tuned over base: +10.0 (−4.0 to +24.0), p 0.16; could show ±20.0 or more']
    """
    do: dict[str, list[tuple[Effect, str]]] = {}
    not_shown: list[str] = []
    for effect, p in zip(effects, holm([effect.p for effect in effects]), strict=True):
        interval = percent({key: getattr(effect, key) for key in ("value", "low", "high")}, True)
        numbers = f"{effect.rule.about}: {interval}, {_p_words(p)}"
        if p < ALPHA and effect.low > 0:
            do.setdefault(effect.rule.above, []).append((effect, numbers))
        elif p < ALPHA and effect.high < 0:
            do.setdefault(effect.rule.below, []).append((effect, numbers))
        else:
            not_shown.append(numbers + _could(effect.detectable))
    told = [
        Point(sentence + _of([effect for effect, _ in found], effects), [each for _, each in found])
        for sentence, found in do.items()
    ]
    told += [Point(sentence) for sentence in more]
    lists = [(DO, told)] if told else [(DO, [Point(NOTHING)])]
    if not_shown:
        lists.append((NOT_SHOWN, [Point(NOT_SHOWN_EXPLAINED, not_shown)]))
    return lists


def _of(shown: Sequence[Effect], effects: Sequence[Effect]) -> str:
    """Say of which models or trainings a rule speaks; nothing where it was asked of no several."""
    asked = [each for each in effects if each.rule[1:] == shown[0].rule[1:] and each.of]
    if len(asked) < 2:
        return ""
    return f" Shown for {len(shown)} of {len(asked)}: {'; '.join(each.of for each in shown)}."


def _p_words(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p {p:.2g}"


def _could(detectable: float | None) -> str:
    if detectable is None:
        return ""
    if detectable > 1:  # of accuracies no difference is that large
        return "; too few facts to show any difference"
    return f"; could show ±{100 * detectable:.1f} or more"
