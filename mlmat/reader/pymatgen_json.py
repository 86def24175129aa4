"""The reader of pymatgen's JSON: structures, computed entries, documents that hold one, and collections of these.

A structure is told by its keys. What `@module` and `@class` name is never imported: an unknown file must not choose
what runs.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from mlmat.reader.common.block import SELECTIVE
from mlmat.reader.common.crystal import Content, Part, block, check_size, elements, refusal, to_the_end
from mlmat.reader.common.json import Node, documents
from mlmat.reader.common.occupancy import shares
from mlmat.reader.common.verdict import NotACrystal, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.reader.common.block import Block, Limits

FORMAT = "JSON of pymatgen (.json, .jsonl, .ndjson)"
PATTERNS = ("*.json", "*.jsonl", "*.ndjson")
#: Part of the parser's name in the store: raise it whenever the same text may come out differently.
READER_VERSION = 1
_PARSER = f"mlmat.pymatgen_json {READER_VERSION}"
_SIGN = re.compile(rb'"sites"\s*:')
#: Keys that name an entry or a document, the first one that is there.
_NAMES = ("entry_id", "material_id", "task_id")
#: How deep structures may lie in lists and objects of lists and objects.
_DEPTH = 3


class _Found(NamedTuple):
    name: str
    node: Node


def accepts(data: bytes) -> bool:
    """Whether it is an object or array with sites in it."""
    return data[:100].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") and _SIGN.search(data) is not None


def read(name: str, data: bytes, limits: Limits) -> Iterator[Block]:
    """The structures of a file; names are ids of entries or keys of the collection."""
    parts = chain.from_iterable(map(_parts, documents(name, data)))
    return to_the_end((_block(part, i, limits) for i, part in enumerate(parts)), _PARSER)


def _parts(document: Node | NotACrystal) -> list[_Found | NotACrystal]:
    if isinstance(document, NotACrystal):
        return [document]
    return [*_inside("", document, _DEPTH)] or [NotACrystal("no structure of pymatgen in it")]


def _inside(name: str, node: Node, depth: int) -> Iterator[_Found]:
    """The structures below a node; a member of a list without any stands for itself, so that it gets its reason."""
    value = node.value
    if isinstance(value, dict) and (_is_structure(value) or _is_structure(value.get("structure"))):
        yield _Found(name, node)
    elif isinstance(value, list | dict) and depth:
        for child in node.children():
            if isinstance(child.value, dict | list):
                found = list(_inside("" if isinstance(value, list) else child.key, child, depth - 1))
                lost = isinstance(value, list) and isinstance(child.value, dict) and not found
                yield from [_Found("", child)] if lost else found


def _is_structure(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("sites"), list)


def _block(found: _Found | NotACrystal, index: int, limits: Limits) -> Block:
    if isinstance(found, NotACrystal):
        return refusal(Part("", index, "", _PARSER), found)
    value = found.node.value
    name = next((str(value[key]) for key in _NAMES if value.get(key)), found.name)
    part = Part(name, index, found.node.text, _PARSER)
    return block(part, partial(_checked, value, limits), limits)


def _checked(value: dict[str, Any], limits: Limits, warnings: list[str]) -> Content:
    try:
        return _content(value, limits, warnings)
    except KeyError as error:
        raise NotACrystal(f"not a structure of pymatgen: {error} is missing") from None


def _content(value: dict[str, Any], limits: Limits, warnings: list[str]) -> Content:
    if _is_structure(value):
        return _structure(value, limits, warnings)
    if not _is_structure(value.get("structure")):
        raise NotACrystal(f"no structure in this {value.get('@class', 'object')}")
    content = _structure(value["structure"], limits, warnings)
    pairs = {k: v for k, v in value.items() if not k.startswith("@")}
    if value.get("@class") in ("ComputedStructureEntry", "ComputedEntry"):
        pairs = {**_pairs(value, "parameters"), **_pairs(value, "data"), "correction": value.get("correction")}
        content.results = {**content.results, **_energy(value, warnings)}
    content.key_values = {**content.key_values, **pairs}
    return content


def _pairs(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _energy(entry: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    """The energy of an entry without corrections, in eV, where it is that of the structure's cell."""
    composition = entry.get("composition")
    sites = len(entry["structure"]["sites"])
    if isinstance(composition, dict) and abs(sum(map(float, composition.values())) - sites) > 1e-3:
        warnings.append("energy left out: the composition of the entry is not that of the cell")
        return {}
    return {"energy": entry.get("energy")}


def _structure(value: dict[str, Any], limits: Limits, warnings: list[str]) -> Content:
    sites = value["sites"]
    check_size(len(sites), limits)
    if not isinstance(value.get("lattice"), dict):
        raise Refused("no cell: a molecule, not a crystal")
    matrix, pbc = value["lattice"]["matrix"], value["lattice"].get("pbc", [True] * 3)
    occupancy = [_occupancy(site["species"]) for site in sites]
    disorder = shares(occupancy, [site.get("label") or "/".join(o) for site, o in zip(sites, occupancy, strict=True)])
    charge = value.get("charge") or None
    content = Content(cell=matrix, pbc=pbc, disorder=disorder, key_values={**_pairs(value, "properties")})
    if charge is not None:
        content.key_values = {**content.key_values, "charge": charge}
    if disorder:
        content.sites = occupancy
        return content
    content.numbers, content.masses = elements([next(iter(site)) for site in occupancy], warnings)
    content.positions = _positions(sites, matrix)
    content.moments, content.charges = _property(sites, "magmom"), _property(sites, "charge")
    final = {"magmoms": _property(sites, "final_magmom"), "charges": _property(sites, "final_charge")}
    content.results = final
    if any(_is_fixed(flags) for flags in _property(sites, "selective_dynamics") or ()):
        warnings.append(SELECTIVE)
    return content


def _positions(sites: list[dict[str, Any]], matrix: Any) -> Any:
    import numpy as np

    try:
        return np.array([site["abc"] for site in sites], float) @ np.array(matrix, float).reshape(3, 3)
    except (KeyError, TypeError, ValueError):
        raise NotACrystal("the cell, or coordinates (abc) of the sites, are not numbers") from None


def _occupancy(species: list[dict[str, Any]]) -> dict[str, float]:
    """Occupancy by element; different charges or spins of an element are one."""
    found: dict[str, float] = {}
    for kind in species:
        share = kind.get("occu", 1.0)
        if not isinstance(share, int | float):
            raise NotACrystal(f"an occupancy is not a number: {share}")
        found[kind["element"]] = found.get(kind["element"], 0.0) + share
    return found


def _property(sites: list[dict[str, Any]], name: str) -> list[Any] | None:
    """A property of the sites, moments as numbers or vectors; None where no site has it."""
    values = [_number(_pairs(site, "properties").get(name)) for site in sites]
    return None if all(value is None for value in values) else values


def _is_fixed(flags: Any) -> bool:
    return isinstance(flags, list) and not all(flags)


def _number(value: Any) -> Any:
    """A value as it is: the moment of a Magmom, the list of an array of numpy."""
    if not isinstance(value, dict):
        return value
    return value.get("data") if value.get("@module") == "numpy" else value.get("moment")
