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
#: What files write where they say nothing.
_NOTHING = {"", "nan", "n/a", "na", "none", "null", "unknown", "-", "--", "?"}
#: How far a correction may be from that of MP2020, in eV/atom.
_SAME = 1e-3
#: Pseudopotentials that the Materials Project has changed in the course of the years.
_ALSO = {"W": {"W_pv", "W_sv"}, "Yb": {"Yb_2", "Yb_3"}}
_COMPATIBILITY, _MIXING = "MaterialsProject2020Compatibility", "MaterialsProjectDFTMixingScheme"


@dataclass(frozen=True, slots=True)
class Said:
    """What a row says of its energy: every value may be anything.

    scheme: by its name; run_type: as the Materials Project has them; hubbards: U in eV by element; potcars: names of
    pseudopotentials, with their functional before them; kinds: classes of pymatgen that its corrections are of;
    is_hubbard: whether it says so; other_run_type: what a second place of the row says.
    """

    scheme: Any = None
    run_type: Any = None
    hubbards: Any = None
    potcars: tuple[str, ...] = ()
    kinds: frozenset[str] = field(default_factory=frozenset)
    is_hubbard: Any = None
    other_run_type: Any = None


def fitting(
    said: Said, amounts: Mapping[str, float], correction: float | None, cell: Mapping[str, Any] | None
) -> list[str]:
    """Names of the schemes that a row may be of, the likeliest first; none where it says nothing.

    correction: in eV per cell; cell: row of table `structure` that comes with it. Raises Wrong for what is no scheme.
    """
    if not _silent(said.scheme):
        return [_named(said.scheme)]
    run_type = _run_type(said)
    if run_type is None:
        return []
    functional, with_u = _known(run_type)
    _check_u(said, run_type, with_u)
    if not _silent(said.other_run_type) and _known(str(said.other_run_type).strip()) != (functional, with_u):
        raise Wrong(f"it says two run types: {run_type:.40} and {said.other_run_type!s:.40}")
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


def _silent(value: Any) -> bool:
    """Whether a value says nothing."""
    return value is None or value != value or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def _known(run_type: str) -> tuple[str, bool | None]:
    """Functional, and whether there is a U (None: for some), of a run type."""
    return _RUN_TYPES.get(run_type.upper().replace(" ", ""), (run_type, False))


def _check_u(said: Said, run_type: str, with_u: bool | None) -> None:
    """Raises Wrong where a run type without U comes with U values: one of the two is wrong."""
    values = said.hubbards if isinstance(said.hubbards, dict) else {}
    held = {element: u for element, u in values.items() if u}
    if with_u is False and (held or said.is_hubbard is True):
        what = ", ".join(f"{element} {u}" for element, u in sorted(held.items())) or "is_hubbard"
        raise Wrong(f"its run_type is {run_type:.40}, and it has U ({what:.60}): which of the two is right?")


def _run_type(said: Said) -> str | None:
    if _silent(said.run_type):
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
    if held or said.kinds:
        known = said.kinds <= {_COMPATIBILITY} and _is_mp2020(amounts, held, cell)
        if known and (ours or (usual is not False and not values)):
            return [schemes.MP2020.name]
        return [f"{plain}, corrected ({_by_whom(said)})"]
    if usual is False:
        return [f"{plain}, other pseudopotentials than MP"]
    found = [schemes.MP_RAW.name] if ours else []
    if not (ours and (usual or with_u)):
        found.insert(0, plain)
    return [*found, *([schemes.MP2020.name] if ours and _needs_none(amounts, cell) else [])]


def _by_whom(said: Said) -> str:
    """What is known of corrections that are not those of MP2020; where they say they are, that their sum is not."""
    if said.kinds == {_COMPATIBILITY}:
        return f"{_COMPATIBILITY}, other figures than MP2020"
    return ", ".join(sorted(said.kinds)) or "by whom it does not say"


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
    """Whether a correction is that of MP2020, as far as structure or composition tell, whoever published it."""
    try:
        known = mp2020.published(_crystal(amounts, cell)) if cell else mp2020.possible(amounts)
        return any(abs(one - held) <= _SAME * sum(amounts.values()) for one in known)
    except Uncorrectable:
        return False


def _needs_none(amounts: Mapping[str, float], cell: Mapping[str, Any] | None) -> bool:
    """Whether MP2020 adds nothing; only a structure tells that of ozonides and sulfates."""
    if (nothing := mp2020.may_be_nothing(amounts)) is not None:
        return nothing
    return (cell is not None or not {"O", "S"} & set(amounts)) and _is_mp2020(amounts, 0.0, cell)


def _crystal(amounts: Mapping[str, float], cell: Mapping[str, Any]) -> Crystal:
    return Crystal(amounts, cell["lattice_vectors"], cell["atomic_numbers"], cell["cartesian_site_positions"])
