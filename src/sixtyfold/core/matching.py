"""When does a text contain an accepted answer? One matcher per fact, four modes.

    paper     plain containment of the object or an alias, as in the papers
    standard  case-insensitive, Unicode-normalised, on word boundaries, common nouns also in the
              plural, names not behind a word that makes another name of them ("West Virginia").
              Where an accepted answer stands in the subject ("Bank of Madrid"), copies of the
              subject do not count; where it is the whole subject, it counts only at once
    strict    the answer alone
    loose     standard, also without articles and punctuation, or the first word of an alias

Knows text only: no tokens, no model.
"""

from __future__ import annotations

import functools
import re
import string
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

from sixtyfold.core.facts import normalise

MatchMode = Literal["paper", "standard", "strict", "loose"]
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))
_WORD = re.compile(r"\w")
_SHORTEST_FIRST_WORD = 4
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
#: Words that, before a name, make the name of another place: Virginia, Mexico, Africa.
_ANOTHER = (
    *("north", "south", "east", "west", "new"),
    *("northeast", "northwest", "southeast", "southwest"),
)
_BEFORE_SUBJECT = re.compile(r"\W*(?:the\W+)?")
_BEHIND_ANOTHER = re.compile(rf"\b(?:{'|'.join(_ANOTHER)})[ -]?\Z")


class Matcher(NamedTuple):
    """Decides hits of one fact; build it with `matcher`."""

    mode: MatchMode
    answers: tuple[str, ...]
    subject: str
    anywhere: re.Pattern[str]
    at_end: re.Pattern[str]
    copies_subject: bool
    is_subject: bool

    @property
    def on_boundaries(self) -> bool:
        """Whether the character after an answer decides if it is a hit."""
        return self.mode in {"standard", "loose"}

    def hit(self, text: str) -> bool:
        """Whether the whole continuation `text` is a hit.

        >>> matcher("standard", ["Niger"], "Niamey").hit(" in Nigeria")
        False
        >>> matcher("standard", ["Madrid"], "Bank of Madrid").hit(" the Bank of Madrid")
        False
        >>> matcher("standard", ["Madrid"], "Bank of Madrid").hit(" Madrid, Spain")
        True
        >>> matcher("paper", ["Niger"], "Niamey").hit(" in Nigeria")
        True
        >>> matcher("strict", ["Paris"], "France").hit(" Paris.")
        True
        """
        if self.mode == "paper":
            return any(answer in text for answer in self.answers)
        if self.mode == "strict":
            return strip_answer(text) in self.answers
        searched = self._searched(text)
        # An answer inside a copy of the subject that the end of the text cuts off is a copy.
        whole = len(searched) - self._copy_begun(searched)
        end = len(searched.rstrip())
        return any(
            found.end() <= whole or found.end() == end for found in self.anywhere.finditer(searched)
        )

    def confirmed(self, text: str) -> bool:
        """Whether every continuation of `text` is a hit: an answer and the character after it."""
        if not self.on_boundaries:
            return self.mode == "paper" and self.hit(text)
        # The bytes of an unfinished character may become a letter that goes on the word.
        searched = self._searched(text.rstrip(_UNFINISHED))
        settled = min(len(searched) - 1, len(searched) - self._copy_begun(searched))
        return any(found.end() <= settled for found in self.anywhere.finditer(searched))

    def pending(self, text: str) -> bool:
        """Whether `text` ends with an answer that the next character will confirm or undo."""
        searched = self._searched(text.rstrip(_UNFINISHED))
        return self.on_boundaries and self.at_end.search(searched) is not None

    def counts_behind(self, text: str) -> bool:
        """Whether any answer spelled behind `text` and a space is a hit once its word has ended.

        Only meant for matchers that `settle`.

        >>> matcher("standard", ["Virginia"], "Norfolk").counts_behind(" in West")
        False
        >>> matcher("standard", ["Madrid"], "Bank of Madrid").counts_behind(" the Bank of")
        False
        """
        if not self.on_boundaries:
            return True
        searched = self._searched(text)
        if self.is_subject and _BEFORE_SUBJECT.fullmatch(searched) is None:
            return False
        return not (_BEHIND_ANOTHER.search(searched) or self._copy_begun(searched))

    @property
    def settles(self) -> bool:
        """Whether an answer that `counts_behind` a text is a hit whatever follows its word.

        Not so if the whole text decides, or if an answer may turn out to begin the subject.

        >>> matcher("standard", ["Madrid"], "Bank of Madrid").settles
        True
        >>> matcher("standard", ["Madrid"], "Madrid Open").settles
        False
        """
        if self.mode == "strict":
            return False
        if not self.copies_subject or self.is_subject:
            return True
        ends = ("", "s", "es")
        return self.mode == "standard" and not any(
            _runs_into(answer + end, self.subject) for answer in self.answers for end in ends
        )

    def undecided(self, text: str) -> bool:
        """Whether the end of `text` may turn out to be inside a copy of the subject."""
        return self._copy_begun(self._searched(text)) > 0

    def _copy_begun(self, searched: str) -> int:
        """Return how many characters at the end may turn out to begin a copy of the subject."""
        if not self.copies_subject or self.is_subject:
            return 0
        longest = min(len(self.subject) - 1, len(searched))
        lengths = range(longest, 0, -1)
        return next((n for n in lengths if searched.endswith(self.subject[:n])), 0)

    def _searched(self, text: str) -> str:
        # A trailing space is the character that confirms an answer; normalising would drop it.
        tail = " " if text[-1:].isspace() else ""
        searched = normalise(text) + tail
        if self.mode == "loose":
            searched = _loosened(searched) + tail
        if self.copies_subject and not self.is_subject:
            searched = searched.replace(self.subject, "\x00")
        return searched


