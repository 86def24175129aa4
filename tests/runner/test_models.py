"""The folder of models: what is registered, what is refused, what is never loaded."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlmat.cli import main
from mlmat.errors import ModelError
from mlmat.potentials import models
from mlmat.reader import Limits
from mlmat.reader.cif import read
from mlmat.runner.mace import Runner

ROOT = Path(__file__).parents[2]


def archive(content: str) -> bytes:
    """A zip archive: what a model file is from the outside."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", content * 100)
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLMAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.model"
    path.write_bytes(archive("weights"))
    return path


def test_a_file_is_copied_hashed_and_found_by_name_and_by_path(cache: Path, file: Path) -> None:
    added = models.add(str(file))
    assert added.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert added.path == cache / "mine.model"
    assert models.resolve("mine") == added
    assert models.resolve(str(file)) == added
    prepared = Runner.prepare({"model": "mine"})
    assert (prepared.model_name, prepared.model_sha256) == ("mine", added.sha256)
    assert prepared.settings["model"] == str(added.path)


def test_a_file_that_nobody_registered_is_not_loaded(cache: Path, file: Path) -> None:
    with pytest.raises(ModelError, match="runs code") as caught:
        Runner.prepare({"model": str(file)})
    assert f"mlmat models add {file}" in str(caught.value)


def test_a_wrong_hash_is_refused_and_nothing_stays(cache: Path, file: Path) -> None:
    with pytest.raises(ModelError, match="removed"):
        models.add(str(file), sha256="0" * 64)
    assert not list(cache.glob("mine.m*"))
    assert not list(cache.glob("*.json"))
    models.add(str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest().upper())


@pytest.mark.parametrize("content", [b"<html>not found</html>", archive("weights")[:-20], b""])
def test_what_is_no_model_is_refused(cache: Path, tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.model"
    bad.write_bytes(content)
    with pytest.raises(ModelError):
        models.add(str(bad))
    assert "bad" not in {model.name for model in models.listing()}


def test_two_files_of_one_name_are_kept_apart(cache: Path, file: Path) -> None:
    first = models.add(str(file))
    file.write_bytes(archive("other weights"))
    with pytest.raises(ModelError, match="--name"):
        models.add(str(file))
    assert models.resolve("mine") == first
    second = models.add(str(file), name="mine-2")
    assert second.sha256 != first.sha256
    one, two = (Runner.prepare({"model": name}).model_sha256 for name in ("mine", "mine-2"))
    assert one != two


def test_a_registered_file_that_was_changed_later_is_refused(cache: Path, file: Path) -> None:
    models.add(str(file))
    (cache / "mine.model").write_bytes(archive("tampered"))
    with pytest.raises(ModelError, match="not the file that was registered"):
        models.resolve("mine")


def test_the_folder_can_be_copied_to_another_machine(
    cache: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = models.add(str(file))
    cache.parent.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("MLMAT_CACHE", str(tmp_path / "elsewhere"))
    found = models.resolve("mine")
    assert found.sha256 == added.sha256
    assert found.path == tmp_path / "elsewhere" / "models" / "mine.model"


def test_names_that_are_no_file_names_are_refused(cache: Path, file: Path) -> None:
    for name in ("../up", "a/b", "", "untrained", ".hidden"):
        with pytest.raises(ModelError):
            models.add(str(file), name=name or " ")


def test_the_table_of_foundation_models_is_maces() -> None:
    code = (
        "import json; from mlmat.potentials.quiet import quiet_import; "
        "print(json.dumps(list(quiet_import('mace.calculators.foundations_models').mace_mp_urls)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(json.loads(out.splitlines()[-1])) == set(models.FOUNDATION)


def test_the_shipped_model_is_the_default_and_what_its_card_says(cache: Path) -> None:
    shipped = models.resolve(models.default())
    assert shipped.kind == "shipped"
    assert shipped.path is not None
    assert hashlib.sha256(shipped.path.read_bytes()).hexdigest() == shipped.sha256
    assert shipped.sha256 in (ROOT / "docs" / "model-card.md").read_text()
    assert shipped.path.stat().st_size < 8_000_000
    (note,) = Runner.prepare({}).notes
    assert "meV/atom" in note
    assert "mlmat models add" in note


@pytest.mark.slow
def test_the_shipped_model_knows_some_chemistry(cache: Path) -> None:
    def energy(name: str) -> tuple[float, dict[str, int]]:
        (block,) = read(name, (ROOT / "examples" / "crystals" / f"{name}.cif").read_bytes(), Limits())
        assert block.atoms is not None
        return runner.run(block.atoms)["energy"], block.atoms.symbols.formula.count()

    runner = Runner(model=str(models.resolve(models.default()).path))
    elements = {"Mg": "Mg_hcp", "O": "O2", "Li": "Li_bcc", "Na": "Na_bcc", "Cl": "Cl2", "F": "F2"}
    per_atom = {el: energy(name)[0] / energy(name)[1][el] for el, name in elements.items()}
    # Formation energies of the Materials Project (eV/atom); the card says how far off the model may be.
    for name, published in {"MgO": -3.04, "Li2O": -2.07, "NaCl": -2.11, "LiF": -3.18}.items():
        total, amounts = energy(name)
        formation = (total - sum(n * per_atom[el] for el, n in amounts.items())) / sum(amounts.values())
        assert formation == pytest.approx(published, abs=0.35), name


def test_the_commands(cache: Path, file: Path) -> None:
    empty = CliRunner().invoke(main, ["models"])
    assert "medium-mpa-0" in empty.stdout
    assert "not here" in empty.stdout
    added = CliRunner().invoke(main, ["models", "add", str(file)])
    assert added.exit_code == 0
    assert hashlib.sha256(file.read_bytes()).hexdigest() in added.stdout
    listed = CliRunner().invoke(main, ["models"]).stdout.splitlines()
    assert any(line.startswith("mine ") and "registered" in line for line in listed)
    unknown = CliRunner().invoke(main, ["models", "add", "no-such-model"])
    assert unknown.exit_code == 1
    assert "no foundation model of that name" in unknown.stderr
