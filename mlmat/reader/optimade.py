"""The reader of OPTIMADE structures: a resource in each line, or a response with resources under `data`.

Written from the OPTIMADE specification 1.2. Properties that are texts or numbers become key-value pairs, those of
mlmat itself (`_mlmat_energy` in eV, `_mlmat_forces` in eV/Å, `_mlmat_stress` in eV/Å³, …) results.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from mlmat.reader.common.crystal import Content, Part, block, check_size, elements, isotope, refusal, to_the_end
from mlmat.reader.common.json import Node, documents
from mlmat.reader.common.occupancy import shares
from mlmat.reader.common.values import SHAPES
from mlmat.reader.common.verdict import NotACrystal, Refused, some

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.reader.common.block import Block, Limits

FORMAT = "OPTIMADE (.jsonl, .ndjson, .json)"
PATTERNS = ("*.jsonl", "*.ndjson", "*.json")
#: Part of the parser's name in the store: raise it whenever the same text may come out differently.
READER_VERSION = 1
_PARSER = f"mlmat.optimade {READER_VERSION}"
_SIGN = re.compile(rb'"x-optimade"|"type"\s*:\s*"(?:structures|references|files|trajectories|calculations|info)"')
#: Prefix of the properties that are results.
OURS = "_mlmat_"
#: What says that there is more, or less, than the listed sites.
_DISORDER = ("disorder", "assemblies", "site_attachments")
#: Standard properties that are scalars but follow from the geometry.
_GEOMETRY = {
    "nelements", "nsites", "nperiodic_dimensions", "chemical_formula_reduced", "chemical_formula_hill",
    "chemical_formula_anonymous", "space_group_it_number",
}  # fmt: skip


def accepts(data: bytes) -> bool:
    """Whether it has OPTIMADE's words in it."""
    return _SIGN.search(data) is not None


def read(name: str, data: bytes, limits: Limits) -> Iterator[Block]:
    """The structures of a file; names are their OPTIMADE ids. Headers and other resources are passed over."""
    return to_the_end((_block(node, i, limits) for i, node in enumerate(_nodes(name, data))), _PARSER)


def _nodes(name: str, data: bytes) -> Iterator[Node | NotACrystal]:
    for document in documents(name, data):
        if isinstance(document, NotACrystal):
            yield document
        else:
            yield from _resources(document)


def _resources(document: Node) -> Iterator[Node]:
    value = document.value
    if isinstance(value, list):
        yield from _structures(document)
        return
    if not isinstance(value, dict):
        raise NotACrystal("not OPTIMADE: no object")
    if value.get("type") == "structures":
        yield document
    elif "data" in value and (data := document.child("data")) is not None:
        yield from _structures(data)
    elif "type" not in value and "x-optimade" not in value:
        raise NotACrystal("not OPTIMADE: neither a resource nor a response")


def _structures(data: Node) -> list[Node]:
    """The structures of one resource or several."""
    nodes = [data] if isinstance(data.value, dict) else list(data.children())
    found = [node for node in nodes if isinstance(node.value, dict) and node.value.get("type") == "structures"]
    if not found:
        raise NotACrystal("OPTIMADE without structures in it")
    return found


def _block(node: Node | NotACrystal, index: int, limits: Limits) -> Block:
    if isinstance(node, NotACrystal):
        return refusal(Part("", index, "", _PARSER), node)
    part = Part(str(node.value.get("id", "")), index, node.text, _PARSER)
    return block(part, partial(_content, node.value, limits), limits)


