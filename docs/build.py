"""Bring docs/ up to date with one command: `make docs`. The pages are plain Markdown that renders as it is.

- `schema.md` is written from the column comments of a fresh store, `commands.md` from the help of every command.
- In every page, a block of SQL or commands that is followed by a block marked `text` gets what it prints now: all of a
  page is run in order, in a folder of its own that holds `structures/` (the demo crystals).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
#: A fenced block: what was said before it in a comment, its language and its text.
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```\n", re.M | re.S)
#: How long something took: no two runs agree.
TIMES = re.compile(r" in [\d.]+ (?:s|min|h)(?: \([\d.,e+-]+/s\))?")
LINES = 12  # of an output that a page shows


@dataclass
class Page:
    """A page whose blocks are run in order in one folder."""

    path: Path
    folder: Path

    def __post_init__(self) -> None:
        self.names: dict[str, object] = {"__name__": "__main__"}

    def run(self) -> str:
        """Run every block that is not marked `not run`; the page's text with the outputs of now."""
        text, answer = self.path.read_text(), ""

        def renewed(match: re.Match[str]) -> str:
            nonlocal answer
            language, body = match["language"], match["text"]
            if (match["mark"] or "").startswith("not run"):
                answer = ""
            elif language == "text" and answer:
                shown, answer = shortened(answer), ""
                return f"```text\n{shown}```\n"
            elif language in RUN:
                answer = getattr(self, f"_{language}")(body)
            return match[0]

        return BLOCK.sub(renewed, text)

    def _console(self, body: str) -> str:
        """Commands, one a line; a continued line ends with a backslash."""
        return self._shell(re.sub(r"(?m)^\$ ", "", body))

    def _sql(self, body: str) -> str:
        return self._shell('mlmat sql "$QUERY"', QUERY=body)

    def _shell(self, script: str, **variables: str) -> str:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = os.environ | {"PATH": path, "MLMAT_DB": "mlmat.duckdb", "COLUMNS": "110"} | variables
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.path.name}: {script}\n{done.stdout}{done.stderr}")
        return done.stdout

    def _python(self, body: str) -> str:
        """A file, where the first line names one; else statements, all of a page in one namespace."""
        if named := re.match(r"# (\S+\.py)\n", body):
            (self.folder / named[1]).write_text(body)
            return ""
        printed, here = StringIO(), Path.cwd()
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder))
        try:
            with redirect_stdout(printed):
                exec(compile(body, self.path.name, "exec"), self.names)
        finally:
            sys.path.remove(str(self.folder))
            os.chdir(here)
        return printed.getvalue()


RUN = ("console", "sql", "python")


def shortened(text: str) -> str:
    """The first lines of an output, without spaces at their ends and without times."""
    lines = [line.rstrip() for line in TIMES.sub("", text).strip().splitlines()]
    more = [f"… {len(lines) - LINES} more lines"] if len(lines) > LINES + 1 else []
    return "\n".join([*lines[: LINES if more else None], *more]) + "\n"


def pages() -> list[Path]:
    """The pages that are run: those with something to run."""
    return [path for path in sorted(DOCS.glob("*.md")) if any(m["language"] in RUN for m in _blocks(path))]


def _blocks(path: Path) -> list[re.Match[str]]:
    return [m for m in BLOCK.finditer(path.read_text()) if not (m["mark"] or "").startswith("not run")]


def folder_for(path: Path) -> Path:
    """A new folder with what every page starts from."""
    folder = Path(tempfile.mkdtemp(prefix=f"mlmat-docs-{path.stem}-"))
    shutil.copytree(ROOT / "examples" / "crystals", folder / "structures")
    return folder


def schema() -> str:
    """Every table and view with its columns, types and meanings."""
    from mlmat.store import open_store

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "x.duckdb", create=True)
        tables = store.sql(
            "SELECT table_name AS name, comment FROM duckdb_tables() WHERE NOT internal AND NOT temporary ORDER BY 1"
        )
        parts = ["# The schema\n\nWritten by `make docs` from the column comments; `schemas/` holds the SQL.\n"]
        parts += ["## Tables\n"]
        for name, comment in tables.itertuples(index=False):
            parts.append(_relation(name, _plain(comment), store.columns(name)))
        parts.append("Each runner has a table of its own besides, `result_RUNNER`, and a view RUNNER that joins it.\n")
        parts.append("## Reductions\n")
        parts += [_relation(name, comment, store.columns(name)) for name, comment in store.reductions()]
    return "\n".join(parts)


def _plain(comment: object) -> str:
    """A table's comment; that of the bookkeeping table holds a hash."""
    return re.sub(r"; views \w+$", "", comment) if isinstance(comment, str) else ""


def _relation(name: str, meaning: str, columns: list[tuple[str, str, str]]) -> str:
    rows = [f"| `{column}` | `{kind}` | {text} |" for column, kind, text in columns]
    head = [f"### {name}\n", f"{meaning}.\n", "| column | type | meaning |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows, ""])


def commands() -> str:
    """The help of every command."""
    import click

    from mlmat.cli import main

    def help_of(command: click.Command, words: list[str], parent: click.Context | None) -> list[str]:
        inherited = command.context_settings if parent is None else {}
        context = click.Context(command, info_name=words[-1], parent=parent, terminal_width=100, **inherited)
        found = [f"{'#' * len(words)} {' '.join(words)}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"]
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                found += help_of(child, [*words, name], context)
        return found

    head = "<!-- Written by `make docs` from the commands' own help. -->\n"
    return "\n".join([head, *help_of(main, ["mlmat"], None)])


def main() -> None:
    """Write the generated pages, renew the outputs in the others."""
    (DOCS / "schema.md").write_text(schema())
    (DOCS / "commands.md").write_text(commands())
    for path in pages():
        folder = folder_for(path)
        path.write_text(Page(path, folder).run())
        shutil.rmtree(folder)
        print(path.name)


if __name__ == "__main__":
    main()
