"""Draw docs/img/report.png and report-dark.png: the top of a report, from a store that `make demo` has filled.

python docs/report_picture.py demo.duckdb
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from mlmat.page import write
from mlmat.store import open_store

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "page"))

import browser  # noqa: E402

WIDTH, HEIGHT = 1440, 1650
SCENE = "document.querySelectorAll('#detail .atoms span').length > 0"


def main(db: str) -> None:
    """Write both pictures. Files are shown as they are named in the checkout."""
    program = browser.installed()
    if program is None:
        raise SystemExit("no Chromium: install chromium, or set CHROMIUM")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write(open_store(db), page, title="Demo crystals")
        page.write_text(page.read_text().replace(f"{ROOT}/", ""))
        shown = browser.Browser(program, Path(folder) / "profile", width=WIDTH, height=HEIGHT)
        for theme, name in (("light", "report.png"), ("dark", "report-dark.png")):
            shown.open(page, f"#{theme}")
            shown.wait(SCENE)
            shown.wait("new Promise((done) => setTimeout(() => done(true), 1000))")
            shown.picture(Path(__file__).parent / "img" / name)
        shown.close()


if __name__ == "__main__":
    main(sys.argv[1])
