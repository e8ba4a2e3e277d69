from __future__ import annotations

import threading
import time

import pytest

from sixtyfold.core.threads import in_order, thread_count


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads):
    def slow_first(number):
        time.sleep(0.02 if number == 0 else 0)
        return number * 10

    assert list(in_order(slow_first, range(20), threads)) == [10 * number for number in range(20)]


def test_little_is_made_ahead():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = in_order(lambda number: number, items(), 2)
    assert next(results) == 0
    assert len(taken) == 5
    results.close()
    assert len(taken) == 5


def test_the_first_error_is_raised_when_its_turn_comes():
    def fails_from_three(number):
        if number >= 3:
            raise ValueError(str(number))
        return number

    results = in_order(fails_from_three, range(10), 4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)


def test_several_threads_work():
    both = threading.Barrier(2, timeout=10)
    assert len(list(in_order(lambda _: both.wait(), range(2), 2))) == 2
    assert 1 <= thread_count() <= 8
