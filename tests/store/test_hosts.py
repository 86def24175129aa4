"""Two hosts and one store on a network disk: never both at once, each told by name, and a dead one stops nobody."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.tools import CRYSTALS, SLOW
from store.other_hosts import Host, need_host_names

from mlmat.store import Store

Start = Callable[..., Host]
pytestmark = pytest.mark.slow


@pytest.fixture
def table(store: Store, tmp_path: Path) -> Path:
    """A table of mounts in which the store's folder is a network disk."""
    path = tmp_path / "mountinfo"
    path.write_text(f"22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:30 / {store.path.parent} rw - nfs4 server:/a rw\n")
    return path


@pytest.fixture
def start(store: Store, table: Path) -> Iterator[Start]:
    """Starts hosts, and ends them with the test."""
    need_host_names()
    hosts: list[Host] = []

    def one(name: str, **options: str) -> Host:
        hosts.append(Host(name, store.path, table, **options))
        return hosts[-1]

    yield one
    for host in hosts:
        host.process.kill()
        host.process.communicate()


READ = "begin('read', store.database.read(timeout=0.3))"
WRITE = "begin('write', store.database.write(timeout=0.3))"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def refusal(store: Store, host: Host, name: str) -> str:
    return f"StoreLocked: {store.path}: process {host.pid} on host {name} has it open ("


def test_where_no_host_claims_a_store_loose_locks_let_two_of_them_in(start: Start, table: Path) -> None:
    """What the other tests stand on: nothing but the claims keeps these two apart."""
    table.write_text("22 1 254:0 / / rw - ext4 /dev/vda rw\n")
    one, two = start("login1"), start("login2")
    assert [one.do(WRITE), two.do(WRITE)] == ["begun", "begun"]


@pytest.mark.parametrize("has", [READ, WRITE])
@pytest.mark.parametrize("wants", [READ, WRITE])
def test_another_host_is_told_who_has_the_store_open_and_opens_it_afterwards(
    store: Store, start: Start, has: str, wants: str
) -> None:
    one, two = start("login1"), start("login2")
    assert one.do(has) == "begun"
    told = two.do(wants)
    assert told.startswith(refusal(store, one, "login1"))
    assert told.endswith(" s ago); one host at a time: work there, or wait")
    two.ask(wants.replace("0.3", "30"))
    time.sleep(0.3)
    assert one.do("end(*stacks)") == "ended"
    assert two.answer() == "begun"
    assert one.do(has).startswith(refusal(store, two, "login2"))


def test_a_host_that_works_long_keeps_the_store(store: Store, start: Start) -> None:
    one, two = start("login1"), start("login2")
    assert one.do(WRITE) == "begun"
    assert two.do(READ.replace("0.3", "5")).startswith(refusal(store, one, "login1"))
    assert one.do("end('write')") == "ended"
    assert two.do(READ) == "begun"


def test_the_place_of_a_host_that_died_is_free_when_its_time_is_over(store: Store, start: Start) -> None:
    store.execute("CREATE TABLE note (name VARCHAR)")
    one, two, three = start("login1"), start("login2"), start("login3")
    assert one.do(WRITE) == "begun"
    one.kill()
    died = time.monotonic()
    assert two.do(READ).startswith(refusal(store, one, "login1"))
    for host in (two, three):
        host.ask("store.execute(\"INSERT INTO note VALUES ('it')\")")
    for host in (two, three):
        assert "Error" not in host.answer()
    assert time.monotonic() - died > 2.5
    assert store.sql("SELECT count(*) AS n FROM note")["n"].tolist() == [2]


def test_a_process_of_the_host_that_died_goes_on_at_once(store: Store, start: Start) -> None:
    one, again = start("login1"), start("login1")
    assert one.do(WRITE) == "begun"
    assert again.do("None") == "None"
    one.kill()
    begin = time.monotonic()
    assert again.do(READ) == "begun"
    assert time.monotonic() - begin < 2.5  # a host that died is watched for longer


def test_processes_of_one_host_share_its_claim_until_the_last_one_leaves(store: Store, start: Start) -> None:
    one, same, two = start("login1", locks="held"), start("login1", locks="held"), start("login2")
    assert [one.do(READ), same.do(READ)] == ["begun", "begun"]
    assert one.do("end('read')") == "ended"
    assert two.do(READ).startswith(refusal(store, one, "login1"))
    assert same.do("end('read')") == "ended"
    assert two.do(READ) == "begun"


def test_a_process_that_stood_still_too_long_writes_nothing(store: Store, start: Start) -> None:
    store.execute("CREATE TABLE note (name VARCHAR)")
    one, two = start("login1"), start("login2")
    assert one.do(WRITE) == "begun"
    insert = "INSERT INTO note VALUES ('{}')"
    assert "Error" not in one.do(f'entered("write").execute("{insert.format("late")}")')
    one.process.send_signal(signal.SIGSTOP)
    assert "Error" not in two.do(f'store.execute("{insert.format("it")}")')
    one.process.send_signal(signal.SIGCONT)
    assert "another host opened the store meanwhile" in one.do("end('write')")
    assert store.sql("SELECT name FROM note")["name"].tolist() == ["it"]
    assert "Error" not in one.do(f'store.execute("{insert.format("then")}")')


