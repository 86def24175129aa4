from __future__ import annotations

import pytest

from mlmat.reader import Block, Limits
from mlmat.reader.cif import read


@pytest.fixture
def blocks():
    def of(content: str | bytes, limits: Limits | None = None) -> list[Block]:
        data = content.encode() if isinstance(content, str) else content
        return list(read("x.cif", data, limits or Limits()))

    return of


@pytest.fixture
def block(blocks):
    def of(content: str | bytes, limits: Limits | None = None) -> Block:
        found = blocks(content, limits)
        assert len(found) == 1
        return found[0]

    return of
