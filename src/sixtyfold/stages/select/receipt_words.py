"""A receipt in words, for the console and the report."""

from __future__ import annotations

from typing import Any

_NAMED = 3


def in_words(receipt: dict[str, Any]) -> list[str]:
    """Return a receipt as sentences, the proof that nothing leaks last."""
    answers, leaks = receipt["answers"], receipt["leaks"]
    most, pool = answers["most_common"][0], answers["most_common_in_pool"][0]
    lengths = {of: _lengths(counts) for of, counts in receipt["answer_words"].items()}
    common = f"most common: {most['answer']} ({100 * most['share']:.1f}%)"
    in_pool = f"in the pool {pool['answer']} ({100 * pool['share']:.1f}%)"
    lines = [
        f"{receipt['examples']} examples out of a pool of {receipt['pool']:,}",
        f"{answers['distinct']} different answers; {common}, {in_pool}",
        f"words per answer: {lengths['examples']}; in the pool: {lengths['pool']}",
    ]
    if receipt["relabelled"]:
        lines.append(f"{receipt['relabelled']} examples of level 0 teach that it is not known")
    lines += [
        f"short: {each['what']} has {each['taken']} where {each['wanted']:.1f} were wanted"
        for each in receipt["short"]
    ]
    for reason, count in receipt["dropped"]["by_reason"].items():
        lines.append(f"left out: {count:,} ({reason})")
    for each in receipt["dropped"]["shared_with_held_out"][:_NAMED]:
        lines.append(f"  {each['question']} ({each['reason']}: {each['held_out_question']})")
    checked = f"checked against {leaks['held_out_facts_checked']:,} dev and test facts"
    shared = ", ".join(
        f"{count} {name.replace('_', ' ')}"
        for name, count in leaks.items()
        if name.endswith("_shared")
    )
    return [*lines, f"{checked}: {shared}"]


def _lengths(counts: dict[str, int]) -> str:
    """Return counts by number of words, 4 standing for more, as shares.

    >>> _lengths({"1": 3, "4": 1})
    '1 75%, 4 or more 25%'
    """
    total = sum(counts.values())
    names = {"4": "4 or more"}
    shares = {words: round(100 * count / total) for words, count in counts.items()}
    return ", ".join(f"{names.get(words, words)} {share}%" for words, share in shares.items())
