"""The errors that mlmat raises on purpose; each message is one line that says what to do next.

Exception
└── MlmatError                 exit code 1
    ├── UsageError             exit code 2: the call itself is wrong (an unknown runner, a bad setting)
    ├── StoreError             the store cannot be used
    │   ├── StoreLocked        another process holds it
    │   └── StoreTooNew        a newer mlmat wrote it
    ├── QueryError             SQL that DuckDB refused
    ├── ReadError              a file that no reader can read
    ├── ModelError             weights that cannot be found, fetched or loaded
    └── RunnerError            a runner that cannot be found or set up
"""

from __future__ import annotations


class MlmatError(Exception):
    """Anything mlmat refuses to do, said in one line."""

    exit_code = 1


class UsageError(MlmatError):
    """The call itself is wrong: an unknown name, a bad setting."""

    exit_code = 2


class StoreError(MlmatError):
    """The store cannot be used."""


class StoreLocked(StoreError):  # noqa: N818 - reads better where it is caught
    """Another process holds the store, or the driver lock of a method."""


class StoreTooNew(StoreError):  # noqa: N818
    """A newer mlmat wrote this store."""


class QueryError(MlmatError):
    """SQL that DuckDB refused."""


class ReadError(MlmatError):
    """A file that no reader can read."""


class ModelError(MlmatError):
    """Weights that cannot be found, fetched or loaded."""


class RunnerError(MlmatError):
    """A runner that cannot be found or set up."""
