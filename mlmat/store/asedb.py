"""The old place of `mlmat.asedb`, until the next major version."""

from __future__ import annotations

import warnings

from mlmat.asedb import AseDatabase, connect, read_duckdb, register, write_duckdb
from mlmat.asedb.interface import main

__all__ = ["AseDatabase", "connect", "read_duckdb", "register", "write_duckdb"]

warnings.warn("mlmat.store.asedb is mlmat.asedb now", FutureWarning, stacklevel=2)

if __name__ == "__main__":
    main()
