from __future__ import annotations

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmat.reader.common import contact
from mlmat.reader.common.contact import contacts

CELL = np.array([[9.0, 0, 0], [-3.0, 7.0, 0], [1.0, 2.0, 6.0]])


def nearest_images(fract, cell, cutoff):
    """Every pair within the cutoff by trying all neighbouring cells."""
    shifts = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])
    found = {}
    for i in range(len(fract)):
        for j in range(i + 1, len(fract)):
            d = np.linalg.norm(((fract[j] - fract[i]) % 1.0 + shifts) @ cell, axis=1).min()
            if d < cutoff:
                found[i, j] = d
    return found


@settings(deadline=None, max_examples=examples(60))
@given(st.integers(0, 10_000), st.sampled_from([2, 30, 125]))
def test_all_pairs_within_the_cutoff(seed, n):
    fract = np.random.default_rng(seed).random((n, 3)) * 1.2 - 0.1
    fract[-1] = fract[0] + np.linalg.solve(CELL.T, [0.2, -0.2, 0.1])
    expected = nearest_images(fract, CELL, 0.5)
    for search in (contacts, contact._neighbours):
        found = {(c.first, c.second): c.distance for c in search(fract, CELL, 0.5)}
        assert found.keys() == expected.keys()
        assert all(found[pair] == pytest.approx(d) for pair, d in expected.items())


@pytest.mark.parametrize("edge", [0.6, 300.0, 9_999.0])
def test_time_and_memory_do_not_grow_with_the_cell(edge):
    fract = np.arange(200)[:, None] / 200 * np.ones(3)
    assert (contacts(fract, np.eye(3) * edge) == []) == (edge > 1)


def test_ten_thousand_atoms_in_one_place():
    assert len(contacts(np.zeros((10_000, 3)), CELL)) == 9_999
