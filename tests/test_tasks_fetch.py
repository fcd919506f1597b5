"""Downloads against a server on loopback; mirror, cache, and one clear line for each thing that can go wrong."""

import errno
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clirbench.support.errors import ClirbenchError
from clirbench.tasks.fetch import fetch
from clirbench.tasks.task import SourceFile

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.status, self.cut, self.ranges = CONTENT, 200, None, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data/en.json"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(self.server.content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.server.content[start:]
        self.send_response(206 if wanted and self.server.status == 200 else self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.server.cut is None else body[: self.server.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def source(url="http://127.0.0.1:9/en.json", digest=DIGEST):
    return SourceFile(sha256=digest, url=url, mirror="data/en.json")


def test_downloads_once_with_progress(server):
    told = []
    path = fetch(source(server.url), lambda have, total: told.append((have, total)))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(source(server.url)) == path
    assert len(server.ranges) == 1


def test_a_run_beside_it_waits_for_the_download_instead_of_beginning_its_own(server):
    paths = []
    beside = threading.Thread(target=lambda: paths.append(fetch(source(server.url))))

    def begin(have, total):
        if not beside.ident:
            beside.start()

    path = fetch(source(server.url), begin)
    beside.join()
    assert paths == [path]
    assert len(server.ranges) == 1


def test_a_broken_download_is_resumed(server):
    server.cut = 300_000
    with pytest.raises(ClirbenchError, match=r"cannot download .*it resumes"):
        fetch(source(server.url))
    server.cut = None
    assert fetch(source(server.url)).read_bytes() == CONTENT
    assert server.ranges[0] is None
    assert server.ranges[1].startswith("bytes=")
    assert server.ranges[1] != "bytes=0-"


def test_a_download_that_was_whole_when_the_run_died(server, tmp_path):
    path = fetch(source(server.url))
    path.rename(path.with_name("en.json.part"))
    assert fetch(source(server.url)).read_bytes() == CONTENT


def test_a_server_that_sends_something_else(server):
    server.content = CONTENT[:-1]
    with pytest.raises(ClirbenchError, match=r"came with SHA-256 .*nothing was kept"):
        fetch(source(server.url))
    server.content = CONTENT
    assert fetch(source(server.url)).read_bytes() == CONTENT


def test_a_server_that_says_no(server):
    server.status = 404
    with pytest.raises(ClirbenchError, match="answered 404"):
        fetch(source(server.url))


def test_no_network():
    with pytest.raises(ClirbenchError, match=r"ConnectError.*CLIRBENCH_MIRROR"):
        fetch(source())


def test_the_mirror_stands_in_for_the_host(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "en.json").write_bytes(CONTENT)
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path))
    assert fetch(source()).read_bytes() == CONTENT
    (tmp_path / "data" / "en.json").write_bytes(CONTENT[:1000])
    with pytest.raises(ClirbenchError, match=r"en.json has SHA-256 .*truncated.*replace it"):
        fetch(source())


def test_a_mirror_without_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path))
    with pytest.raises(ClirbenchError, match=r"'data/en.json' is not in CLIRBENCH_MIRROR"):
        fetch(source())


def test_a_mirror_that_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path / "nothing"))
    with pytest.raises(ClirbenchError, match="not a folder"):
        fetch(source())


def test_a_spoilt_cache(server):
    path = fetch(source(server.url))
    path.write_bytes(b"spoilt")
    with pytest.raises(ClirbenchError, match="delete it and run again"):
        fetch(source(server.url))


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    # A file in the way fails for every user, root included; a read-only folder would not.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLIRBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ClirbenchError, match=r"cannot write the cache at .*CLIRBENCH_CACHE"):
        fetch(source(server.url))


@pytest.mark.parametrize("refusal", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")])
def test_a_disk_without_locks_holds_downloads_too(server, monkeypatch, refusal):
    def refuse(*_, **__):
        raise refusal

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert fetch(source(server.url)).read_bytes() == CONTENT


def test_line_ends_are_not_called_damage(tmp_path, monkeypatch):
    text = b"one\ntwo\n"
    wanted = SourceFile(hashlib.sha256(text).hexdigest(), mirror="data/en.json", url="http://127.0.0.1:9/en.json")
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path))
    path = tmp_path / "data" / "en.json"
    path.parent.mkdir()
    path.write_bytes(text.replace(b"\n", b"\r\n"))
    with pytest.raises(ClirbenchError) as error:
        fetch(wanted)
    assert str(error.value) == (
        f"{path} is the right file with CRLF line ends, as Git for Windows makes them: replace it with the original, and set "
        "core.autocrlf to false where Git copied it"
    )
    path.write_bytes(text.replace(b"\n", b"\r\n") + b"more")
    with pytest.raises(ClirbenchError, match="changed or truncated"):
        fetch(wanted)
    path.write_bytes(text)
    assert fetch(wanted) == path
