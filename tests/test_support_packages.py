"""Versions of packages, against the library that parses whole descriptions."""

from importlib import metadata

import pytest

from clirbench.support.packages import version_of


def test_every_installed_package_has_the_version_that_importlib_tells():
    names = sorted({one.name for one in metadata.distributions()})
    assert len(names) > 20
    assert [version_of(name) for name in names] == [metadata.version(name) for name in names]


def test_a_version_is_one_of_the_headers(tmp_path, monkeypatch):
    for name, head in (("one", "Name: one\nVersion: 1.2rc1\n"), ("two", "Name: two\nKeywords: a\nVersion:  3\n")):
        folder = tmp_path / f"{name}-0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\n{head}\nVersion: 9 is better.\n")
    old = tmp_path / "three.egg-info"
    old.mkdir()
    (old / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: three\nVersion: 7\n\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [version_of(name) for name in ("one", "two", "three")] == ["1.2rc1", "3", "7"]
    with pytest.raises(metadata.PackageNotFoundError):
        version_of("no-such-package-here")
