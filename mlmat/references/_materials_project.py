"""Entries of a chemical system from the Materials Project, by its client `mp-api` with the user's key."""

from __future__ import annotations

import gzip
import json
import os
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST, PORT = "api.materialsproject.org", 443
KEY = "MP_API_KEY"
#: Seconds in which the host must answer.
PATIENCE = 5.0
#: The client's own choice mixes GGA, GGA+U and r2SCAN.
_ONE_SCHEME = {"thermo_types": ["GGA_GGA+U"]}


def check() -> None:
    """See that there are a key, the client and the network, in this order. Raises ReadError."""
    if not os.environ.get(KEY, "").strip():
        raise ReadError(f"references mp:… need a key of the Materials Project in ${KEY}: "
                        "https://next-gen.materialsproject.org/api gives one")  # fmt: skip
    if find_spec("mp_api") is None:
        raise ReadError("references mp:… need the package mp-api: pip install 'mlmat[mp]'")
    if not any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy")):
        reach(HOST, PORT)


def reach(host: str, port: int) -> None:
    """See that a host answers. Raises ReadError."""
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except OSError as error:
        raise ReadError(
            f"{host} cannot be reached ({error.strerror or error}): fetch entries where there is a network, "
            "and give their file to mlmat ingest"
        ) from error


def fetch(elements: Sequence[str], folder: Path) -> Path:
    """Entries of a system and all it contains, as a file in a folder: its path. Raises ReadError."""
    entries = _entries(elements)
    if not entries:
        raise ReadError(f"the Materials Project has no entries of {'-'.join(elements)}")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"mp-{'-'.join(elements)}.json.gz"
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(gzip.compress(json.dumps(entries).encode(), mtime=0))
    part.replace(file)
    return file


def _entries(elements: Sequence[str]) -> list[dict[str, Any]]:
    from mp_api.client import MPRester

    try:
        with MPRester(os.environ[KEY].strip()) as client:
            return [
                json.loads(json.dumps(one.as_dict(), default=str))
                for one in client.get_entries_in_chemsys(list(elements), additional_criteria=_ONE_SCHEME)
            ]
    except Exception as error:  # the client raises what it likes: a wrong key, a lost connection, a changed answer
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReadError(f"the Materials Project gave no entries of {'-'.join(elements)}: {reason:.300}") from error
