"""What the package imports is what it declares, and nothing heavy is imported at the top of a module."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "mlmat").rglob("*.py"))
#: Come with mace-torch and pymatgen, which need them.
BROUGHT_ALONG = {"e3nn", "matscipy", "scipy"}
HEAVY = {"torch", "mace", "e3nn", "parsl", "pandas", "pymatgen", "ase", "spglib", "gemmi", "pyarrow", "duckdb"}
HEAVY |= {"matplotlib"}
#: Modules of mlmat/ that are imported only where their heavy packages are needed anyway: by workers, by the
#: configuration of a scheduler, with the interface to ase.db.
POTENTIALS = ("potential", "graph", "box", "relax", "cell", "mace", "mace_blocks", "chgnet")
WHERE_NEEDED = {*(f"potentials/{name}.py" for name in POTENTIALS), "scheduler/provider.py"}
WHERE_NEEDED |= {"asedb/interface.py", "asedb/database.py"}
#: Parts of readers, imported when a file is read.
READER_PARTS = ("reader/_cif/", "reader/common/")


def imported(tree: ast.AST, *, top: bool) -> set[str]:
    """Top-level packages that a module imports; with top, only those that importing it imports."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        elif not (top and (lazy or typing)):
            found |= imported(node, top=top)
    return found


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for name, texts in project["optional-dependencies"].items() if name != "dev" for text in texts]
    names = {re.match(r"[\w-]+", text)[0].lower().replace("_", "-") for text in project["dependencies"] + extras}
    owners = metadata.packages_distributions()
    used = {name for module in MODULES for name in imported(ast.parse(module.read_text()), top=False)}
    outside = used - set(sys.stdlib_module_names) - {"mlmat"} - BROUGHT_ALONG
    undeclared = {
        name for name in outside if not names & {owner.lower().replace("_", "-") for owner in owners.get(name, [name])}
    }
    assert not undeclared


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    files = {str(module.relative_to(ROOT / "mlmat")): module for module in MODULES}
    heavy = {file for file, module in files.items() if imported(ast.parse(module.read_text()), top=True) & HEAVY}
    assert {file for file in heavy if not file.startswith(READER_PARTS)} == WHERE_NEEDED
