"""Which file system a path lies on, by the kernel's own words, and who is warned."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmat.store import Store
from mlmat.store.access import mounts
from mlmat.store.access.mounts import file_system, network_warning

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /home rw shared:2 - nfs4 server:/home rw,vers=4.2
31 30 0:31 / /home/local rw - xfs /dev/vdb rw
32 22 0:32 / /data\040of\040all rw master:1 propagate_from:2 - lustre mgs@tcp:/scratch rw
33 22 0:33 / /mnt rw - ext4 /dev/vdc rw
34 22 0:34 / /mnt rw - fuse.sshfs me@host: rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/x.duckdb", "ext4"), ("/home/me/x.duckdb", "nfs4"), ("/homely/x.duckdb", "ext4"), ("/home", "nfs4"),
        ("/home/local/x.duckdb", "xfs"), ("/data of all/x.duckdb", "lustre"), ("/mnt/x.duckdb", "fuse.sshfs"),
    ],
)  # fmt: skip
def test_the_longest_mount_point_counts_and_of_two_the_later(path: str, kind: str) -> None:
    assert file_system(path, MOUNTS) == kind


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), min_size=1)
)
def test_any_folder_name_is_found_as_the_kernel_writes_it(name: str) -> None:
    written = "".join(f"\\{ord(c):03o}" if c in " \t\\#" else c for c in name)
    text = f"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /{written} rw - nfs b rw"
    assert file_system(f"/{name}/x.duckdb", text) == "nfs"


def test_the_system_says_the_same(tmp_path: Path) -> None:
    found = subprocess.run(
        ["findmnt", "-n", "-o", "FSTYPE", "-T", tmp_path], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip("findmnt is not here")
    text = Path("/proc/self/mountinfo").read_text()
    assert file_system(os.path.realpath(tmp_path), text) == found.stdout.split()[0]
    assert network_warning(tmp_path / "x.duckdb") is None


def test_who_writes_is_warned_once_and_who_reads_is_not(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    here = file_system(os.path.realpath(store.path), Path("/proc/self/mountinfo").read_text())
    monkeypatch.setattr(mounts, "NETWORK", {here})
    said: list[str] = []
    store.database.say = said.append
    store.sql("SELECT 1")
    assert said == []
    store.execute("SELECT 1")
    store.execute("SELECT 1")
    (text,) = said
    assert f"network file system ({here})" in text
    assert "local disk" in text
    assert "\n" not in text
