"""The environment that all jobs of one node type share, built once by whichever job comes first. Prints its path.

In a folder that all nodes see, NAME being the node type and a hash of the pins:
    NAME.TOKEN/    an environment. It stays where its builder, who has this token, built it: it could not be moved
    NAME           a symbolic link to the one that is ready
    NAME.lock.N    a symbolic link that leads nowhere: its text says who builds. The highest number counts

On a shared disk flock may hold on one node only, or nowhere. To make a symbolic link is one request to the server, of
which one asker alone has success, and its text is there with it: an asker whose answer was lost reads its own name.
Two that build at once, should a builder have been taken for dead, disturb nobody: the first link to be made counts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from processes import Who

HERE = Path(__file__).parent
#: Seconds between two signs of life of a builder, and between two looks of those who wait for it.
BEAT, LOOK = 2.0, 0.5
#: Hours without a sign of life after which something that nobody is led to may be removed: far beyond what the
#: clocks of two nodes differ by, and what a node may remember of a folder.
GRACE = 1.0


class BuildError(Exception):
    """The builder's command failed."""


def say(text: str) -> None:
    """For the log: standard output has the path alone."""
    print(text, file=sys.stderr, flush=True)


def text_of(link: Path) -> str | None:
    """What a symbolic link says; None when it is not there."""
    try:
        return os.readlink(link)  # noqa: PTH115 - a text, not a path
    except OSError:
        return None


def make(link: Path, text: str) -> bool:
    """Make a symbolic link; False when somebody else has made it."""
    try:
        link.symlink_to(text)
    except FileExistsError:
        return text_of(link) == text  # ours, and the answer was lost on the way
    return True


# -- one builder -----------------------------------------------------------------------------------


class Watch:
    """Somebody who waits for a builder. Only its own clock counts: the builder's sign of life must change."""

    def __init__(self, folder: Path, name: str, lost_after: float) -> None:
        self.folder, self.name, self.lost_after = folder, name, lost_after
        self.seen, self.since = ("", ""), time.monotonic()

    def is_dead(self, builder: Who) -> bool:
        """Whether a builder's process is gone, or has given no sign of life for too long."""
        beat = ""
        with suppress(OSError):  # opened anew: a node may keep what it knows of a file, but not beyond that
            beat = (self.folder / f"{self.name}.{builder.token}" / ".beat").read_text()
        if self.seen[0] != builder.token:
            say(f"waiting for {builder.host}, process {builder.pid}, which builds {self.name}")
        if self.seen != (builder.token, beat):
            self.seen, self.since = (builder.token, beat), time.monotonic()
        return bool(builder.is_gone()) or time.monotonic() - self.since > self.lost_after


def locks(folder: Path, name: str) -> list[tuple[int, Path]]:
    """The locks of a name, the one that counts last."""
    return sorted((int(path.name.rpartition(".")[2]), path) for path in folder.glob(f"{name}.lock.*"))


def take(folder: Path, name: str, watch: Watch) -> tuple[Path, Who] | None:
    """Become the builder of a name unless there is one; the lock and our name on it."""
    number, last, dead = 0, "", None
    if found := locks(folder, name):
        number, path = found[-1]
        if (last := text_of(path) or "") == "" or not watch.is_dead(dead := Who(**json.loads(last))):
            return None
    lock, me = folder / f"{name}.lock.{number + 1}", Who.of(os.getpid())
    if not make(lock, json.dumps(asdict(me))):
        return None
    if dead:
        if text_of(path) not in (last, None):  # another one builds under this number by now
            lock.unlink()
            return None
        say(f"{dead.host}, process {dead.pid}, died building {name}")
        half = f"{name}.{dead.token}"
        # One that is only silent may yet finish: what it has is left to `prune`. One that is gone may have finished.
        if dead.is_gone() and text_of(folder / name) != half:
            shutil.rmtree(folder / half, ignore_errors=True)
    return lock, me


@contextmanager
def builder(folder: Path, name: str, watch: Watch) -> Iterator[Who | None]:
    """Be the one who builds a name, or None when somebody else is."""
    if (taken := take(folder, name, watch)) is None:
        yield None
        return
    try:
        yield taken[1]
    finally:
        number = int(taken[0].name.rpartition(".")[2])
        for _, path in [entry for entry in locks(folder, name) if entry[0] <= number]:
            path.unlink(missing_ok=True)


@contextmanager
def beating(path: Path) -> Iterator[None]:
    """Write a sign of life while the body runs."""
    stop, count = threading.Event(), 0
    path.write_text("0")

    def beat() -> None:
        nonlocal count
        while not stop.wait(BEAT):
            count += 1
            with suppress(OSError):
                path.write_text(str(count))

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def build(folder: Path, name: str, token: str, command: list[str], pins: Path) -> None:
    """Build an environment and lead to it. Raises BuildError; nothing is left then."""
    target, built = folder / f"{name}.{token}", False
    say(f"building {target} (a few minutes)")
    target.mkdir()
    try:
        with beating(target / ".beat"):
            run([*command, sys.executable, str(target), str(pins)])
        built = make(folder / name, target.name)  # else somebody was faster, who took us for dead
    finally:
        if not built:
            shutil.rmtree(target, ignore_errors=True)