@pytest.mark.faults
def test_no_clock_of_a_host_decides_who_is_dead(store: Store, start: Start) -> None:
    """Disks that take the time of the host: one whose clock is an hour behind lives, until it dies."""
    one, two = start("login1"), start("login2")
    one.do("slow_clock(3600)")
    assert one.do(WRITE) == "begun"
    assert two.do(READ.replace("0.3", "4")).startswith(refusal(store, one, "login1"))
    one.kill()
    assert two.do(READ.replace("0.3", "30")) == "begun"


@pytest.mark.faults
@pytest.mark.parametrize("first_died", [False, True])
@pytest.mark.parametrize("meanwhile", [0, 3])
def test_who_looked_before_another_host_came_in_steps_back(
    store: Store, start: Start, first_died: bool, meanwhile: int
) -> None:
    """It stands still between its look at a claim, free or a dead host's, and the making of the next one."""
    first, one, two = start("login0"), start("login1"), start("login2")
    long = READ.replace("0.3", "30")
    assert first.do(READ) == "begun"
    if first_died:
        first.kill()
    else:
        assert first.do("end('read')") == "ended"
    one.do("stand_still_before_making()")
    one.ask(READ.replace("0.3", "5"))
    until(lambda: ") T " in Path(f"/proc/{one.pid}/stat").read_text())
    for _ in range(meanwhile):
        assert [two.do(long), two.do("end('read')")] == ["begun", "ended"]
    assert two.do(long) == "begun"
    one.process.send_signal(signal.SIGCONT)
    assert one.answer().startswith(refusal(store, two, "login2"))


def test_status_says_who_has_the_store_open_on_which_host(store: Store, start: Start) -> None:
    one, two = start("login1"), start("login2")
    status = f"command('status', '--db', {str(store.path)!r})"
    assert "structures  0" in two.do(status)
    assert one.do(WRITE) == "begun"
    told = two.do(status)
    assert f"held by     process {one.pid} on host login1" in told
    assert told.endswith("SystemExit: 1")
    assert one.do("end('write')") == "ended"
    assert "structures  0" in two.do(status)
    assert "one host at a time" in two.leave()


def test_who_cannot_write_beside_the_store_reads_without_a_claim(store: Store, start: Start) -> None:
    folder = store.path.parent
    one = start("login1")
    two = start("login2", before=f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}")
    assert one.do("store.execute('SELECT 1').shape") == "(1, 1)"
    assert two.do("store.sql('SELECT 1').shape") == "(1, 1)"
    assert "cannot be written (Read-only file system" in two.do("store.execute('SELECT 1')")
    assert "structures  0" in two.do(f"command('status', '--db', {str(store.path)!r})")


def test_a_store_is_made_by_one_host(tmp_path: Path, start: Start, table: Path) -> None:
    path = tmp_path / "new.duckdb"
    one, two = Host("login1", path, table), Host("login2", path, table)
    for host in (one, two):
        host.ask("store.create()")
    assert [one.answer(), two.answer()] == ["None", "None"]
    assert one.do("store.sql('SELECT 1').shape") == two.do("store.sql('SELECT 1').shape") == "(1, 1)"
    one.leave(), two.leave()


def test_a_driver_keeps_its_method_from_another_host_until_it_has_died(store: Store, start: Start) -> None:
    one, two = start("login1"), start("login2")
    drive = "begin('driver', store.driver('m', f'process {os.getpid()} on {_hosts.socket.gethostname()}, since now'))"
    assert one.do(drive) == "begun"
    time.sleep(4)  # longer than a dead one is kept
    who = f"process {one.pid} on login1, since now (last seen 0 s ago"
    assert two.do(drive) == f"StoreLocked: this method is being computed already by {who}); let it finish or stop it"
    assert two.do("store.drivers()") == str([f"{who})"])
    assert two.do(drive.replace("'m'", "'n'")) == "begun"
    assert two.do("end('driver')") == "ended"
    assert f"at work     {who}" in two.do(f"command('status', '--db', {str(store.path)!r})")
    one.kill()
    died = time.monotonic()
    until(lambda: "if it is dead, wait" in two.do(drive))
    until(lambda: two.do(drive) == "begun")
    assert time.monotonic() - died > 2.5
    assert two.do("end('driver')") == "ended"
    assert two.do("store.drivers()") == "[]"


@pytest.mark.faults
def test_a_driver_that_stood_still_is_stopped_when_another_host_goes_on(store: Store, start: Start) -> None:
    one, two = start("login1"), start("login2")
    drive = "begin('driver', store.driver('m', 'somebody'))"
    assert one.do(drive) == "begun"
    one.ask("time.sleep(60)")
    time.sleep(0.5)
    one.process.send_signal(signal.SIGSTOP)
    until(lambda: two.do(drive) == "begun")
    one.process.send_signal(signal.SIGCONT)
    assert one.answer() == "KeyboardInterrupt: "
    assert one.do("end('driver')") == "ended"
    assert two.do("end('driver')") == "ended"
    assert "another host took over" in one.leave()


