"""Fetch the JavaScript libraries that a report carries, in the versions of `mlmat/page/vendor/versions.json`.

python ci/fetch_javascript.py
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import urllib.request
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "mlmat" / "page" / "vendor"


def fetch(package: dict[str, str]) -> tarfile.TarFile:
    """The archive of a package; its SHA-512 must be the one written down."""
    name, version = package["name"], package["version"]
    with urllib.request.urlopen(f"https://registry.npmjs.org/{name}/-/{name}-{version}.tgz") as answer:
        archive = answer.read()
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != package["integrity"]:
        raise SystemExit(f"{name} {version}: the archive has {found}, expected {package['integrity']}")
    return tarfile.open(fileobj=io.BytesIO(archive))


def main() -> None:
    """Write every file that versions.json names."""
    for package in json.loads((VENDOR / "versions.json").read_text()):
        with fetch(package) as archive:
            for inside, name in package["files"].items():
                member = archive.extractfile(f"package/{inside}")
                assert member is not None
                (VENDOR / name).write_bytes(member.read())
                print(name)


if __name__ == "__main__":
    main()
