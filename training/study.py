"""Study files: what a search has tried so far, in Optuna's own journal format, so that its tools read them too.

A file outlives a kill at any moment, and belongs to one process at a time.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study
from optuna.trial import TrialState

ABOUT = "about"
LOOKS = "looks"


class StudyError(ValueError):
    """A study file that cannot be used; the message says why and what to do."""


class _Held(JournalFileOpenLock):
    """Optuna's own lock is a file that a killed process leaves behind. Here the kernel's is held all the time."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


@contextmanager
def storage(path: Path) -> Generator[JournalStorage]:
    """The study file, made if need be, for this process alone.

    Raises:
        StudyError: another process has it, or it is no study file or a damaged one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyError(
                f"another process is searching with {path}: wait for it, or give another --study"
            ) from None
        file.seek(0)
        content = file.read()
        if content and not _is_journal(content):
            raise StudyError(f"{path} is no study file: give another --study")
        # Half a line, of a process that was killed while it wrote, would spoil the next one.
        file.truncate(content.rfind(b"\n") + 1)
        try:
            opened = JournalStorage(JournalFileBackend(str(path), lock_obj=_Held(str(path))))
        except (ValueError, LookupError, TypeError) as error:
            raise StudyError(f"{path} is damaged ({error}): remove it, or give another --study") from error
        yield opened


def open_study(store: JournalStorage, name: str, about: Mapping[str, Any]) -> Study:
    """The study `name` of a file, made if need be; trials that did not end are given up.

    Args:
        about: all that its trials depend on.

    Raises:
        StudyError: the study is about something else; the message says what differs.
    """
    verbosity = optuna.logging.get_verbosity()
    # It would say what the progress says.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(storage=store, study_name=name, direction="maximize", load_if_exists=True)
    finally:
        optuna.logging.set_verbosity(verbosity)
    known: Mapping[str, Any] | None = study.user_attrs.get(ABOUT)
    if known is None and not study.trials:
        study.set_user_attr(ABOUT, dict(about))
    elif known != about:
        odd = sorted(key for key in {*about, *(known or {})} if (known or {}).get(key) != about.get(key))
        raise StudyError(f"the study file is of another search, with other {', '.join(odd)}: give another --study")
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        study.tell(left.number, state=TrialState.FAIL)
    return study


def looked(store: JournalStorage, name: str, what: str) -> int:
    """Notes that `what` was scored on the holdout, and returns how many different ones were, this one included."""
    study = optuna.load_study(storage=store, study_name=name)
    known: list[str] = study.user_attrs.get(LOOKS, [])
    if what not in known:
        known = [*known, what]
        study.set_user_attr(LOOKS, known)
    return len(known)


def _is_journal(content: bytes) -> bool:
    try:
        first: object = json.loads(content.partition(b"\n")[0])
    except ValueError:
        return content.startswith(b'{"op_code"') and b"\n" not in content
    return isinstance(first, dict) and "op_code" in first
