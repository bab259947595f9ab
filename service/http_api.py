"""The application behind an HTTP API of Amazon API Gateway: one event a request, by a maintained adapter.

`handler` is what Lambda calls, made when its runtime asks for it, as in `service.delayed`. The adapter would run the
application's lifespan once for each event, and with it load the model: so it is told of none, and the model is loaded
here, once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from mangum import Mangum
from starlette.applications import Starlette

from service.app import commit_of, create_app
from service.delayed import INIT_SECONDS
from service.lean import forbid_unused
from service.loading import Loader
from service.problems import MEDIA_TYPE
from service.settings import Settings
from service.telemetry import Telemetry, configure_logging

Handler = Callable[[Any, Any], dict[str, Any]]

# All else is sent in base64, which clients never see and the gateway has to unpack.
TEXT = ["text/", "application/json", MEDIA_TYPE]


def start(environ: Mapping[str, str] = os.environ) -> Handler:
    """A handler with its model in memory and proven, for a process that does nothing else.

    Raises:
        SettingsError: a setting is not allowed.
        NotReady: there is no model.
    """
    settings = Settings.from_env(environ)
    forbid_unused()
    telemetry = Telemetry(commit_of(settings))
    configure_logging(settings.log_level, telemetry.identity)
    # Its line for each event says less than ours.
    logging.getLogger("mangum").setLevel(logging.WARNING)
    # One loop for the life of the process: what requests share (turns, queues) belongs to it.
    asyncio.set_event_loop(asyncio.new_event_loop())
    return adapted(create_app(settings, telemetry))


def adapted(app: Starlette) -> Handler:
    """A handler that answers on the event loop of this thread.

    Raises:
        NotReady: there is no model.
    """
    loader: Loader = app.state.service.loader
    loader.start()
    loader.wait(INIT_SECONDS)
    adapter: Any = Mangum
    return adapter(app, lifespan="off", text_mime_types=TEXT)


def __getattr__(name: str) -> Any:
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["handler"] = made = start()
    return made
