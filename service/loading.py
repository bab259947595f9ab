"""The start of a model: fetched, verified, loaded, warmed, proven; only then ready."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from service import api, bundle, lean
from service.backoff import delays
from service.errors import BundleError, BundleMissing
from service.location import RegistryError, RegistryUnavailable
from service.mistakes import Limits
from service.registry import fetch_model
from service.settings import Settings
from service.telemetry import Telemetry

if TYPE_CHECKING:
    from service.manifest import Manifest
    from service.ranker import Ranker

STEPS = ("downloading", "verifying", "loading", "warming", "replaying")
PHASES = ("pending", *STEPS, "ready", "failed")

# One document, a block of 64 rows, and what lies around take different paths through the predictor.
WARM_SIZES = (1, 10, 100, 1000)

# A phase may be in the middle of a file or of a C++ call; a stop does not wait for it any longer.
STOP_SECONDS = 2.0

# A registry out of reach is asked again without end: first soon, as most faults are short, and never so seldom that
# somebody who has mended it would rather restart the process.
FIRST_RETRY_SECONDS, MOST_RETRY_SECONDS = 1.0, 30.0


@dataclass(frozen=True)
class Model:
    """A model that has proven itself."""

    manifest: Manifest
    ranker: Ranker

    @property
    def about(self) -> dict[str, str]:
        """Name and version, as every answer shows them."""
        return {"name": self.manifest.name, "version": self.manifest.version}


@dataclass(frozen=True)
class Failure:
    """Why a start ended, or has to wait. `reason` is a word for machines, `detail` is for people."""

    phase: str
    reason: str
    detail: str


@dataclass(frozen=True)
class State:
    """Where a start is. Replaced as a whole, so that the event loop reads it without a lock.

    `retry_at`: with a failure that may pass, when on the monotonic clock the next try is.
    """

    phase: str = "pending"
    seconds: tuple[tuple[str, float], ...] = ()
    model: Model | None = None
    failure: Failure | None = None
    retry_at: float | None = None

    @property
    def retry_in(self) -> float | None:
        """Seconds to the next try, 0 while it goes on; None where no try is to come."""
        return None if self.retry_at is None else round(max(0.0, self.retry_at - monotonic()), 1)

    @property
    def phases(self) -> list[dict[str, Any]]:
        """The phases that are done and what each took, as the probes show them."""
        return [{"phase": phase, "seconds": round(seconds, 4)} for phase, seconds in self.seconds]


class NotReady(Exception):
    """A start that did not come to a model; the message says at which phase and why."""


class _Stopped(Exception):
    """The process is ending, so the start is given up between two phases."""


class Loader:
    """Runs the start in a thread of its own: the port is open meanwhile, and a failure leaves the process alive.

    Args:
        settle: called once the model is in memory and before it is ready, to prepare the process for a long life.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry, settle: Callable[[], object] | None = None) -> None:
        self.state = State()
        self._settings = settings
        self._telemetry = telemetry
        self._settle = settle
        self._stopping = threading.Event()
        # A daemon, because a hung file system must not keep a process from ending.
        self._thread = threading.Thread(target=self.run, name="loader", daemon=True)
        telemetry.metrics.entered("pending", PHASES)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Gives the start up after the phase it is in, and waits `STOP_SECONDS` for that at most."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def wait(self, seconds: float) -> Model:
        """The model, for who can do nothing until there is one.

        Raises:
            NotReady: the start has failed, or goes on after `seconds`.
        """
        self._thread.join(seconds)
        state = self.state
        if state.model is None:
            why = f"not done after {seconds:.0f} s" if state.failure is None else state.failure.detail
            raise NotReady(f"no model while {state.phase}: {why}")
        return state.model

    def run(self) -> None:
        """The whole start, in the calling thread. Never raises: what goes wrong is the state's `failure`."""
        try:
            self._load()
        except _Stopped:
            self._telemetry.event("load-stopped", phase=self.state.phase)
        except (BundleError, RegistryError) as error:
            self._fail(error.reason, str(error))
        except OSError as error:
            reason = "fetch-failed" if self.state.phase == "downloading" else "model-unreadable"
            self._fail(reason, str(error), error)
        except Exception as error:  # noqa: BLE001 - the process stays, to say what happened
            self._fail("internal-error", f"{type(error).__name__}: {error}", error)

    def _load(self) -> None:
        uri, pin = self._settings.model, self._settings.model_sha256
        began = perf_counter()
        lean.preload("service.ranker")
        with _folder(self._settings) as into:
            with self._phase("downloading"):
                if uri is None:
                    raise BundleMissing("PODIUM_MODEL is not set, so there is no model to serve")
                folder = self._fetch(uri, into, pin)
            with self._phase("verifying"):
                manifest = bundle.verify(folder, pin)
                self._telemetry.identity.model = manifest.name
                self._telemetry.identity.version = manifest.version
            with self._phase("loading"):
                # Here and no earlier: the import takes longer than all the rest, and the port is open by now.
                from service.ranker import Ranker  # noqa: PLC0415

                ranker = Ranker.load(folder / bundle.MODEL, manifest.schema)
            with self._phase("warming"):
                model = Model(manifest, ranker)
                warm(model, Limits(self._settings.max_items, self._settings.explain))
            with self._phase("replaying"):
                documents = bundle.replay(ranker, folder)
        if self._settle is not None:
            self._settle()
        self._ready(model, documents, perf_counter() - began)

    def _fetch(self, uri: str, into: Path, pin: str | None) -> Path:
        for delay in delays(FIRST_RETRY_SECONDS, MOST_RETRY_SECONDS):
            try:
                folder = fetch_model(uri, into, pin, self._settings)
            except RegistryUnavailable as error:
                self._put_off(error, delay)
            else:
                self.state = replace(self.state, failure=None, retry_at=None)
                return folder
            if self._stopping.wait(delay):
                break
        raise _Stopped

    def _put_off(self, error: RegistryUnavailable, delay: float) -> None:
        failure = Failure(self.state.phase, error.reason, str(error))
        self.state = replace(self.state, failure=failure, retry_at=monotonic() + delay)
        self._telemetry.metrics.put_off(error.reason)
        self._telemetry.event(
            "load-put-off",
            logging.WARNING,
            phase=failure.phase,
            reason=failure.reason,
            detail=failure.detail,
            retry_in=round(delay, 1),
        )

    def _ready(self, model: Model, documents: int, seconds: float) -> None:
        manifest = model.manifest
        self._telemetry.metrics.serves(manifest.name, manifest.version, manifest.digest)
        self._telemetry.metrics.entered("ready", PHASES)
        self.state = replace(self.state, phase="ready", model=model)
        self._telemetry.event(
            "model-ready", seconds=round(seconds, 4), digest=manifest.digest, golden_documents=documents
        )

    def _fail(self, reason: str, detail: str, error: BaseException | None = None) -> None:
        failure = Failure(self.state.phase, reason, detail)
        self._telemetry.metrics.entered("failed", PHASES)
        self.state = replace(self.state, phase="failed", failure=failure, retry_at=None)
        self._telemetry.event(
            "model-failed", logging.ERROR, error=error, phase=failure.phase, reason=reason, detail=detail
        )

    @contextmanager
    def _phase(self, phase: str) -> Generator[None]:
        if self._stopping.is_set():
            raise _Stopped
        self._telemetry.metrics.entered(phase, PHASES)
        self.state = replace(self.state, phase=phase)
        began = perf_counter()
        yield
        seconds = perf_counter() - began
        self._telemetry.metrics.left(phase, seconds)
        self.state = replace(self.state, seconds=(*self.state.seconds, (phase, seconds)))
        self._telemetry.event("phase-done", phase=phase, seconds=round(seconds, 4))


def warm(model: Model, limits: Limits) -> None:
    """Answers a few seeded requests from bytes to bytes, so that no client's request is the first of its kind."""
    random = np.random.default_rng(0)
    schema = model.ranker.schema
    for size in WARM_SIZES:
        count = min(size, limits.max_items)
        rows: list[list[float | None]] = random.normal(size=(count, schema.width)).round(4).tolist()
        rows[0][0] = None
        items = [{"id": str(number), "features": row} for number, row in enumerate(rows)]
        request = {"items": items, "explain": limits.explain and count == 1}
        api.answer(orjson.dumps(request), model.ranker, limits, model=model.about, query="warm-up")


@contextmanager
def _folder(settings: Settings) -> Generator[Path]:
    """Where a download goes. A temporary folder goes as soon as the model is in memory."""
    if settings.model_folder is not None:
        yield Path(settings.model_folder)
        return
    try:
        scratch = tempfile.TemporaryDirectory(prefix="podium-")
    except OSError:
        # Nothing here can be written, which matters only to a model that must be downloaded.
        yield Path(".podium", "models").absolute()
        return
    with scratch as folder:
        yield Path(folder)
