"""Names and paths of models: the cache, the lock, the download that goes wrong."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mlmat.errors import ModelError
from mlmat.potentials import weights

PAGE = b"<!DOCTYPE html><html><body>Not found</body></html>"


def archive() -> bytes:
    """A zip archive: what a model file is from the outside."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", "weights" * 100)
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MLMAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def site(monkeypatch):
    """A web server in place of the models' own; it gives `site.answers` in turn, the last for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            kind, body = server.answers[min(len(server.asked), len(server.answers)) - 1]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    from mlmat.potentials.quiet import quiet_import

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    foundations = quiet_import("mace.calculators.foundations_models")
    url = f"http://127.0.0.1:{server.server_port}/2023-tiny-L0.model"
    monkeypatch.setitem(foundations.mace_mp_urls, "small", url)
    yield server
    server.shutdown()
    server.server_close()


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_a_file_is_used_where_it_lies(tmp_path, cache):
    path = tmp_path / "my.model"
    path.write_bytes(archive())
    assert weights.resolve(str(path)) == path
    assert not cache.exists()


def test_a_relative_path_becomes_absolute(tmp_path, cache, monkeypatch):
    (tmp_path / "my.model").write_bytes(archive())
    monkeypatch.chdir(tmp_path)
    assert weights.resolve("my.model") == tmp_path / "my.model"


@pytest.mark.parametrize("model", ["/no/such/file", "sub/none", "typo.model", "typo.pt"])
def test_a_missing_file_is_said_to_be_missing(model, cache):
    with pytest.raises(ModelError, match="does not exist"):
        weights.resolve(model)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (PAGE, "is a web page"),
        (b"\n " + PAGE, "is a web page"),
        (archive()[:-30], "truncated"),
    ],
)
def test_a_file_that_is_no_model_is_refused_and_left_alone(tmp_path, cache, content, said):
    path = tmp_path / "my.model"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=said) as caught:
        weights.resolve(str(path))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_the_cache_is_in_the_users_folder_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("MLMAT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.cache_folder() == tmp_path / "mlmat" / "models"


def test_a_cached_name_needs_neither_torch_nor_mace(cache):
    cache.mkdir(parents=True)
    (cache / "small.model").write_bytes(archive())
    code = (
        "import sys\nfrom mlmat.potentials import weights\nprint(weights.resolve('small'))\n"
        "assert not {'torch', 'mace', 'e3nn', 'ase'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(cache / "small.model")


def test_a_name_is_fetched_once_and_silently(cache, site, capfd):
    site.answers = [("application/octet-stream", archive())]
    first = weights.resolve("small")
    assert first.read_bytes() == archive()
    assert weights.resolve("small") == first == cache / "small.model"
    assert site.asked == ["/2023-tiny-L0.model"]
    assert capfd.readouterr().out == ""


def test_the_stem_of_the_file_is_a_name_too(cache, site):
    site.answers = [("application/octet-stream", archive())]
    assert weights.resolve("2023-tiny-L0").read_bytes() == archive()


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream"])
def test_an_error_page_is_refused_and_removed_everywhere(cache, site, tmp_path, kind):
    site.answers = [(kind, PAGE)]
    with pytest.raises(ModelError, match=r"small.*mlmat models add FILE") as caught:
        weights.resolve("small")
    assert "\n" not in str(caught.value)
    assert [name for name in files(tmp_path) if "font" not in name] == ["small.lock"]  # matplotlib fills its cache


def test_a_truncated_download_is_refused_and_removed(cache, site, tmp_path):
    site.answers = [("application/octet-stream", archive()[:100])]
    with pytest.raises(ModelError, match="truncated"):
        weights.resolve("small")
    assert files(tmp_path) == ["small.lock"]


def test_an_error_page_that_mace_kept_before_is_replaced(cache, site, tmp_path):
    (tmp_path / "xdg" / "mace").mkdir(parents=True)
    (tmp_path / "xdg" / "mace" / "2023tinyL0model").write_bytes(PAGE)
    site.answers = [("application/octet-stream", archive())]
    assert weights.resolve("small").read_bytes() == archive()


def test_a_damaged_file_in_the_cache_is_fetched_again(cache, site):
    cache.mkdir(parents=True)
    (cache / "small.model").write_bytes(archive()[:50])
    site.answers = [("application/octet-stream", archive())]
    assert weights.resolve("small").read_bytes() == archive()


def test_without_a_network_the_message_says_what_to_do(cache, site):
    site.shutdown()
    site.server_close()
    with pytest.raises(ModelError, match=r"could not be fetched.*mlmat models add FILE") as caught:
        weights.resolve("small")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_known_ones(cache, site):
    with pytest.raises(ModelError, match=r"smal .*small, medium"):
        weights.resolve("smal")
    assert site.asked == []


def test_an_unwritable_cache_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MLMAT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="set MLMAT_CACHE"):
        weights.resolve("small")


def test_only_one_of_many_makes_the_file(cache):
    made = []

    def make(part: Path) -> None:
        made.append(threading.get_ident())
        threading.Event().wait(0.1)
        part.write_bytes(archive())

    threads = [threading.Thread(target=weights.obtain, args=(cache / "x.model", make)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert (cache / "x.model").read_bytes() == archive()


def test_a_maker_that_fails_leaves_nothing(cache):
    def make(part: Path) -> None:
        part.write_bytes(b"half")
        raise ModelError("stopped")

    with pytest.raises(ModelError, match="stopped"):
        weights.obtain(cache / "x.model", make)
    assert files(cache) == ["x.lock"]
