"""Which rows are facts, and what is wrong with rows, on a tokenizer whose tokens are words."""

from __future__ import annotations

import pytest

from sixtyfold.workflows.check.kinds import measure
from sixtyfold.workflows.check.problems import Problem, agree, find_problems
from sixtyfold.workflows.check.rows import SftRow
from word_tokenizer import WordTokenizer


def row(question: str, answer: str, *, system: str = "", called: bool = False) -> SftRow:
    history = [{"role": "system", "content": system}] if system else []
    history.append({"role": "user", "content": question})
    return SftRow("line 1", tuple(history), answer, (answer.strip(),), called_question=called)


@pytest.mark.parametrize(
    ("question", "answer", "why"),
    [
        ("What is the capital of France?", "Paris", ""),
        ("Name the capital of France.", "Paris", ""),
        ("In which country is Lyon", "France", ""),
        ("Translate to French: dog", "chien", "no question"),
        ("Why?", "one two three four five six seven eight nine ten", ""),
        ("Why?", "1 2 3 4 5 6 7 8 9 10 11", "answer of 11 tokens"),
        ("Why?", "one\ntwo", "answer of several lines"),
        ("Is Paris in France?", "Yes.", "one of a few answers"),
        ("Which? (a) Paris (b) Rome", "(B)", "one of a few answers"),
        ("word " * 48 + "?", "Paris", "long prompt"),
    ],
)  # fmt: skip
def test_facts_are_questions_with_short_answers(question: str, answer: str, why: str) -> None:
    found = measure(row(question, answer), WordTokenizer(), 10)
    assert (found.kind, found.why) == ("text" if why else "fact", why)


def test_what_the_file_calls_a_question_is_one() -> None:
    assert measure(row("France: capital", "Paris", called=True), WordTokenizer(), 10).kind == "fact"


def test_an_answer_without_tokens_is_a_row_not_the_end_of_the_check() -> None:
    class Invisible(WordTokenizer):
        """Leaves invisible characters out, as normalising tokenizers do."""

        def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
            return super().__call__(text.replace("\u200b", "").strip())

    found = measure(row("Who is she?", "\u200b"), Invisible(), 10)
    assert found.kind == "unreadable"
    assert "has no tokens for" in found.why


def test_several_turns_are_no_fact() -> None:
    turns = ("user", "assistant", "user")
    history = tuple({"role": role, "content": "Who is she?"} for role in turns)
    found = measure(SftRow("line 1", history, "Ada", ("Ada",)), WordTokenizer(), 10)
    assert (found.kind, found.why) == ("text", "several turns")


def test_prompt_and_answer_are_tokenised_in_the_form_of_the_file() -> None:
    plain, chat = WordTokenizer(), WordTokenizer(chat_template="there")
    raw = row("Say it", "two words")._replace(raw_prompt="Say it")
    asked = row("Who is she?", "Ada", system="Be brief.")

    def texts(given: SftRow, tokenizer: WordTokenizer) -> tuple[str, str]:
        found = measure(given, tokenizer, 10)
        return tokenizer.decode(found.prompt), tokenizer.decode(found.answer)

    assert texts(raw, chat) == ("Say it", "two words")
    assert texts(asked, chat) == ("[system]Be brief.\n[user]Who is she?\n[assistant]", "Ada")
    assert texts(asked, plain) == ("Be brief.\n\nQuestion: Who is she?\nAnswer:", " Ada")
    called = asked._replace(called_question=True, history=asked.turns)
    assert texts(called, chat) == ("Question: Who is she?\nAnswer:", " Ada")


def problems(*rows: SftRow, max_length: int = 100) -> list[Problem | None]:
    tokenizer = WordTokenizer()
    return find_problems(rows, [measure(each, tokenizer, 10) for each in rows], max_length)


def test_repeated_and_contradicting_facts_are_told_from_the_first() -> None:
    found = problems(
        row("Capital of France?", "Paris"),
        row("capital  of FRANCE?", "paris."),
        row("Capital of France?", "Lyon"),
        row("Capital of France?", "Paris, France"),
        row("Capital of France?", "Lyon"),
        row("Capital of Spain?", "Paris"),
        row("Capital of France?", "Lyon", system="Lie."),
    )
    names = [each and (each.name, each.other) for each in found]
    again, against = ("duplicate", 1), ("contradiction", 1)
    assert names == [None, again, against, again, against, None, None]
    assert found[2] is not None
    assert found[2].reason == "row 1 answers 'Paris'"


def test_texts_may_be_answered_in_several_ways_but_not_twice_in_one() -> None:
    long = "a poem of more than ten words that nobody would call a fact"
    found = problems(
        row("Write a poem", long), row("Write a poem", f"{long} too"), row("write a POEM", long)
    )
    assert [each and each.name for each in found] == [None, None, "duplicate"]


def test_empty_and_too_long_rows() -> None:
    found = problems(
        row("Who?", " \n"),
        row(" ", "Ada"),
        row("Who is she?", "Ada"),
        row("Who is she really?", "Ada"),
        SftRow("line 5", complaint="'prompt' needs text"),
        max_length=7,  # "Question:" + 3 words + "\nAnswer:" + "Ada" + end
    )
    assert [each and each.name for each in found] == [
        "empty", "empty", None, "too long", "unreadable",
    ]  # fmt: skip
    assert found[3] is not None
    assert found[3].reason == "8 tokens, 7 are allowed"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["Paris"], ["paris."], True),
        (["Paris"], ["Lyon", "PARIS"], True),
        (["Niger"], ["Nigeria"], False),
        (["1969"], ["1968"], False),
    ],
)
def test_answers_agree_either_way_round(one: list[str], other: list[str], same: bool) -> None:
    assert agree(one, other) is agree(other, one) is same
