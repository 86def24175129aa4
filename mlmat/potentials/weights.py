"""A model's name or path becomes a file on this machine, fetched or built at most once.

Nothing here imports torch or mace unless a file has to be made: a name that lies in the cache resolves in
milliseconds. The cache is `$MLMAT_CACHE/models`, or `models` in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Maker = Callable[[Path], object]

UNTRAINED = "untrained"
#: Part of the path: raise it when the code that builds the untrained model changes.
UNTRAINED_VERSION = 1

_BARE_PICKLE = b"\x80"  # torch before 1.6 wrote no zip archive
_SUFFIXES = (".model", ".npz", ".pt", ".pth")
_BY_HAND = "fetch the file by other means and register it: mlmat models add FILE"


def resolve(model: str) -> Path:
    """Return the absolute path of the file that `model` (a path or a name) stands for.

    Raises ModelError where the file is missing or is no model, and where it cannot be built.
    """
    path = Path(model).expanduser()
    if path.is_file():
        return _accept(path.absolute())
    if os.sep in model or path.suffix in _SUFFIXES:
        raise ModelError(f"model file {model} does not exist: check the path")
    if model == UNTRAINED:
        return obtain(untrained_path(), _build_untrained)
    return obtain(cache_folder() / f"{model}.model", lambda part: fetch(model, part))


def cache_folder() -> Path:
    """Return the folder of fetched and built models; it need not exist yet."""
    chosen = os.environ.get("MLMAT_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute() / "models"
    import platformdirs

    return Path(platformdirs.user_cache_dir("mlmat")) / "models"


def untrained_path() -> Path:
    """Return where the untrained model lies once it has been built."""
    return cache_folder() / f"{UNTRAINED}-{UNTRAINED_VERSION}" / f"{UNTRAINED}.model"


def defect(path: Path) -> str | None:
    """Say what makes a file no model, seen from the outside (no unpickling), or None."""
    with path.open("rb") as file:
        start = file.read(512).lstrip()
    if not start:
        return "is empty"
    if start[:1] == b"<":
        return "is a web page"
    if start.startswith(_BARE_PICKLE) or zipfile.is_zipfile(path):
        return None
    return "is truncated or no PyTorch file"


def _accept(path: Path) -> Path:
    flaw = defect(path)
    if flaw:
        raise ModelError(f"model file {path} {flaw}: replace it")
    return path


def obtain(target: Path, make: Maker, *, again: bool = False) -> Path:
    """Return `target`; the first of all processes that want it makes it, the others wait. again: make it anew.

    Raises ModelError where it cannot be written.
    """
    if _sound(target) and not again:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_suffix(".lock")):
            if again or not _sound(target):
                _make(target, make)
    except OSError as error:
        raise ModelError(f"cannot write {target} ({error.strerror}): set MLMAT_CACHE to a folder") from error
    return target


def _sound(target: Path) -> bool:
    return target.is_file() and defect(target) is None


def _make(target: Path, make: Maker) -> None:
    part = target.with_suffix(".part")
    try:
        part.unlink(missing_ok=True)
        make(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build_untrained(part: Path) -> None:
    import subprocess

    home = str(Path(__file__).parent.parent.parent)
    paths = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "mlmat.potentials.untrained", str(part)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ModelError(f"the untrained model could not be built ({reason}): choose one with --set model=FILE")


def fetch(name: str, part: Path) -> None:
    """Put mace's foundation model `name` at `part`, through mace's own download function and cache."""
    from mlmat.potentials.quiet import quiet_import

    foundations = quiet_import("mace.calculators.foundations_models")
    source = _source(name, foundations.mace_mp_urls)
    found = _download(name, source, foundations)
    try:
        os.link(found, part)
    except OSError:
        shutil.copyfile(found, part)


def _source(name: str, urls: dict[str, str]) -> str:
    """Return what mace's download function wants for `name`: one of its names, or the stem of one's file."""
    for known, url in urls.items():
        if name in (known, Path(url).stem):
            return known
    raise ModelError(f"model {name} is no file and no name that mace knows ({', '.join(urls)})")


def _download(name: str, source: str, foundations: Any) -> Path:
    """Return the file in mace's cache. A bad file found there is removed and fetched once more."""
    for _ in range(2):
        path = _download_once(name, source, foundations)
        flaw = defect(path)
        if flaw is None:
            return path
        path.unlink()
    raise ModelError(f"model {name} was fetched, but what came {flaw} (removed): try again later, or {_BY_HAND}")


def _download_once(name: str, source: str, foundations: Any) -> Path:
    folder = Path(foundations.get_cache_dir())
    before = set(folder.glob("*"))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return Path(foundations.download_mace_mp_checkpoint(source))
    except Exception as error:
        _sweep(set(folder.glob("*")) - before)
        reason = " ".join(str(getattr(error, "reason", None) or error).split())
        raise ModelError(f"model {name} could not be fetched ({reason}): {_BY_HAND}") from error


def _sweep(new: set[Path]) -> None:
    """Remove the bad files among `new`: mace would take an error page for the model the next time."""
    for path in new:
        if path.is_file() and defect(path):
            path.unlink()
