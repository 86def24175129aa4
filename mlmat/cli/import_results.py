"""`mlmat import-results`: read energies that were computed elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.materials.schemes import named
from mlmat.output import tell

_EXAMPLE = """mlmat import-results entries_Li-Fe-P-O.json.gz --method PBE-MP2020
mlmat import-results energies.csv --method experiment
mlmat reduce imports                        what became of each row, the refused ones first
mlmat screen --runner mace --of PBE-MP2020  compute the structures that came along"""


@click.command("import-results", cls=Examples, example=_EXAMPLE)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--method", required=True, metavar="NAME", help="The method that computed them, in your words.")
@click.option(
    "--scheme", help="Energy scheme of the whole file (MP2020, r2SCAN, … or any other text), not by its rows."
)
@database
def import_results(file: Path, method: str, scheme: str | None, db: Path) -> None:
    """Read energies that were computed elsewhere, as results of a method of your name.

    FILE is a list of pymatgen's computed entries as JSON, as the Materials Project hands them out, or a CSV or Parquet
    table with the columns formula (of the cell) and energy (eV for that cell), and optionally id, correction (eV, added
    to the energy), structure_id (of this store), cif, run_type and scheme; plain or compressed.

    A method has energies of one scheme (functional, U, corrections): rows that say another one go to a method of their
    own, NAME SCHEME.

    Every row gets a line in `import_row` that says what became of it and why (`mlmat reduce imports`). A row says again
    what the store has under its id: nothing is added. It says something else: the new result counts. What a file has
    no more when it is imported again counts no more. Structures that come along are kept, but are not pending for
    screens unless asked for: `mlmat screen --of NAME`, or `mlmat ingest FILE`. Exit code 1 when no row is taken.
    """
    from mlmat.cli._import_lines import lines
    from mlmat.imports import check_file, method_row
    from mlmat.imports import import_results as run
    from mlmat.progress import bar

    check_file(file)  # a mistyped path should not leave an empty store behind
    method_row(method)
    if scheme:
        named(scheme)
    store = open_store(db, create=True)
    with bar("import", "row") as progress:
        report = run(store, file, method, scheme=scheme, told=progress(0))
    tell(lines(report, str(file), method, db))
    if not report.taken:
        sys.exit(1)
