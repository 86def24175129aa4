"""Energy schemes: their names, and those of models and runners."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from ase import Atoms
from click.testing import CliRunner

from mlmat.cli import main
from mlmat.errors import UsageError
from mlmat.materials import schemes
from mlmat.methods.method import ResolvedMethod
from mlmat.potentials import models
from mlmat.runner import WrappedAtomsRunner
from mlmat.store import Store


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLMAT_CACHE", str(tmp_path / "cache"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", "weights" * 100)
    path = tmp_path / "mine.model"
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize(
    ("text", "name", "dispersion"),
    [
        ("mp2020", "MP2020", "none"),
        ("R2SCAN", "r2SCAN", "none"),
        (" MP raw  GGA/GGA+U ", "MP raw GGA/GGA+U", "none"),
        ("MP raw GGA/GGA+U + D3", "MP raw GGA/GGA+U + D3", "D3"),
        ("pbe-d3(BJ)", "PBE + D3(BJ)", "D3(BJ)"),
        ("PBE+U Dudarev 4 eV, PAW 54", "PBE+U Dudarev 4 eV, PAW 54", None),
    ],
)
def test_names(text: str, name: str, dispersion: str | None) -> None:
    found = schemes.named(text)
    assert (found.name, found.dispersion) == (name, dispersion)
    assert schemes.named(name) == found


@pytest.mark.parametrize("text", ["", "  ", "unknown", "a\nb" * 200])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError, match="a scheme takes"):
        schemes.named(text)


def test_methods_that_share_data_or_a_teacher() -> None:
    learned = {name: model.trained_on for name, model in schemes.MODELS.items()}
    assert schemes.shared(learned["mace-64x0e-chgnet"], learned["chgnet-0.3.0"])
    assert schemes.shared(learned["medium-mpa-0"], learned["chgnet-0.3.0"])
    assert not schemes.shared(learned["small-omat-0"], learned["chgnet-0.3.0"])
    assert not schemes.shared(None, None)


def test_models_that_are_known(file: Path) -> None:
    known = {model.name: model.energies()["scheme"] for model in models.listing()}
    assert known[models.default()] == "MP2020"
    assert known["medium-mpa-0"] == "MP raw GGA/GGA+U"
    assert known["mace-matpes-r2scan-0"] == "MatPES-r2SCAN"
    assert known["mh-1"] is None
    assert known["untrained"] is None


def test_a_file_is_registered_with_what_it_learned(file: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["models", *words])
        return done.exit_code, done.output

    code, said = run("add", str(file))
    assert code == 0
    assert "energy scheme: unknown; say it with" in said  # no terminal: nobody is asked
    more = ["--scheme", "mp raw gga/gga+u", "--trained-on", "MPtrj, own"]
    assert run("add", str(file), *more, "--expected-error", "e_above_hull=0.04")[0] == 0
    assert models.resolve("mine").energies() == {
        "scheme": "MP raw GGA/GGA+U", "trained_on": "MPtrj, own", "expected_errors": {"e_above_hull": 0.04},
    }  # fmt: skip
    assert run("add", str(file))[0] == 0  # again: what was said stays
    assert models.resolve("mine").energies()["scheme"] == "MP raw GGA/GGA+U"
    assert "scheme MP raw GGA/GGA+U" in run()[1]
    for wrong in ("e_above_hull", "energy=0.1", "e_above_hull=-1", "e_above_hull=inf"):
        assert run("add", str(file), "--expected-error", wrong)[0] == 2


def test_the_store_keeps_it_and_ids_stay(file: Path, store: Store) -> None:
    models.add(str(file))
    before = ResolvedMethod("mace", {"model": "mine"}).method
    models.add(str(file), scheme="MP raw GGA/GGA+U", trained_on="MPtrj", expected_errors={"e_above_hull": 0.04})
    after = ResolvedMethod("mace", {"model": "mine"}).method
    assert after["method_id"] == before["method_id"]
    for method in (before, after, before):
        store.adopt_method(method)
        with store._writing() as con:
            from mlmat.store.tables import results

            results.add_method(con, method)
    row = store.arrow("SELECT scheme, functional, corrections, trained_on FROM method").to_pylist()
    assert row == [{"scheme": "MP raw GGA/GGA+U", "functional": "PBE", "corrections": "none", "trained_on": "MPtrj"}]
    errors = store.arrow("SELECT quantity, class, error FROM expected_error").to_pylist()
    assert errors == [{"quantity": "e_above_hull", "class": "all", "error": 0.04}]


class Lab(WrappedAtomsRunner):
    version, scheme = "1", "PBE+U Dudarev 4 eV, PAW 54"

    def run(self, atoms: Atoms) -> dict[str, float]:
        return {"energy": -1.0}


def test_a_runner_may_declare_its_scheme() -> None:
    assert ResolvedMethod("runner.test_schemes_of_models:Lab", {}).method["scheme"] == "PBE+U Dudarev 4 eV, PAW 54"
