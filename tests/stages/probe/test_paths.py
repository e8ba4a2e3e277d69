from __future__ import annotations

import numpy as np
import pytest
import torch

from sixtyfold.stages.probe.paths import choose


@pytest.mark.parametrize("size", [5, 256, 257, 1000])
def test_tokens_are_drawn_as_often_as_they_are_probable(size: int) -> None:
    random = np.random.default_rng(0)
    p = random.dirichlet(np.full(size, 0.2)).astype(np.float32)
    p[random.random(size) < 0.3] = 0.0
    draws = 20000
    u = (np.arange(draws) + 0.5) / draws
    tokens = choose(torch.from_numpy(p).expand(draws, size), u).numpy()
    shares = np.bincount(tokens, minlength=size) / draws
    assert np.abs(shares - p / p.sum()).max() < 2 / draws
    assert (p[tokens] > 0).all()


@pytest.mark.parametrize("size", [3, 300, 49152])
def test_the_largest_number_draws_no_forbidden_token(size: int) -> None:
    p = torch.zeros(4, size)
    p[0, 0] = 1.0
    p[1, -1] = 1e-30
    p[2, size // 2] = 0.1
    p[2, 1] = 1e-8
    largest = np.nextafter(1.0, 0.0)
    for u in (0.0, 0.5, largest):
        tokens = choose(p, np.full(4, u)).tolist()
        assert tokens[0] == 0
        assert tokens[1] == size - 1
        assert tokens[2] in {1, size // 2}
        assert 0 <= tokens[3] < size  # nothing is left: any token, but one there is
