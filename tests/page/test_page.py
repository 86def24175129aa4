"""The report: what is in the file, and what a real browser makes of it."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from click.testing import CliRunner
from effort import absent
from hand_made import by_hand

import mlmat
from mlmat.cli import main
from mlmat.page import _contents, _document, write
from mlmat.store import Store

ROOT = Path(__file__).parents[2]
HOSTILE = "</script><img src=x onerror=alert(1)>\u2028<b>&amp;"
ESCAPE = "\x1b[31m"
#: Energies in eV of cells; magnesium fails, so that its oxide has no hull.
ENERGIES = [
    ("Li2", -4.0),
    ("O2", -10.0),
    ("Li8O4", -60.0),
    ("LiO", -7.5),
    ("Li2O2", -14.0),
    ("Co2", -14.0),
    ("LiCoO2", -24.0),
    ("Co3O4", -44.0),
    ("CoO", -13.5),
    ("MgO", -12.0),
    ("Mg2", -1.0),
]
ROWS = "[...document.querySelectorAll('#table tbody tr')]"
POINTS = "document.querySelectorAll('#hull .scatterlayer .point').length"


def typed(element: str, text: str) -> str:
    """JavaScript that types into an element."""
    found = f"document.getElementById({element!r})"
    return f"(() => {{const s = {found}; s.value = {text!r}; s.dispatchEvent(new Event('input'))}})()"


def chosen(formula: str) -> str:
    """JavaScript that clicks the row of a formula."""
    return f"{ROWS}.find((line) => line.cells[0].textContent === {formula!r}).click()"


def outside(page: browser.Browser) -> list[str]:
    """What a page asked a network for."""
    return [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))]


@pytest.fixture(scope="module")
def filled(empty_store_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Energies of a method with a hostile name, one of them with its crystal, another one turned into a failure."""
    folder = tmp_path_factory.mktemp("page")
    crystal = (ROOT / "examples" / "crystals" / "Li2O.cif").read_text()
    with (folder / "energies.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "formula", "energy", "cif"])
        for formula, energy in ENERGIES:
            lines.writerow([f"{formula} {HOSTILE}", formula, energy, crystal if formula == "Li8O4" else ""])
    db = shutil.copy(empty_store_file, folder / "store.duckdb")
    command = ["import-results", str(folder / "energies.csv"), "--method", "DFT <img src=x onerror=alert(2)>"]
    done = CliRunner().invoke(main, [*command, "--db", str(db)])
    assert done.exit_code == 0, done.output
    store = Store(db)
    message = HOSTILE + ESCAPE
    by_hand(
        store,
        f"UPDATE result SET status = 'failed', energy = NULL, error_class = '{message}', error_message = '{message}' "
        "WHERE energy = -1.0",
    )
    return store


def installed() -> str:
    program = browser.installed()
    if program is None:
        absent("BROWSER", "no Chromium: the report is not tested in a browser; install chromium or set CHROMIUM")
    return program


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    page = browser.Browser(installed(), tmp_path_factory.mktemp("profile"))
    yield page
    page.close()


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    """A browser without WebGL."""
    page = browser.Browser(installed(), tmp_path_factory.mktemp("flat"), webgl=False)
    yield page
    page.close()


def test_vendored_libraries_are_those_written_down() -> None:
    vendor = ROOT / "mlmat" / "page" / "vendor"
    for package in json.loads((vendor / "versions.json").read_text()):
        for name in package["files"].values():
            assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == package["sha256"][name]


def test_texts_of_files_stay_out_of_the_html(filled: Store, tmp_path: Path) -> None:
    write(filled, tmp_path / "r.html", title=HOSTILE)
    text = (tmp_path / "r.html").read_text()
    assert "<img" not in text
    assert text.count("</script>") == 4
    assert json.dumps("\x1b")[1:-1] not in text[text.index('id="data"') :].split("</script>")[0]
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"']?https?:", text)


