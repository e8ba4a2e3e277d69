from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.matching import MatchMode, exact, matcher, strip_answer, token_f1

ON_BOUNDARIES: list[MatchMode] = ["standard", "loose"]
TEXT = st.text(alphabet="ab AB.,-'’™é\n ", max_size=12)
WORDS = st.lists(st.sampled_from(["york", "new", "the", "city", "er", ","]), min_size=1, max_size=3)


@pytest.mark.parametrize(
    ("mode", "objects", "subject", "text", "hit"),
    [
        ("standard", ["Niger"], "", " in Nigeria", False),
        ("standard", ["Niger"], "", " Niger.", True),
        ("standard", ["Niger"], "", " NIGER", True),
        ("standard", ["Niger"], "", " Niger™", False),
        ("standard", ["Niger"], "", " Niger's", True),
        ("standard", ["São Paulo"], "", " Sa\u0303o  paulo", True),
        ("standard", ["Washington, D.C."], "", " Washington, D.C. is", True),
        ("standard", ["US", "USA"], "", " USA", True),
        ("standard", ["Madrid"], "Bank of Madrid", " the Bank of Madrid", False),
        ("standard", ["Madrid"], "Bank of Madrid", " bank of madrid in Madrid", True),
        ("standard", ["Madrid"], "Madrid Metro", " Madrid Metro", False),
        ("standard", ["Madrid"], "Madrid Metro", " Madrid", True),
        ("standard", ["Madrid"], "Madrid Metro", " Madrid\n", True),
        ("standard", ["Madrid"], "Madrid Metro", " Madrid M", False),
        ("standard", ["Netherlands"], "Netherlands", " the Netherlands.", True),
        ("standard", ["Netherlands"], "Netherlands", " near the Netherlands.", False),
        ("standard", ["Virginia"], "Norfolk", " West Virginia", False),
        ("standard", ["New York", "NYC"], "New York", " a city like New York", False),
        ("standard", ["New York", "NYC"], "New York", " a city called NYC", True),
        ("paper", ["Niger"], "", " in Nigeria", True),
        ("paper", ["Niger"], "", " niger", False),
        ("paper", ["Madrid"], "Bank of Madrid", " the Bank of Madrid", True),
        ("strict", ["Paris"], "", " Paris.", True),
        ("strict", ["The Hague"], "", " hague", True),
        ("strict", ["Paris"], "", " Paris, France", False),
        ("loose", ["Washington, D.C."], "", " Washington", True),
        ("loose", ["Isle of Man"], "", " the isle, of the man", True),
        ("loose", ["Rome"], "", " Jerome", False),
        ("loose", ["West"], "Bank of the West", " Bank of the West", False),
    ],
)
def test_hits(mode: MatchMode, objects: list[str], subject: str, text: str, hit: bool) -> None:
    assert matcher(mode, objects, subject).hit(text) == hit


@pytest.mark.parametrize(
    ("text", "pending", "confirmed"),
    [
        (" Niger", True, False),
        (" Niger ", False, True),
        (" Niger,", False, True),
        (" Nigeria", False, False),
        (" Niger\ufffd", True, False),  # bytes of a character that is not finished: undecided
        (" Niger is", False, True),
    ],
)
def test_the_next_character_decides(text: str, pending: bool, confirmed: bool) -> None:
    hits = matcher("standard", ["Niger"], "Niamey")
    assert hits.pending(text) == pending
    assert hits.confirmed(text) == confirmed


@pytest.mark.parametrize(
    ("text", "confirmed"),
    [
        (" Madrid", False),
        (" Madrid ", False),
        (" Madrid Me", False),
        (" Madrid Metro,", False),
        (" Madrid mayor", True),
        (" Madrid, Madrid Me", True),
    ],
)
def test_an_answer_that_may_become_the_subject_is_not_confirmed(text: str, confirmed: bool) -> None:
    assert matcher("standard", ["Madrid"], "Madrid Metro").confirmed(text) == confirmed


@pytest.mark.parametrize("mode", [*ON_BOUNDARIES, "paper"])
@pytest.mark.parametrize("subject", ["x", "York", "York City", "New York City"])
@given(first=WORDS, second=WORDS, joined=st.booleans())
def test_confirmed_is_never_taken_back(
    mode: MatchMode, subject: str, first: list[str], second: list[str], joined: bool
) -> None:
    hits = matcher(mode, ["York", "new york"], subject)
    text = " " + " ".join(first)
    longer = text + ("" if joined else " ") + " ".join(second)
    if hits.confirmed(text):
        assert hits.hit(text)
        assert hits.hit(longer)


@given(TEXT)
def test_a_pending_text_is_a_hit_as_it_stands(text: str) -> None:
    for mode in ON_BOUNDARIES:
        hits = matcher(mode, ["ab", "a b"], "")
        if hits.pending(text):
            assert hits.hit(text)


@given(TEXT)
def test_paper_is_plain_containment(text: str) -> None:
    assert matcher("paper", ["ab", "B A"], "").hit(text) == ("ab" in text or "B A" in text)


def test_exact_and_f1() -> None:
    assert exact("“The Netherlands.”", ["netherlands"])
    assert not exact("Netherlands Antilles", ["Netherlands"])
    assert token_f1("Rio de Janeiro", ["Rio", "rio de janeiro"]) == 1
    assert token_f1("in Rio", ["Rio"]) == pytest.approx(2 / 3)
    assert token_f1("", ["Rio"]) == 0
    assert strip_answer("  A Coruña! ") == "coruña"
