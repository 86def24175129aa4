"""Which energy schemes a row may be of, by what it says of its functional, U, pseudopotentials and corrections.

A GGA energy without a correction may stand beside corrected ones where the correction of its composition is nothing,
as that of an element: such a row fits several schemes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmat.corrections import Crystal, Uncorrectable, mp2020
from mlmat.imports._given import Wrong
from mlmat.materials import schemes

if TYPE_CHECKING:
    from collections.abc import Mapping

MIXED = "MP GGA/GGA+U/r2SCAN mixed"
#: Functional, and whether there is a U, of what files call a run type (in capitals, without blanks).
_RUN_TYPES = {
    **dict.fromkeys(("GGA", "PBE", "GGA_PBE"), ("PBE", False)),
    **dict.fromkeys(("GGA+U", "GGA_U", "PBE+U", "PBE_U"), ("PBE", True)),
    **dict.fromkeys(("GGA_GGA+U", "GGA_GGA_U", "GGA/GGA+U"), ("PBE", None)),
    **dict.fromkeys(("R2SCAN", "R²SCAN", "METAGGA_R2SCAN"), ("r2SCAN", False)),
    **dict.fromkeys(("R2SCAN+U", "R2SCAN_U"), ("r2SCAN", True)),
    **dict.fromkeys(("PBESOL", "PBE_SOL", "GGA_PBESOL"), ("PBEsol", False)),
    **dict.fromkeys(("PBESOL+U", "PBESOL_U"), ("PBEsol", True)),
    "SCAN": ("SCAN", False), "SCAN+U": ("SCAN", True), "LDA": ("LDA", False), "LDA+U": ("LDA", True),
    "HSE06": ("HSE06", False), "GGA_GGA+U_R2SCAN": (MIXED, None),
}  # fmt: skip
#: How far a correction may be from that of MP2020, in eV/atom.
_SAME = 1e-3
#: Pseudopotentials that the Materials Project has changed in the course of the years.
_ALSO = {"W": {"W_pv", "W_sv"}, "Yb": {"Yb_2", "Yb_3"}}
_COMPATIBILITY, _MIXING = "MaterialsProject2020Compatibility", "MaterialsProjectDFTMixingScheme"


@dataclass(frozen=True, slots=True)
class Said:
    """What a row says of its energy: every value may be anything.

    scheme: by its name; run_type: as the Materials Project has them; hubbards: U in eV by element; potcars: names of
    pseudopotentials, with their functional before them; kinds: classes of pymatgen that its corrections are of.
    """

    scheme: Any = None
    run_type: Any = None
    hubbards: Any = None
    potcars: tuple[str, ...] = ()
    kinds: frozenset[str] = field(default_factory=frozenset)


def fitting(
    said: Said, amounts: Mapping[str, float], correction: float | None, cell: Mapping[str, Any] | None
) -> list[str]:
    """Names of the schemes that a row may be of, the likeliest first; none where it says nothing.

    correction: in eV per cell; cell: row of table `structure` that comes with it. Raises Wrong for what is no scheme.
    """
    if said.scheme not in (None, ""):
        return [_named(said.scheme)]
    run_type = _run_type(said)
    if run_type is None:
        return []
    functional, with_u = _RUN_TYPES.get(run_type.upper().replace(" ", ""), (run_type, False))
    if functional == MIXED or _MIXING in said.kinds:
        return [MIXED]
    held = correction if correction and abs(correction) > _SAME * sum(amounts.values()) else 0.0
    if functional != "PBE":
        name = _named(functional + ("+U" if with_u else ""))
        return [f"{name}, corrected ({', '.join(sorted(said.kinds)) or 'by whom it does not say'})" if held else name]
    return _of_pbe(said, amounts, held, cell, bool(mp2020.mixes(amounts) if with_u is None else with_u))


def _named(text: Any) -> str:
    from mlmat.errors import UsageError

    if not isinstance(text, str):
        raise Wrong(f"its energy scheme is not a text: {text!s:.40}")
    try:
        return schemes.named(text).name
    except UsageError as error:
        raise Wrong(f"its energy scheme: {error}") from None


def _run_type(said: Said) -> str | None:
    if said.run_type in (None, "") or said.run_type != said.run_type:
        if _COMPATIBILITY in said.kinds or (said.hubbards and isinstance(said.hubbards, dict)):
            return "GGA+U" if said.hubbards else "GGA_GGA+U"
        return None
    if not isinstance(said.run_type, str):
        raise Wrong(f"its run_type is not a text: {said.run_type!s:.40}")
    return said.run_type.strip()


def _of_pbe(
    said: Said, amounts: Mapping[str, float], held: float, cell: Mapping[str, Any] | None, with_u: bool
) -> list[str]:
    """Of a PBE energy: the schemes of the Materials Project only with its settings, as far as they are said."""
    usual = _usual(said.potcars, amounts)
    values = said.hubbards if isinstance(said.hubbards, dict) else {}
    fits = usual is not False and (mp2020.fits_u(amounts, values) if values or not with_u else False)
    plain = "PBE+U" if with_u else "PBE"
    ours = fits and with_u == mp2020.mixes(amounts)
    if held or _COMPATIBILITY in said.kinds:
        known = _COMPATIBILITY in said.kinds or (not said.kinds and _is_mp2020(amounts, held, cell))
        if known and (ours or (usual is not False and not values)):
            return [schemes.MP2020.name]
        return [f"{plain}, corrected ({', '.join(sorted(said.kinds)) or 'by whom it does not say'})"]
    if usual is False:
        return [f"{plain}, other pseudopotentials than MP"]
    found = [schemes.MP_RAW.name] if ours else []
    if not (ours and (usual or with_u)):
        found.insert(0, plain)
    return [*found, *([schemes.MP2020.name] if ours and _needs_none(amounts, cell) else [])]


def _usual(potcars: tuple[str, ...], amounts: Mapping[str, float]) -> bool | None:
    """Whether pseudopotentials are those of the Materials Project; None where they are not said."""
    given: dict[str, set[str]] = {}
    for text in potcars:
        functional, _, label = text.rpartition(" ")
        given.setdefault(label.partition("_")[0], set()).add(label)
        if functional not in ("", "PBE", "PAW_PBE"):
            return False
    if not given or not set(amounts) <= set(given):
        return None
    return all(given[e] <= {mp2020.potcars().get(e, ""), *_ALSO.get(e, ())} for e in amounts)


def _is_mp2020(amounts: Mapping[str, float], held: float, cell: Mapping[str, Any] | None) -> bool:
    """Whether a correction is that of MP2020, as far as structure or composition tell."""
    return any(abs(one - held) <= _SAME * sum(amounts.values()) for one in _possible(amounts, cell))


def _needs_none(amounts: Mapping[str, float], cell: Mapping[str, Any] | None) -> bool:
    """Whether MP2020 adds nothing; only a structure tells that of ozonides and sulfates."""
    if (nothing := mp2020.may_be_nothing(amounts)) is not None:
        return nothing
    return (cell is not None or not {"O", "S"} & set(amounts)) and _is_mp2020(amounts, 0.0, cell)


def _possible(amounts: Mapping[str, float], cell: Mapping[str, Any] | None) -> list[float]:
    try:
        if cell:
            return [mp2020.correction(_crystal(amounts, cell))]
        return mp2020.possible(amounts)
    except Uncorrectable:
        return []


def _crystal(amounts: Mapping[str, float], cell: Mapping[str, Any]) -> Crystal:
    return Crystal(amounts, cell["lattice_vectors"], cell["atomic_numbers"], cell["cartesian_site_positions"])
