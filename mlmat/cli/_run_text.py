"""How runs go, in words: of those at work and of those that are over; and a view that follows them to their end."""

from __future__ import annotations

import shutil
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from mlmat.output import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlmat.screen.orphans import OrphanedResources

    Record = Mapping[str, Any]

#: Seconds between two looks, and of silence after which a driver that is there is said to be silent.
EVERY, STALL_TIMEOUT = 2.0, 20.0
#: Blocks of a kind that are named one by one, and things said that are repeated of a run that is over.
NAMED, SAID = 6, 3


def at_work(record: Record) -> Iterator[str]:
    """Lines of a run that is at work: who, how far, on what."""
    yield f"at work     {shown(record['method'])} by {shown(record['who'])} (--config {shown(record['config'])})"
    yield f"            {progress(record)}"
    for line in (*blocks(record.get("blocks", [])), *ended_blocks(record), *failures(record)):
        yield f"            {line}"


def progress(record: Record) -> str:
    """How far a run is, at which rate, and how long it will take."""
    done, total = record.get("ok", 0) + record.get("failed", 0), record["total"]
    parts = [f"{done:,} of {total:,} done"]
    if record.get("failed"):
        parts[0] += f" ({record['failed']:,} failed)"
    if record.get("rate"):
        parts.append(f"{_number(record['rate'])}/s")
    if record.get("eta") is not None and done < total:
        parts.append(f"{duration(record['eta'])} left")
    if record.get("workers") is not None:
        parts.append(_counted(record["workers"], "worker"))
    if record.get("batches"):
        out = f"{_counted(record['structures'], 'structure')} in {_counted(record['batches'], 'batch', 'batches')}"
        parts.append(f"{out} under way")
    if record.get("waiting_bytes"):
        parts.append(f"{record['waiting_bytes'] / 1e6:.1f} MB wait for the store")
    if record["alive"] and (silence := time.time() - record["updated"]) > STALL_TIMEOUT:
        parts.append(f"silent for {duration(silence)}")
    return ", ".join(parts)


