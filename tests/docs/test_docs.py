"""Everything that the pages show is run, and what they say is what comes out."""

from __future__ import annotations

import difflib
import re
import shutil
import sys
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import build  # noqa: E402

from mlmat.cli import main  # noqa: E402

#: Digits after the point that may differ from one machine to the next: arithmetic in another order.
LAST_DIGITS = re.compile(r"(-?\d+\.\d\d)\d+")


@pytest.mark.slow
@pytest.mark.parametrize("path", build.pages(), ids=lambda path: path.stem)
def test_a_page_runs_as_written_and_shows_what_comes_out(path: Path) -> None:
    folder = build.folder_for(path)
    now = build.Page(path, folder).run()
    shutil.rmtree(folder)
    shown, found = (LAST_DIGITS.sub(r"\1", text).splitlines() for text in (path.read_text(), now))
    assert not list(difflib.unified_diff(shown, found, lineterm="", n=0)), "run `make docs`"


@pytest.mark.parametrize("name", ["schema", "commands"])
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / f"{name}.md").read_text() == getattr(build, name)(), "run `make docs`"


def test_every_column_of_the_schema_has_a_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `[^`]*` \|(.*)\|$", build.schema(), re.M)
    assert len(rows) > 100
    assert [name for name, meaning in rows if not meaning.strip()] == []


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    names = main.list_commands(click.Context(main))
    assert all(f"## mlmat {name}\n" in text for name in names)


def test_links_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
