import socket
from pathlib import Path

import pytest

from training import server
from training.server import ServerError, free_port, serving


def test_a_service_that_refuses_the_model_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"refused the model: .*no model"), serving(str(tmp_path), tmp_path / "log"):
        pass


def test_a_service_that_cannot_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_MAX_ITEMS", "many")
    with pytest.raises(ServerError, match="ended with exit code 2; its log"), serving(str(tmp_path), tmp_path / "log"):
        pass
    assert "PODIUM_MAX_ITEMS" in (tmp_path / "log").read_text()


def test_a_taken_port_is_left_to_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        taken = other.getsockname()[1]
        assert free_port() != taken
        monkeypatch.setattr(server, "FIRST_PORT", taken)
        monkeypatch.setattr(server, "LAST_PORT", taken)
        with pytest.raises(ServerError, match="are all in use"):
            free_port()
