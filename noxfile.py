"""One word for everything that one does here: nox -s check, test, slow, nightly, docs or site; plain nox checks and tests.

It runs in the environment that README's second command makes, and makes none of its own.
"""

import sys

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["check", "test"]


def _python(session: nox.Session, *arguments: str) -> None:
    session.run(sys.executable, "-m", *arguments)


@nox.session
def check(session: nox.Session) -> None:
    """Lint, formatting, types, and every submission."""
    _python(session, "ruff", "check", ".")
    _python(session, "ruff", "format", "--check", ".")
    _python(session, "mypy", "--strict", "clirbench")
    _python(session, "clirbench", "check", "submissions")


@nox.session
def test(session: nox.Session) -> None:
    """The tests, in parallel, without those marked slow; what stands behind -- goes to pytest."""
    _python(session, "pytest", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """The tests marked slow."""
    _python(session, "pytest", "-m", "slow", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """The tests marked nightly: many thousands of attacks."""
    _python(session, "pytest", "-m", "nightly", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The docs: _site/docs/index.html."""
    session.run(sys.executable, "docs/build.py")


@nox.session
def site(session: nox.Session) -> None:
    """The board: _site/index.html."""
    _python(session, "clirbench", "site", "build")