def test_results_of_a_living_driver_wait_for_it_those_of_a_dead_one_are_taken_in(store: Store, start: Start) -> None:
    one, two = start("login1"), start("login2")
    run = "__import__('mlmat.provenance').provenance.new_run('screen', 'x', packages={}, method_id=None)"
    write = f"[store.start_run({run}), store.beside()['journals']][1]"
    one.do("globals().update(journal=store.journal('r'))")
    assert one.do("[journal.append(b'what nobody'), len(journal)]") == "[None, 23]"
    time.sleep(4)  # longer than a dead one's is kept
    assert [two.do(write), two.do(write)] == ["1", "1"]
    assert one.do("[journal.append(b'can read'), len(journal)]") == "[None, 43]"
    one.kill()
    died = time.monotonic()
    until(lambda: two.do(write) == "0")
    assert time.monotonic() - died > 2.5
    (kept,) = (store.folder / "journal").iterdir()
    assert kept.suffix == ".refused"
    assert b"what nobody" in kept.read_bytes()
    assert b"can read" in kept.read_bytes()


def test_on_a_local_disk_nothing_is_claimed(store: Store) -> None:
    with store.database.write(), store.driver("m", "me"):
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("claim")] == []
    assert not (store.folder / "hosts").exists()


TURNS = (
    "[[begin('turn', inside()), log('in'), time.sleep(0.01), log('out'), end('turn'), time.sleep(0.02)]"
    " for _ in range(100000)]"
)


@pytest.mark.faults
@pytest.mark.parametrize(("names", "locks"), [(["a", "b", "c"], "loose"), (["a", "a", "b", "b"], "held")])
def test_hosts_that_die_now_and_then_are_never_inside_together(
    start: Start, tmp_path: Path, names: list[str], locks: str
) -> None:
    chance, log = random.Random(8), tmp_path / "log"
    log.touch()
    hosts = [(name, turns(start(name, locks=locks), log)) for name in names]
    for number in range(10):
        more = len(log.read_text().splitlines()) + 40
        until(lambda lines=more: len(log.read_text().splitlines()) > lines)
        time.sleep(chance.uniform(0, 0.1))
        name, host = hosts.pop(chance.randrange(len(hosts)))
        host.kill()
        with log.open("a") as file:
            file.write(f"dead {name} {host.pid}\n")
        again = name if chance.random() < 0.5 else f"node{number}"  # a host that never comes back holds up the others
        hosts.append((again, turns(start(again, locks=locks), log)))
    for _, host in hosts:
        host.kill()
    inside: set[tuple[str, str]] = set()
    dead: set[tuple[str, str]] = set()
    taken = []
    for line in log.read_text().splitlines():
        what, *who = line.split()
        if what == "in":
            assert {name for name, _ in inside - dead} <= {who[0]}, f"{who} came in while {inside - dead} were there"
            inside.add((who[0], who[1]))
            taken.append(who[1])
        elif what == "out":
            inside.remove((who[0], who[1]))
        else:
            dead.add((who[0], who[1]))
    print(f"{len(taken)} turns of {len(set(taken))} processes")
    assert len(taken) > 150
    assert len(set(taken)) > 5


def turns(host: Host, log: Path) -> Host:
    """Let a host come in and go out without end, and write it down."""
    host.ask(f"globals().update(file=os.open({str(log)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND))")
    host.ask("globals().update(me=f'{_hosts.socket.gethostname()} {os.getpid()}')")
    host.ask("globals().update(log=lambda what: os.write(file, f'{what} {me}\\n'.encode()))")
    host.ask("globals().update(inside=lambda: store.database.entrance.alone(time.monotonic() + 100))")
    host.ask(TURNS)
    return host


@pytest.mark.faults
def test_a_screen_on_one_host_and_commands_on_another(store: Store, start: Start, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    db = f"'--db', {str(store.path)!r}"
    screen = f"command('screen', '--runner', {str(tmp_path / 'slow.py')!r}, '--config', 'threads', {db})"
    one, two = start("login1"), start("login2")
    assert "stored 71" in " ".join(one.do(f"command('ingest', {str(CRYSTALS)!r}, {db})").split())
    one.ask(screen)
    until(lambda: "by process" in two.do(f"command('status', {db})"))
    assert two.do(screen).endswith("SystemExit: 1")
    assert "nothing new" in two.do(f"command('ingest', {str(CRYSTALS)!r}, {db})")
    assert "71" in two.do(f"command('sql', 'SELECT count(*) AS n FROM structure', {db})")
    assert "71 ok, 0 failed" in one.answer()
    told = two.leave()
    assert f"this method is being computed already by process {one.pid} on login1" in told
    assert "the store lies on a network file system (nfs4)" in one.leave()
    assert len(store.sql("SELECT DISTINCT structure_id FROM result WHERE status = 'ok'")) == 71
    assert len(store.sql("FROM result")) == 71
