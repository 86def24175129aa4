"""`mlmat models` and `mlmat runners` tell energy scheme and expected error."""

from __future__ import annotations

from mlmat.cli._text import model_lines, runner_lines
from mlmat.methods.load import available
from mlmat.potentials.models import Model, listing


def test_models_tell_scheme_and_expected_error() -> None:
    lines = {line.split()[0]: line for line in model_lines(listing())}
    shipped = lines["mace-64x0e-chgnet"]
    assert (
        "scheme MP2020; expected error 94 meV/atom (e_above_hull), 94 meV/atom (formation_energy_per_atom)" in shipped
    )
    own = Model("own", "registered", listing()[0].path, "0" * 64, 1, expected_errors={"e_above_hull": 0.03})
    nothing = Model("own", "registered", listing()[0].path, "0" * 64, 1)
    given, unknown = model_lines([own, nothing])
    assert "scheme unknown; expected error 30 meV/atom (e_above_hull)" in given
    assert "scheme unknown; expected error unknown" in unknown


def test_runners_tell_those_of_their_default_model() -> None:
    lines = list(runner_lines(available()))
    assert any(line.startswith("  by default: scheme MP2020; expected error 94 meV/atom") for line in lines)
