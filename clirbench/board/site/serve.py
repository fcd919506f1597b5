"""`clirbench site serve`: the site on loopback, rebuilt when submissions or templates change."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from clirbench.board.site.build import build_site
from clirbench.support.errors import ClirbenchError
from clirbench.support.paths import data_dir
from clirbench.support.progress import Reporter, Silent

_EVERY = 1.0


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing: a line for each request helps nobody."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


class _Notes(Silent):
    """The lines of another reporter without its bars: they show the first build, and a rebuild is short."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def note(self, line: str) -> None:
        self._reporter.note(line)


def serve_site(submissions: Sequence[Path], output: Path, port: int, reporter: Reporter) -> None:
    """Build, serve on 127.0.0.1, and rebuild on change until interrupted. Port 0 means any free port."""
    build_site(submissions[0], output, reporter, also=submissions[1:])
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(output)))
    except (OSError, OverflowError) as error:
        raise ClirbenchError(f"cannot listen on port {port} ({error}): choose another --port, or 0 for any") from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    reporter.note(f"http://127.0.0.1:{server.server_address[1]}/ (Ctrl-C ends it)")
    watched = [*submissions, data_dir("site")]
    seen = _state(watched)
    try:
        while True:
            time.sleep(_EVERY)
            before, seen = seen, _state(watched)
            if seen != before:
                try:
                    pages = build_site(submissions[0], output, _Notes(reporter), also=submissions[1:])
                    reporter.note(f"rebuilt {pages} pages")
                except ClirbenchError as error:
                    # Somebody is in the middle of an edit, so the old site stays until a build succeeds.
                    reporter.note(f"not rebuilt: {error}")
    finally:
        server.shutdown()
        server.server_close()


def _state(folders: Sequence[Path]) -> list[tuple[str, int, int]]:
    states = []
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        # A file may be removed after the folder was listed.
        with suppress(OSError):
            status = path.stat()
            states.append((str(path), status.st_mtime_ns, status.st_size))
    return states
