"""Draw docs/img/demo.svg: the terminal of the demo, from a store that `make demo` has filled.

python docs/picture.py demo.duckdb
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mlmat.output import as_table
from mlmat.store import open_store

QUERY = """
SELECT formula, space_group, e_above_hull, expected_error, verdict, competition
FROM candidates WHERE nelements > 1 AND competitors > 0 ORDER BY e_above_hull DESC, formula LIMIT 12
"""


def main(db: str) -> None:
    """Write the picture."""
    console = Console(record=True, width=96, file=io.StringIO())
    table = as_table(open_store(db).arrow(QUERY)).rstrip()
    head, *rows = table.splitlines()
    console.print(Text("$ mlmat ingest crystals/ && mlmat screen --runner mace && mlmat reduce candidates", "bold"))
    console.print(Text(head, "bold cyan"))
    for row in rows:
        console.print(Text(row, "green" if "on the hull" in row else ""))
    target = Path(__file__).parent / "img" / "demo.svg"
    target.parent.mkdir(exist_ok=True)
    console.save_svg(str(target), title="mlmat")
    # The picture asks a server for its font: the reader's own monospaced one will do.
    text = re.sub(r"@font-face \{.*?\}", "", target.read_text(), flags=re.DOTALL)
    target.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
