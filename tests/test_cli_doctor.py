"""doctor: what is installed, what is missing, what is out of reach."""

from command_line import call

import clirbench


def test_doctor_says_what_is_missing(monkeypatch, tmp_path):
    import importlib.util

    from clirbench.cli.doctor import diagnose

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else real(name))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    diagnoses = {diagnosis.what: diagnosis for diagnosis in diagnose()}
    assert diagnoses["clirbench"].detail.startswith(clirbench.__version__)
    assert diagnoses["counting on a Ray cluster"].state == "missing"
    assert "pip install 'clirbench[ray]'" in diagnoses["counting on a Ray cluster"].detail
    assert diagnoses["hub"].state == "note"
    assert str(tmp_path / "cache") in diagnoses["cache"].detail
    monkeypatch.setenv("CLIRBENCH_MIRROR", str(tmp_path / "none"))
    monkeypatch.setenv("CLIRBENCH_TASKS", str(tmp_path))
    diagnoses = {diagnosis.what: diagnosis for diagnosis in diagnose(online=False)}
    assert diagnoses["CLIRBENCH_MIRROR"].state == "missing"
    assert diagnoses["CLIRBENCH_TASKS"].detail == f"{tmp_path}: takes the place of the shipped tasks"


def test_doctor_knows_a_hub_that_does_not_answer(monkeypatch):
    from clirbench.cli.doctor import diagnose

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub = next(diagnosis for diagnosis in diagnose() if diagnosis.what == "hub")
    assert hub.state == "missing"
    assert "cannot be reached" in hub.detail


def test_doctor_says_whether_there_is_a_key_and_not_which(monkeypatch):
    from clirbench.cli.doctor import diagnose

    def key():
        return next(diagnosis for diagnosis in diagnose(online=False) if diagnosis.what == "CLIRBENCH_API_KEY")

    monkeypatch.delenv("CLIRBENCH_API_KEY", raising=False)
    assert (key().state, "without a key" in key().detail) == ("note", True)
    monkeypatch.setenv("CLIRBENCH_API_KEY", "sk-1")
    assert (key().state, "sk-1" in key().detail) == ("ok", False)


def test_doctor_on_the_command_line():
    ran = call("doctor", "--offline")
    assert ran.exit_code == 0
    assert "torch" in ran.stdout
