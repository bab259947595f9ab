from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from training.study import StudyError, looked, open_study, storage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "study.log"


def add_trial(path: Path, value: float = 0.5) -> None:
    with storage(path) as store:
        study = open_study(store, "a", {"seed": 1})
        study.tell(study.ask(), value)


def test_it_is_there_the_next_time(path: Path) -> None:
    add_trial(path, 0.25)
    add_trial(path, 0.75)
    with storage(path) as store:
        assert [trial.value for trial in open_study(store, "a", {"seed": 1}).trials] == [0.25, 0.75]
        assert open_study(store, "b", {"seed": 2}).trials == []
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_one_process_at_a_time(path: Path) -> None:
    with storage(path), pytest.raises(StudyError, match="another process is searching"), storage(path):
        pass
    add_trial(path)


@pytest.mark.parametrize("content", [b"[recipe]\n", b'{"a": 1}\n', b"[1]\n", b"\n", b"\x00\xff", b"no line end"])
def test_another_file_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StudyError, match="is no study file"), storage(path):
        pass
    assert path.read_bytes() == content


def test_a_folder_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), storage(tmp_path):
        pass


@pytest.mark.parametrize("kept", [1, 20, -1, -30])
def test_half_a_line_is_taken_back(path: Path, kept: int) -> None:
    add_trial(path)
    whole = path.read_bytes()
    add_trial(path)
    line = path.read_bytes()[len(whole) :].partition(b"\n")[0]
    path.write_bytes(whole + line[:kept])
    add_trial(path, 0.75)
    with storage(path) as store:
        assert [trial.value for trial in open_study(store, "a", {"seed": 1}).trials] == [0.5, 0.75]


def test_a_file_whose_very_first_line_is_half(path: Path) -> None:
    add_trial(path)
    path.write_bytes(path.read_bytes()[:30])
    add_trial(path)


def test_a_damaged_file(path: Path) -> None:
    add_trial(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{]\n", *lines[2:]]))
    with pytest.raises(StudyError, match=r"study\.log is damaged .*: remove it"), storage(path):
        pass


def test_a_study_of_something_else_is_refused(path: Path) -> None:
    add_trial(path)
    with storage(path) as store:
        with pytest.raises(StudyError, match="of another search, with other more, seed:"):
            open_study(store, "a", {"seed": 2, "more": 3})
        open_study(store, "a", {"seed": 1})


def test_a_study_that_another_program_made_is_refused(path: Path) -> None:
    import optuna

    with storage(path) as store:
        study = optuna.create_study(storage=store, study_name="a", direction="maximize")
        study.tell(study.ask(), 1.0)
        with pytest.raises(StudyError, match="of another search, with other seed"):
            open_study(store, "a", {"seed": 1})


def test_trials_that_did_not_end_are_given_up(path: Path) -> None:
    with storage(path) as store:
        study = open_study(store, "a", {})
        study.ask()
        study.tell(study.ask(), 1.0)
    with storage(path) as store:
        states = [trial.state for trial in open_study(store, "a", {}).trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_looks_are_counted_once_each(path: Path) -> None:
    with storage(path) as store:
        open_study(store, "a", {})
        assert [looked(store, "a", what) for what in ("x", "x", "y")] == [1, 1, 2]
    with storage(path) as store:
        assert looked(store, "a", "x") == 2
        assert looked(store, "a", "z") == 3
