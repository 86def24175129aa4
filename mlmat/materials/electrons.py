"""Total charge and spin multiplicity of a structure: the names that files and calculators have for them. Pure."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

#: Names of the total charge, in e. `charge` is what ASE's calculators read, the other one what MACE's data sets say.
CHARGE = ("charge", "total_charge")
#: Names of the multiplicity 2S+1 beside a charge: what MACE (`spin`, `total_spin`) and fairchem (`spin`) mean. Alone
#: they may be anything: a switch, S itself, the multiplicity of a site.
SPIN = ("spin", "total_spin", "multiplicity")
#: The name that means it anywhere.
MULTIPLICITY = "spin_multiplicity"
#: Charges in e that are the same.
GRID = 1e-5


class State(NamedTuple):
    """Total charge in e and multiplicity 2S+1; None where nothing was said."""

    charge: float | None = None
    multiplicity: int | None = None

    @property
    def mark(self) -> bytes:
        """What goes into a structure's id: nothing for what is neutral and a singlet, or of which nothing is said."""
        charge, multiplicity = round((self.charge or 0.0) / GRID), self.multiplicity or 1
        return f"charge {charge} multiplicity {multiplicity}".encode() if charge or multiplicity > 1 else b""


def state_of(pairs: Mapping[Any, Any], warnings: list[str] | None = None) -> State:
    """What key-value pairs (of a file, or `atoms.info`) say; warnings gets what is said and cannot be meant."""
    notes = [] if warnings is None else warnings
    said = {str(name).lower(): value for name, value in pairs.items() if value is not None}
    charge = _one(said, CHARGE, _charge, notes)
    names = (MULTIPLICITY, *SPIN) if charge is not None else (MULTIPLICITY,)
    multiplicity = _one(said, names, _multiplicity, notes)
    return State(charge, None if multiplicity is None else int(multiplicity))


def put(info: MutableMapping[str, Any], state: State) -> None:
    """Write a state into `atoms.info`, under the names that calculators read."""
    if state != State():
        info["charge"] = _plain(state.charge or 0.0)
        if state.multiplicity is not None:
            info["spin"] = state.multiplicity


def pairs_of(state: State) -> dict[str, Any]:
    """A state as key-value pairs whose names mean it in any format."""
    found = {"total_charge": state.charge, MULTIPLICITY: state.multiplicity}
    return {name: _plain(value) for name, value in found.items() if value is not None}


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def _one(said: Mapping[str, Any], names: tuple[str, ...], read: Any, notes: list[str]) -> float | None:
    """The value that all of these names agree on."""
    found = {name: read(said[name]) for name in names if name in said}
    odd = [name for name, value in found.items() if value is None]
    notes.extend(f"{name} = {said[name]!s:.40} is not taken for the total charge or spin multiplicity" for name in odd)
    values = {value for value in found.values() if value is not None}
    if len(values) > 1:
        notes.append(f"{' and '.join(found)} disagree: none of them is taken")
    return values.pop() if len(values) == 1 else None


def _charge(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and abs(number) <= 1e4 else None


def _multiplicity(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number.is_integer() and 1 <= number <= 1e4 else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if isfinite(found) else None
