from __future__ import annotations

import pytest

from training.cluster import main

BAD: list[tuple[list[str], str | None, str]] = [
    (["--hosts", "a,b", "--host", "a", "fit"], None, "set PODIUM_HOSTS_TOKEN to the same secret on every host"),
    (["--hosts", "a,b", "--host", "a", "fit"], "", "set PODIUM_HOSTS_TOKEN"),
    (["--hosts", "a,b", "--host", "c", "fit"], "s", "this host, c, is not one of a, b"),
    (["--hosts", "a,,b", "--host", "a", "fit"], "s", "'' cannot name a host"),
    (["--hosts", "a,a", "--host", "a", "run"], "s", "a host is named twice"),
    (["--hosts", "no-such-host.invalid,z", "--host", "no-such-host.invalid", "run"], "s", "has no address"),
]


@pytest.mark.parametrize(("command", "token", "said"), BAD, ids=[said for *_, said in BAD])
def test_bad_usage_is_refused_readably(
    command: list[str],
    token: str | None,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PODIUM_HOSTS_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("PODIUM_HOSTS_TOKEN", token)
    assert main(command) == (3 if "address" in said else 2)
    error = capsys.readouterr().err
    assert error.startswith("podium: ")
    assert said in error


@pytest.mark.parametrize("verb", [["publish"], []])
def test_only_what_fits_takes_several_hosts(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--hosts", "a,b", "--host", "a", *verb])
    assert caught.value.code == 2
    assert "usage: python -m training.cluster" in capsys.readouterr().err