def _runs_into(answer: str, subject: str) -> bool:
    """Whether an answer's end and what follows its word may begin a copy of the subject."""
    longest = min(len(answer), len(subject) - 1)
    return any(
        answer.endswith(subject[:length]) and not _WORD.match(subject[length])
        for length in range(1, longest + 1)
    )


@functools.lru_cache(maxsize=65536)
def _matcher(mode: MatchMode, objects: tuple[str, ...], subject: str) -> Matcher:
    if mode == "paper":
        answers = objects
    elif mode == "strict":
        answers = tuple(dict.fromkeys(strip_answer(each) for each in objects))
    else:
        answers = tuple(dict.fromkeys(normalise(each) for each in objects))
    if mode == "loose":
        answers = tuple(dict.fromkeys(form for each in answers for form in _loose_forms(each)))
    answers = tuple(each for each in answers if each)
    nouns = {normalise(each) for each in objects if each[:1].islower()}
    word = _word(answers, nouns)
    name = _loosened(normalise(subject)) if mode == "loose" else normalise(subject)
    inside = bool(name) and re.search(rf"{word}(?!\w)", name) is not None
    is_subject = inside and name in answers
    if is_subject:
        copied = [each for each in answers if re.search(rf"(?<!\w){re.escape(each)}(?!\w)", name)]
        others = [each for each in answers if each not in copied]
        word = rf"(?:\A\W*(?:the\W+)?{_word(copied, nouns)}|{_word(others, nouns)})"
    return Matcher(
        mode,
        answers,
        name,
        re.compile(rf"{word}(?!\w)"),
        re.compile(rf"{word}\Z"),
        inside and mode != "paper",
        is_subject,
    )


def _word(answers: Sequence[str], nouns: Collection[str]) -> str:
    """Return the pattern of an answer up to where its word may end.

    Args:
        answers: normalised answers.
        nouns: those of them that are written without a capital: not names, but words with a plural.
    """
    if not answers:
        return r"(?!)"
    longest_first = sorted(answers, key=len, reverse=True)
    spelled = [re.escape(each) + ("(?:s|es)?" if each in nouns else "") for each in longest_first]
    names = [text for each, text in zip(longest_first, spelled, strict=True) if each not in nouns]
    words = [text for each, text in zip(longest_first, spelled, strict=True) if each in nouns]
    another = "".join(rf"(?<!\b{each}[ -])" for each in _ANOTHER)
    parts = [rf"{another}(?:{'|'.join(names)})"] if names else []
    parts += [f"(?:{'|'.join(words)})"] if words else []
    return rf"(?<!\w)(?:{'|'.join(parts)})"


def matcher(mode: MatchMode, objects: Sequence[str], subject: str) -> Matcher:
    """Build the matcher of a fact.

    Args:
        mode: one of the four modes above.
        objects: accepted answers with their aliases.
        subject: the fact's subject, or an empty string.
    """
    return _matcher(mode, tuple(objects), subject)


def _loosened(text: str) -> str:
    """Return a normalised text without articles and punctuation."""
    return " ".join(_ARTICLES.sub(" ", text.translate(_PUNCTUATION)).split())


def _loose_forms(answer: str) -> list[str]:
    plain = _loosened(answer)
    first = plain.split(" ")[0]
    return [plain, first] if len(first) >= _SHORTEST_FIRST_WORD else [plain]


def strip_answer(text: str) -> str:
    """Return the normalised answer without articles in front and punctuation around.

    >>> strip_answer(" The Netherlands.")
    'netherlands'
    """
    plain = normalise(text).strip(string.punctuation + string.whitespace + "“”‘’")
    return re.sub(r"^(a|an|the) ", "", plain)


def exact(answer: str, objects: Sequence[str]) -> bool:
    """Whether the answer is an accepted one and nothing else.

    >>> exact(" Paris.", ["Paris"]), exact("Paris is it", ["Paris"])
    (True, False)
    """
    return strip_answer(answer) in {strip_answer(each) for each in objects}


def token_f1(answer: str, objects: Sequence[str]) -> float:
    """Return the best F1 of word counts between the answer and an accepted one (SQuAD's measure).

    >>> round(token_f1("the city of Paris", ["Paris"]), 3)
    0.5
    """
    given = Counter(strip_answer(answer).split())
    best = 0.0
    for each in objects:
        wanted = Counter(strip_answer(each).split())
        shared = (given & wanted).total()
        if shared:
            best = max(best, 2 * shared / (given.total() + wanted.total()))
    return best