def blocks(found: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of blocks: some by name, many by number of each state; of one that runs on this host, none."""
    found = [one for one in found if (one["kind"], one["state"]) not in (("local", "pending"), ("local", "running"))]
    if len(found) <= NAMED:
        yield from (_block(one) for one in found)
        return
    kinds: dict[str, int] = {}
    for one in found:
        state = f"{one['state']} ({one['reason']})" if one["reason"] else one["state"]
        kinds[state] = kinds.get(state, 0) + 1
    yield "blocks: " + ", ".join(f"{count:,} {shown(state)}" for state, count in kinds.items())


def _block(one: Mapping[str, Any]) -> str:
    job = f" (job {one['job']})" if one["kind"] == "slurm" else ""
    where = f" on {one['nodes']}" if one["nodes"] else ""
    why = f": {one['reason']}" if one["reason"] else ""
    return shown(f"block {one['block']}{job}: {one['state']}{where}{why}")


def ended_blocks(record: Record) -> Iterator[str]:
    """Lines of blocks that ended while there was work: those at the end of their time are only counted."""
    found = record.get("ended_blocks", [])
    bad = [one for one in found if one["state"] != "completed"]
    for one in bad[-NAMED:]:
        yield f"lost: {_block(one)}, at {clock(one['at'])}"
    if len(bad) > NAMED:
        yield f"lost: {_counted(len(bad) - NAMED, 'more block')} before"
    if len(found) > len(bad):
        yield f"{_counted(len(found) - len(bad), 'block')} came to the end"


def failures(record: Record) -> Iterator[str]:
    """A line of failures by class, the most frequent first."""
    found = sorted(record.get("failures", {}).items(), key=lambda item: -item[1])
    if found:
        yield "failures: " + ", ".join(f"{count:,} x {shown(kind)}" for kind, count in found[:NAMED])


def over(record: Record, left: OrphanedResources | None = None) -> Iterator[str]:
    """Lines of a run that is over: how it ended, why, what was lost on the way, what it left behind."""
    yield f"last run    {shown(record['method'])} by {shown(record['who'])}: {shown(ending(record))}"
    yield f"            {progress({**record, 'workers': None, 'rate': None, 'eta': None, 'batches': 0})}"
    for line in (*ended_blocks(record), *failures(record)):
        yield f"            {line}"
    if left is not None and (left or left.unseen):
        yield f"            left behind: {_left(left)}"
    if record.get("outcome") != "finished":
        yield from (f"            said at {clock(at)}: {shown(text)}" for at, text in record.get("said", [])[-SAID:])
        yield f"            more: mlmat show {record['run_id']}; logs: {shown(record.get('logs', '-'))}"


def _left(left: OrphanedResources) -> str:
    unseen = f"cannot be seen from here: {left.unseen}" if left.unseen else ""
    ends = f"{left}; the next `mlmat screen` of this store ends them" if left else ""
    return shown("; ".join(part for part in (ends, unseen) if part))


def ending(record: Record) -> str:
    """How a run ended, and why."""
    outcome, why = record.get("outcome"), record.get("why")
    if outcome in (None, "killed"):
        last = datetime.fromtimestamp(record["updated"], UTC).isoformat()
        return f"gone without a word after {clock(last)} (killed, or its host went down)"
    return f"{outcome} at {clock(record['ended_at'])}{f' ({why})' if why else ''}"


def run_lines(record: Record, left: OrphanedResources | None = None) -> Iterator[str]:
    """All there is to say of one run, for `mlmat show RUN`."""
    yield from at_work(record) if record["alive"] else over(record, left)
    yield f"  {record['run_id']}, on {shown(record['host'])}"
    yield f"  {shown(record['command'])}"
    yield f"  logs: {shown(record.get('logs', '-'))}"
    yield from (f"  {_block(one)}, ended at {clock(one['at'])}" for one in record.get("ended_blocks", []))
    yield from (f"  {clock(at)}  {shown(text)}" for at, text in record.get("said", []))


def runs_lines(records: list[dict[str, Any]], look: Callable[[Record], OrphanedResources]) -> Iterator[str]:
    """Those at work, the last one of each other method, and those that left something, which look finds."""
    told = {record["method_id"] for record in records if record["alive"]}
    for record in records:
        if record["alive"]:
            yield from at_work(record)
    for record in records:
        if record["alive"]:
            continue
        left = None if record.get("clean") else look(record)
        if record["method_id"] not in told or left:
            yield from over(record, left)
        told.add(record["method_id"])


# -- following -----------------------------------------------------------------------------------


def follow(
    read: Callable[[], list[dict[str, Any]]], look: Callable[[Record], OrphanedResources], out: TextIO = sys.stdout
) -> bool:
    """Follow the runs at work until they have ended, then say how; whether all of them finished.

    On a terminal the lines are drawn again in place, elsewhere each change is a line.
    """
    watched: dict[str, str] = {}
    view = _Screen(out) if out.isatty() else _Lines(out)
    while True:
        records = read()
        alive = [record for record in records if record["alive"]]
        watched |= {record["run_id"]: "" for record in alive if record["run_id"] not in watched}
        view.show(alive)
        if not alive:
            break
        time.sleep(EVERY)
    ended = [record for record in records if record["run_id"] in watched]
    if not ended:
        view.say(["nobody is at work on this store", *runs_lines(records, look)])
    for record in ended:
        view.say(over(record, None if record.get("clean") else look(record)))
    return all(record.get("outcome") == "finished" for record in ended)


class _Screen:
    """Lines on a terminal, in the place of those before."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._height = out, 0

    def show(self, records: list[dict[str, Any]]) -> None:
        size = shutil.get_terminal_size()
        lines = [line for record in records for line in at_work(record)][: max(1, size.lines - 1)]
        up = f"\x1b[{self._height}F" if self._height else ""
        self._out.write(up + "\x1b[J" + "".join(f"{line[: size.columns - 1]}\n" for line in lines))
        self._out.flush()
        self._height = len(lines)

    def say(self, lines: Any) -> None:
        self._out.write("".join(f"{line}\n" for line in lines))
        self._out.flush()


class _Lines:
    """A line for each change of each run, with the time."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._before = out, dict[str, str]()

    def show(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            more = "; ".join((*blocks(record.get("blocks", [])), *ended_blocks(record), *failures(record)))
            text = f"{shown(record['method'])}: {progress(record)}{f'; {more}' if more else ''}"
            if self._before.get(record["run_id"]) != text:
                self._before[record["run_id"]] = text
                self.say([f"{datetime.now(UTC):%H:%M:%S} {text}"])

    def say(self, lines: Any) -> None:
        self._out.write("".join(f"{line}\n" for line in lines))
        self._out.flush()


# -- words ---------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """A span of time for people."""
    for limit, unit, name, below in ((120, 1, "s", 0), (7200, 60, "min", 0), (172_800, 3600, "h", 60)):
        if seconds < limit:
            # Never rounded up: 4 h 59.9 min are not 5 h, and surely not "4 h 60 min".
            rest = f" {seconds % unit // below:.0f} min" if below and seconds % unit >= below else ""
            return f"{seconds // unit:.0f} {name}{rest}"
    return f"{seconds // 86_400:.0f} d {seconds % 86_400 // 3600:.0f} h"


def clock(moment: str) -> str:
    """A moment as it stands in a record, for people."""
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