def run(command: list[str]) -> None:
    """Run a command whose output goes to the log; it ends with us. Raises BuildError."""
    process = subprocess.Popen(command, stdout=2, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        code = process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if code:
        raise BuildError(f"{' '.join(command)} ended with exit code {code}")


# -- its users -------------------------------------------------------------------------------------


def ready(folder: Path, name: str) -> Path | None:
    """The environment that a name leads to, if its Python is there."""
    text = text_of(folder / name)
    return folder / text if text and os.access(folder / text / "bin/python", os.X_OK) else None


def use(environment: Path, user: Who) -> None:
    """Note who uses an environment, and when."""
    uses = environment / ".uses"
    uses.mkdir(exist_ok=True)
    (uses / user.token).write_text(json.dumps(asdict(user)))
    (environment / ".used").touch()


def is_used(environment: Path, keep: float) -> bool:
    """Whether somebody still uses an environment. keep: days after which nobody does of whom nothing can be known."""
    return any(not is_over(path, keep) for path in environment.glob(".uses/*"))


def is_over(path: Path, keep: float) -> bool:
    """Whether the user whom a file names has ended."""
    try:
        user = Who(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return idle(path) > 24 * keep
    known = [verdict for verdict in (user.is_gone(), user.job_is_over()) if verdict is not None]
    return all(known) if known else idle(path) > 24 * keep


def idle(path: Path) -> float:
    """Hours since a file was written."""
    try:
        return (time.time() - path.stat().st_mtime) / 3600
    except OSError:
        return 0.0


def prune(folder: Path, keep: float) -> None:
    """Forget environments that nobody has asked for in so many days, and remove what nobody is led to."""
    for link in [path for path in folder.iterdir() if path.is_symlink() and "." not in path.name]:
        environment = folder / (text_of(link) or "")
        if idle(environment / ".used") > 24 * keep and not is_used(environment, keep):
            with builder(folder, link.name, Watch(folder, link.name, -1)) as me:  # who built it is long gone
                if me and idle(environment / ".used") > 24 * keep and text_of(link) == environment.name:
                    link.unlink()
                    (environment / ".used").touch()  # removed after GRACE: somebody may have read the link just now
                    say(f"forgot {link.name}, which nobody has used for {keep:g} days")
    led_to = {text_of(path) for path in folder.iterdir() if path.is_symlink()}
    for path in [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]:
        signs = [idle(sign) for sign in (path, path / ".beat", path / ".used") if sign.exists()]
        if path.name not in led_to and min(signs, default=0) > GRACE and not is_used(path, keep):
            shutil.rmtree(path, ignore_errors=True)
            say(f"removed {path.name}")


def environment_of(folder: Path, name: str, options: argparse.Namespace) -> Path:
    """The environment of a name, built if need be, with our use of it noted."""
    user, watch = Who.of(options.user), Watch(folder, name, options.lost_after)
    while True:
        if found := ready(folder, name):
            with suppress(FileNotFoundError):  # somebody has removed it
                use(found, user)
            if ready(folder, name) == found:
                return found
            continue
        with builder(folder, name, watch) as me:
            if me and not ready(folder, name):
                (folder / name).unlink(missing_ok=True)  # leads to one that is broken
                try:
                    build(folder, name, me.token, options.build, options.pins)
                except BuildError as error:
                    if not ready(folder, name):  # by somebody who took us for dead and our files away
                        raise SystemExit(str(error)) from error
        if not me:
            time.sleep(LOOK)


def name_of(node_type: str, pins: Path, command: list[str]) -> str:
    """Node type and a hash of what the environment is made from."""
    if not re.fullmatch(r"[\w-]+", node_type):
        raise SystemExit(f"{node_type!r}: a node type is a word of letters, digits, - and _")
    made_from = [pins.read_bytes(), sys.version.encode(), sys.base_prefix.encode(), Path(command[0]).read_bytes()]
    return f"{node_type}-{hashlib.sha256(b'|'.join(made_from)).hexdigest()[:12]}"


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Options; their defaults come from the variables of the pipeline."""
    variable = os.environ.get
    parser = argparse.ArgumentParser(prog="ci/shared-environment", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=variable("MLMAT_ENVIRONMENTS"), help="$MLMAT_ENVIRONMENTS")
    parser.add_argument("--node-type", default=variable("MLMAT_NODE_TYPE", os.uname().machine), help="$MLMAT_NODE_TYPE")
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    pins = variable("MLMAT_PINS", str(HERE / f"environment/linux-cpu-py{version}.txt"))
    parser.add_argument("--pins", type=Path, default=pins, help="file of exact versions ($MLMAT_PINS)")
    parser.add_argument("--for", dest="user", type=int, default=os.getppid(), help="process that uses it (the caller)")
    parser.add_argument("--keep-days", type=float, default=float(variable("MLMAT_KEEP_DAYS", "30")), help="30")
    parser.add_argument("--lost-after", type=float, default=120, help="seconds without a builder's sign of life (120)")
    parser.add_argument("--build", nargs="+", default=[str(HERE / "install-pins")], help="gets PYTHON VENV PINS")
    parser.add_argument("--prune", action="store_true", help="remove what nobody uses, and nothing else")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Print the path of the environment that is asked for."""
    options = parsed(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):  # a job that is cancelled takes its half-built environment away
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    folder = Path(options.folder or Path.home() / ".cache/mlmat/environments").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o020:  # shared by a group: so is what lies in it
        os.umask(0o002)
    if options.prune:
        prune(folder, options.keep_days)
    else:
        name = name_of(options.node_type, options.pins, options.build)
        print(environment_of(folder, name, options), flush=True)
        with suppress(OSError):  # another user's, or another job prunes as well
            prune(folder, options.keep_days)


if __name__ == "__main__":
    main()
