"""What every test may use: an empty store, and the shared data where it is there."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from effort import absent, examples
from hypothesis import HealthCheck, settings

from mlmat.project import Project
from mlmat.store import open_store

# A shared machine stalls now and then: no deadline for one example.
settings.register_profile(
    "mlmat", deadline=None, max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mlmat")

# Workers of pytest-xdist ignore ctrl-C, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# So would what is started under nohup.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Property-based tests run again at full size with the slow ones; files with slow tests come first."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("sampled")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What this machine could not test stands at the end, in red."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in reasons.items():
        terminalreporter.write_line(f"NOT TESTED HERE ({count}): {reason.removeprefix('Skipped: ')}", red=True)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Models that tests make or register stay out of the user's cache, also in the processes they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLMAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def empty_store_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "empty.duckdb"
    open_store(path, create=True)
    return path


@pytest.fixture
def store(empty_store_file: Path, tmp_path: Path) -> Project:
    """A store of this test's own, empty."""
    return Project(shutil.copy(empty_store_file, tmp_path / "store.duckdb"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data ($MLMAT_SHARED or ../shared)."""
    path = Path(os.environ.get("MLMAT_SHARED", Path(__file__).parents[2] / "shared")).absolute()
    if not (path / "data").is_dir():
        absent("SHARED", f"no shared data in {path}: set MLMAT_SHARED")
    return path