def _content(resource: dict[str, Any], limits: Limits, warnings: list[str]) -> Content:
    said = resource.get("attributes", resource)
    if not isinstance(said, dict):
        raise NotACrystal("its attributes are no object")
    names, positions = said.get("species_at_sites"), said.get("cartesian_site_positions")
    if not isinstance(names, list) or not isinstance(positions, list):
        raise NotACrystal("without sites: ask for species_at_sites, cartesian_site_positions and species")
    check_size(len(names), limits)
    species = _species(said)
    occupancy = [_share(species, name) for name in names]
    features = said.get("structure_features") or []
    disorder = shares(occupancy, names) or _said_disorder(features)
    content = Content(
        positions=positions,
        cell=_cell(said.get("lattice_vectors")),
        pbc=said.get("dimension_types") or [1, 1, 1],
        disorder=disorder,
        sites=occupancy if disorder else (),
        declared_formula=said.get("chemical_formula_reduced"),
        problem=_unlisted(species, features),
        moments=_moments(said.get(f"{OURS}initial_magnetic_moments"), len(names)),
        charges=said.get(f"{OURS}initial_charges"),
        key_values=_pairs(said),
        results=_results(said),
    )
    if not disorder:
        content.numbers, content.masses = elements([next(iter(site)) for site in occupancy], warnings)
    return content


def _is_result(key: str) -> bool:
    return key.startswith(OURS) and key.removeprefix(OURS) in (*SHAPES, "calculator")


def _pairs(said: dict[str, Any]) -> dict[str, Any]:
    """What is neither geometry nor a result; names of mlmat are those that it had before."""
    pairs = {key: value for key, value in said.items() if key not in _GEOMETRY and not _is_result(key)}
    ours = {key.removeprefix(OURS): value for key, value in pairs.items() if key.startswith(OURS)}
    return ours | {key: value for key, value in pairs.items() if not key.startswith(OURS)}


def _moments(values: Any, n: int) -> Any:
    """Vector moments from their flattened components, as the store has them."""
    flat = isinstance(values, list) and len(values) == 3 * n and n > 0
    return [values[i : i + 3] for i in range(0, 3 * n, 3)] if flat else values


def _results(said: dict[str, Any]) -> dict[str, Any]:
    found = {key.removeprefix(OURS): value for key, value in said.items() if _is_result(key)}
    return {"calculator": said.get(f"{OURS}method"), **found}


def _said_disorder(features: Any) -> str | None:
    found = [word for word in _DISORDER if isinstance(features, list) and word in features]
    return f"disordered: its structure_features are {some(found)}" if found else None


def _unlisted(species: dict[str, dict[str, Any]], features: Any) -> str | None:
    attached = [name for name, kind in species.items() if kind.get("attached")]
    if attached:
        return f"atoms that are not listed are attached to {some(attached)}"
    return "it says that it has atoms which are not listed" if "implicit_atoms" in features else None


def _species(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    species = said.get("species")
    if not isinstance(species, list):
        raise NotACrystal("without species: which elements are on the sites?")
    if not all(isinstance(kind, dict) and "name" in kind and "chemical_symbols" in kind for kind in species):
        raise NotACrystal("species without name or chemical_symbols")
    return {str(kind["name"]): kind for kind in species}


def _share(species: dict[str, dict[str, Any]], name: Any) -> dict[str, float]:
    """What a species puts on a site: occupancy by element, without vacancies."""
    if str(name) not in species:
        raise Refused(f"{name} is on a site, but not among the species")
    kind = species[str(name)]
    symbols = _isotopes(kind["chemical_symbols"], kind.get("mass"))
    found: dict[str, float] = {}
    try:
        for symbol, concentration in zip(symbols, kind.get("concentration") or [1.0] * len(symbols), strict=True):
            if symbol != "vacancy":
                found[symbol] = found.get(symbol, 0.0) + float(concentration)
    except (TypeError, ValueError):
        raise NotACrystal(f"species {name}: symbols and concentrations are not two equal lists") from None
    return found


def _isotopes(symbols: Any, masses: Any) -> Any:
    """The symbols of a species, D and T in place of H where its masses (u) are theirs."""
    if not isinstance(symbols, list) or not isinstance(masses, list) or len(masses) != len(symbols):
        return symbols
    return [isotope(symbol, mass) or symbol for symbol, mass in zip(symbols, masses, strict=True)]


def _cell(vectors: Any) -> Any:
    """The cell with zeros for what is null: directions that are not periodic."""
    if not isinstance(vectors, list):
        return None
    return [[0.0 if x is None else x for x in vector] if isinstance(vector, list) else vector for vector in vectors]
