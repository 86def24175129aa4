"""One self-contained HTML file: styles, scripts and data inlined, and a policy that lets nothing else in.

Texts of files (names, formulas, messages) reach the page as JSON alone, in which no character means anything to HTML;
the scripts put them into the page as text. The policy names the hash of every script: no other one runs, and the page
may not speak to a network.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: In the order in which they are run; each defines functions, the last one calls them.
SCRIPTS = (
    "core.js", "plot.js", "overview.js", "table.js", "geometry.js", "labels.js", "systems.js", "stability.js",
    "quality.js", "crystal.js", "detail.js", "start.js",
)  # fmt: skip
LIBRARIES = (("plotly-basic.min.js", "plotly-LICENSE.txt"), ("3Dmol-min.js", "3Dmol-LICENSE.txt"))
#: Characters that could end the element which the data stand in.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def page(contents: Mapping[str, Any]) -> str:
    """The whole file; contents are plain values that JSON knows."""
    scripts = [_library(*names) for names in LIBRARIES] + [_own_scripts()]
    filled = {
        "policy": _policy(scripts),
        "title": html.escape(str(contents["title"])),
        "style": _file("style.css"),
        "data": embedded(contents),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    before, *parts = _file("page.html").split("{{")
    text = [before]
    for part in parts:
        name, _, after = part.partition("}}")
        text += [filled[name], after]
    return "".join(text)


def embedded(value: Any) -> str:
    """JSON that stands safely inside a script element: ASCII, and without <, > and &."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def _policy(scripts: list[str]) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "form-action 'none'; base-uri 'none'"
    )


def _library(name: str, licence: str) -> str:
    """A library below its licence. Line ends as a browser sees them: the hash is of what it reads."""
    files = resources.files("mlmat.page") / "vendor"
    text = (files / licence).read_text(encoding="utf-8").replace("*/", "* /")
    script = (files / name).read_text(encoding="utf-8")
    return f"/*\n{text}\n*/\n{script}".replace("\r\n", "\n").replace("\r", "\n")


def _own_scripts() -> str:
    body = "\n".join(_file(name) for name in SCRIPTS)
    return f"(() => {{\n'use strict';\n{body}\n}})();"


def _file(name: str) -> str:
    return (resources.files("mlmat.page") / "files" / name).read_text(encoding="utf-8")