def test_ranking_and_structure_in_a_browser(filled: Store, tmp_path: Path, chromium: browser.Browser) -> None:
    write(filled, tmp_path / "r.html", title=HOSTILE)
    chromium.open(tmp_path / "r.html", "#light")
    assert chromium.ask("document.querySelector('h1').textContent") == HOSTILE
    column = "document.querySelector('[data-column=formation_energy_per_atom] button')"
    heads = "[...document.querySelectorAll('#table thead th')]"
    at = chromium.ask(f"{heads}.findIndex((head) => head.dataset.column === 'formation_energy_per_atom')")
    energies = f"{ROWS}.map((line) => line.cells[{at}].textContent.replace('−', '-')).filter((text) => text !== '–')"
    chromium.ask(f"{column}.click()")
    found = [float(text) for text in chromium.ask(energies)]
    assert len(found) > 6
    assert found == sorted(found)
    chromium.ask(f"{column}.click()")
    assert [float(text) for text in chromium.ask(energies)] == sorted(found, reverse=True)
    chromium.ask(typed("search", "O4Li8"))
    assert set(chromium.ask(f"{ROWS}.map((line) => line.cells[0].textContent)")) == {"Li₂O"}
    chromium.ask(typed("search", "Li-O"))
    chromium.ask(chosen("Li₂O₂"))
    assert "No structure came with this entry" in chromium.ask("document.getElementById('detail').textContent")
    chromium.ask(chosen("Li₂O"))
    assert "SHA-256" in chromium.ask("document.querySelector('#detail .trail').textContent")
    chromium.wait("document.querySelectorAll('#detail .atoms span').length === 2", 200)  # without a GPU
    chromium.ask("document.querySelector('.tools button').click()")
    before = chromium.picture(clip=chromium.place_of("scene"))
    turned = (chromium.picture(clip=chromium.place_of("scene")) != before for _ in range(20))
    assert any(turned)
    chromium.ask("document.querySelector('.tools button').click()")
    chromium.ask("document.getElementById('theme').click()")
    assert chromium.ask("document.documentElement.dataset.theme") == "dark"
    assert chromium.said == []
    assert outside(chromium) == []


def test_hulls_in_a_browser(filled: Store, tmp_path: Path, flat: browser.Browser) -> None:
    write(filled, tmp_path / "r.html")
    flat.open(tmp_path / "r.html", "#light")
    systems = flat.ask("[...document.querySelectorAll('#system option')].map((one) => one.textContent)")
    assert systems[-1] == "Mg-O · no Mg"
    flat.ask(typed("system", "Li-O"))
    flat.wait(f"{POINTS} >= 5")
    flat.ask(typed("other", "O Co Li"))
    flat.wait(f"{POINTS} >= 9")
    labels = flat.ask(
        "[...document.querySelectorAll('#hull .annotation-text')].map((one) => {"
        "const box = one.getBoundingClientRect();"
        "return [one.textContent, box.left, box.right, box.top, box.bottom]})"
    )
    assert {"Li₂O", "LiCoO₂"} <= {text for text, *_ in labels}
    for k, (_, left, right, top, bottom) in enumerate(labels):
        for _, left_, right_, top_, bottom_ in labels[:k]:
            assert right < left_ or right_ < left or bottom < top_ or bottom_ < top
    flat.ask(typed("system", "Mg-O"))
    assert flat.ask("document.getElementById('complete').textContent") == "No hull: Mg has no energy by this method."
    flat.ask(chosen("Li₂O"))
    flat.wait("document.querySelector('#detail .atoms').textContent.includes('no WebGL')")


def poisoned(value: Any) -> Any:
    """Plain values in which every text is hostile."""
    if isinstance(value, dict):
        return {poisoned(key): poisoned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one) for one in value]
    return f"{value}{HOSTILE}{ESCAPE}" if isinstance(value, str) else value


