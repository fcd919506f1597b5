"""doctor: what is installed, what is missing, what is out of reach."""

from command_line import call

import clirbench


def test_doctor_says_what_is_missing(monkeypatch, tmp_path):
    import importlib.util

    from clirbench.cli.doctor import findings

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else real(name))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = {finding.what: finding for finding in findings()}
    assert found["clirbench"].found.startswith(clirbench.__version__)
    assert found["counting on a Ray cluster"].state == "missing"
    assert "pip install 'clirbench[ray]'" in found["counting on a Ray cluster"].found
    assert found["hub"].state == "note"
    assert str(tmp_path / "cache") in found["cache"].found
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path / "none"))
    assert {f.what: f for f in findings(online=False)}["CLIRBENCH_MIRROR"].state == "missing"


def test_doctor_knows_a_hub_that_does_not_answer(monkeypatch):
    from clirbench.cli.doctor import findings

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub = next(finding for finding in findings() if finding.what == "hub")
    assert hub.state == "missing"
    assert "cannot be reached" in hub.found


def test_doctor_on_the_command_line():
    ran = call("doctor", "--offline")
    assert ran.exit_code == 0
    assert "torch" in ran.stdout
