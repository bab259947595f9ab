from pathlib import Path

import pytest

from training import kept
from training.cache import LIMIT, CacheError
from training.cli import main
from training.kept import user_cache
from training.letor import read_split


def test_the_users_cache(tmp_path: Path):
    cache = user_cache({"PODIUM_CACHE": str(tmp_path), "PODIUM_CACHE_LIMIT": "3GB"})
    assert (cache.folder, cache.limit) == (tmp_path / "data", 3 * 10**9)
    assert user_cache({"XDG_CACHE_HOME": str(tmp_path)}).limit == LIMIT
    with pytest.raises(CacheError, match="PODIUM_CACHE_LIMIT: 'much' is not a size"):
        user_cache({"PODIUM_CACHE_LIMIT": "much"})


def test_it_is_listed_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path))
    monkeypatch.setattr("training.cache.SMALLEST", 0)
    text = tmp_path / "train.txt"
    text.write_bytes(b"2 qid:7 1:0.5 2:3\n0 qid:7 1:0 2:-1\n")
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"0 bytes of at most 64 GB in {tmp_path / 'data'}\n"
    read_split(text, cache=kept.user_cache().__class__(tmp_path / "data", smallest=0))
    assert main(["cache"]) == 0
    assert str(text) in capsys.readouterr().out
    assert main(["cache", "--clear"]) == 0
    assert "kB removed" in capsys.readouterr().out
    assert user_cache().kept() == []


def test_runs_use_it_for_large_files_unless_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path / "cache"))
    small = ["--set", "n_estimators=2", "--runs", str(tmp_path)]
    assert main(["fit", "--data", str(data), *small]) == 0
    assert not (tmp_path / "cache").exists(), "small files are not kept"
    plain = user_cache()
    monkeypatch.setattr("training.commands.user_cache", lambda: plain.__class__(plain.folder, smallest=0))
    assert main(["fit", "--data", str(data), *small, "--no-cache"]) == 0
    assert not (tmp_path / "cache").exists()
    assert main(["fit", "--data", str(data), *small, "--memory-budget", "2TB", "--seed", "1"]) == 0
    assert len(user_cache().kept()) == 2 + (data / "vali.txt").exists()
    assert "within the memory budget of 2 TB" in capsys.readouterr().err
    assert main(["fit", "--data", str(data), *small, "--memory-budget", "1kB", "--seed", "2"]) == 2
    assert "raise --memory-budget" in capsys.readouterr().err