def test_no_text_of_a_store_becomes_a_part_of_the_page(filled: Store, tmp_path: Path, flat: browser.Browser) -> None:
    contents = _contents.of(filled, "title")
    spared = ("elements", "chemical_system")  # checked by the store; the hull is looked up by them
    for name, table in contents.items():
        if isinstance(table, dict) and name not in ("counts", "structures"):
            contents[name] = {
                key: one if key in spared else poisoned(one) for key, one in _plain(table, contents["size"]).items()
            }
    contents["systems"]["name"] = ["-".join(one) for one in contents["systems"]["elements"]]
    contents |= {"title": poisoned("title"), "store": poisoned("store"), "structures": poisoned_keys(contents)}
    (tmp_path / "r.html").write_text(_document.page(contents))
    flat.open(tmp_path / "r.html", "#light")
    count = flat.ask(f"{ROWS}.length")
    for k in range(count):
        flat.ask(f"{ROWS}[{k}].click()")
    flat.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    flat.ask(typed("system", "Li-O"))
    flat.wait(f"{POINTS} >= 5")
    flat.ask("Plotly.Fx.hover('hull', [{curveNumber: 1, pointNumber: 0}])")
    flat.wait("document.querySelector('.hoverlayer').textContent.includes('<img')")
    assert flat.ask("document.body.innerText.includes('onerror=alert(1)')")
    assert flat.ask("document.querySelectorAll('img, iframe, a, body script ~ b').length") == 0
    assert flat.ask("[...document.querySelectorAll('b')].filter((one) => one.closest('#detail, table')).length") == 0
    assert flat.said == []
    assert outside(flat) == []


def _plain(table: dict[str, Any], size: int) -> dict[str, Any]:
    """Columns whose equal values were put together, as lists again."""
    return {name: unpacked(column, size) if isinstance(column, dict) else column for name, column in table.items()}


def unpacked(column: dict[str, Any], size: int) -> list[Any]:
    return column["values"] * size if column["rows"] is None else [column["values"][k] for k in column["rows"]]


def poisoned_keys(contents: dict[str, Any]) -> dict[str, Any]:
    return {poisoned(key): one for key, one in contents["structures"].items()}


def test_page_of_an_empty_store(store: Store, tmp_path: Path, flat: browser.Browser) -> None:
    mlmat.open(store.path).report(tmp_path / "r.html")
    flat.open(tmp_path / "r.html")
    assert "Nothing was read." in flat.ask("document.body.textContent")
    assert flat.said == []


def test_page_that_holds_a_part_says_so(filled: Store, tmp_path: Path, flat: browser.Browser) -> None:
    done = write(filled, tmp_path / "r.html", rows=4)
    assert str(done).startswith("4 of 10 results")
    flat.open(tmp_path / "r.html")
    assert "4 of 10 results of the store" in flat.ask("document.getElementById('ranked').textContent")


