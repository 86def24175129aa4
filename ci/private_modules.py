"""A contract for import-linter: a module whose name begins with _ is imported only by its own package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from importlinter import Contract, ContractCheck, output

if TYPE_CHECKING:
    from grimp import ImportGraph


def owner(module: str) -> str:
    """The package that a private module belongs to; "" for a public one."""
    parts = module.split(".")
    private = next((i for i, part in enumerate(parts) if part.startswith("_") and part != "__main__"), None)
    return "" if private is None else ".".join(parts[:private])


class PrivateModules(Contract):
    """Forbids `A._x` from B."""

    type_name = "private_modules"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look at every import."""
        broken = [
            (importer, module)
            for module in sorted(graph.modules)
            if (package := owner(module))
            for importer in sorted(graph.find_modules_that_directly_import(module))
            if importer != package and not importer.startswith(f"{package}.")
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line for each import."""
        for importer, module in check.metadata["broken"]:
            output.print_error(f"{importer} imports {module}, which is private to {owner(module)}", bold=False)
