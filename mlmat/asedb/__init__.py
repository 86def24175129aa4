"""The store as a database of ASE; see `mlmat.asedb.interface`."""

from __future__ import annotations

from mlmat.asedb.interface import AseDatabase, connect, read_duckdb, register, write_duckdb

__all__ = ["AseDatabase", "connect", "read_duckdb", "register", "write_duckdb"]