def test_page_of_many_structures_is_small(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = _contents.of(filled, "many")
    (geometry,) = contents["structures"].values()
    copies = 1000
    large = {name: value * 8 for name, value in geometry.items() if name in ("positions", "numbers")}  # 96 atoms
    contents["structures"] = {f"{k:020}": geometry | large for k in range(copies)}
    contents["rows"] = {name: column * 100 for name, column in _plain(contents["rows"], contents["size"]).items()}
    contents["size"] = copies
    assert len(_document.page(contents)) < 15e6


def expect(store: Store, error: float) -> None:
    """Give every method an expected error above the hull, in eV/atom."""
    with store._writing() as con:
        con.execute(
            "INSERT INTO expected_error SELECT method_id, 'e_above_hull', 'all', ?, NULL, 'given' FROM method", [error]
        )


def test_the_page_says_what_stable_means_and_how_sure_it_is(
    filled: Store, tmp_path: Path, chromium: browser.Browser
) -> None:
    """Of the entries LiO and Li2O2 compete for one composition, and Li2O lies 0.5 eV/atom below all else."""
    known = Store(shutil.copy(filled.path, tmp_path / "known.duckdb"))
    tiles = "[...document.querySelectorAll('.tile')].map((one) => one.textContent).slice(3)"
    seen = {}
    for error in (None, 0.2):
        if error is not None:
            expect(known, 0.2)
        write(known, tmp_path / "r.html", title="sure")
        chromium.open(tmp_path / "r.html", "#light")
        seen[error] = chromium.ask(tiles)
        heads = chromium.ask("[...document.querySelectorAll('#table thead th')].map((one) => one.textContent)")
        assert {"Verdict", "Competing"} <= set(heads)
        assert "Energy scheme: " in chromium.ask("document.getElementById('ranked').textContent")
        bands = chromium.ask("document.getElementById('above').data.filter((t) => t.name === 'expected error').length")
        assert bands == (error is not None)
        detail = chromium.ask("document.getElementById('detail').textContent")
        assert "expected error " + ("unknown" if error is None else "200 meV/atom") in detail
    on = known.arrow("SELECT * FROM candidates WHERE nelements > 1 AND e_above_hull IS NOT NULL").to_pylist()
    stable = [row for row in on if row["e_above_hull"] == 0]
    open_ = sum(row["verdict"] == "undecided" for row in stable)
    bare = {row["chemical_system"] for row in on if row["competition"] == "only the elements"}
    headline = f"{len(stable)}of {len(on)} compounds on the hull of what is in this store"
    assert seen[None][0] == headline
    assert seen[0.2][0] == (f"{headline}; {open_} of them undecided" if open_ else headline)
    assert "unknown" in seen[None][1]
    assert seen[0.2][1].startswith("200meV/atom")
    assert seen[0.2][2].startswith(f"{len(bare)}of ")
    assert any(row["verdict"] == "undecided" for row in on)
    elements = known.arrow("SELECT count(*) AS n FROM candidates WHERE nelements = 1 AND e_above_hull = 0").to_pylist()
    ranked = chromium.ask("document.getElementById('ranked').textContent")
    assert f"on the hull {len(stable)} compounds and {elements[0]['n']} elements" in ranked


def test_figure_of_a_binary_hull_has_a_band_of_the_expected_error(filled: Store, tmp_path: Path) -> None:
    from mlmat.page import figure

    known = Store(shutil.copy(filled.path, tmp_path / "known.duckdb"))
    figure.write(known, tmp_path / "without.svg", "Li-O")
    expect(known, 0.2)
    figure.write(known, tmp_path / "with.svg", "Li-O")
    without, banded = ((tmp_path / name).read_text() for name in ("without.svg", "with.svg"))
    assert "FillBetween" in banded
    assert "FillBetween" not in without


@pytest.mark.parametrize("system", ["Li-O", "Li-Co-O"])
def test_figure_of_a_hull(filled: Store, tmp_path: Path, system: str) -> None:
    done = CliRunner().invoke(main, ["report", "--system", system, "-o", f"{tmp_path}/h.svg", "--db", str(filled.path)])
    assert done.exit_code == 0, done.output
    assert "on the hull" in done.output
    assert (tmp_path / "h.svg").read_text().count("<path") > 10


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        (["--system", "Li", "-o", "h.png"], "two or three"),
        (["--system", "Li-Xx", "-o", "h.png"], "two or three"),
        (["--system", "Si-U", "-o", "h.png"], "no result"),
        (["--system", "Mg-O", "-o", "h.png"], "Mg has no energy by"),
        (["--system", "Li-O", "-o", "h.txt"], "a figure is"),
        (["-o", "r.txt"], "a report is .html"),
        (["-o", "r.html", "--method", "x"], "goes with --system"),
        (["-o", "nowhere/r.html"], "there is no folder"),
    ],
)
def test_what_cannot_be_written(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["report", *given_, "--db", str(filled.path)])
    assert done.exit_code in (1, 2)
    assert says in done.output
    assert list(tmp_path.iterdir()) == []
