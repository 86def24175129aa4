"""A mixture of methods in the report: a method of its own, whose rows say whose energy they have."""

from __future__ import annotations

from pathlib import Path

from hand_made import method
from store.test_hull import LIO, entries

from mlmat.page import _contents, write_report
from mlmat.store import Store


def test_a_mixture_is_a_method_of_its_own(store: Store, tmp_path: Path) -> None:
    method(store, "a", label="method a")
    method(store, "b", label="method b")
    entries(store, "a", [LIO[0], LIO[2]])
    entries(store, "b", [LIO[1]])
    mixture = store.mix("both", ["a", "b"])
    found = _contents.of(store, "mixed")
    assert found["methods"]["method"] == ["method a", "method b", "both"]
    assert found["methods"]["ok"] == [2, 1, 3]
    rows = store.arrow("SELECT count(*) AS n FROM phase")["n"][0].as_py()
    assert found["size"] == rows == 6
    line = write_report(store, tmp_path / "hull.svg", system="Li-O", method="both")
    assert "3 phases of Li-O by both, 3 on the hull" in line
    assert write_report(store, tmp_path / "hull.png", system="Li-O", method=mixture).startswith(str(tmp_path))
