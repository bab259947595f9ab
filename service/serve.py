"""The verbs `serve` and `settings`: this process's socket, signals, and numbers for uvicorn."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import socket
import sys
import textwrap
from collections.abc import Mapping
from typing import NoReturn

import uvicorn

from service.app import commit_of, create_app
from service.commands import default_registry
from service.lean import forbid_unused
from service.location import BadUri, parse_model_uri
from service.protocol import ACCEPTS, LOOP, Protocol
from service.registry import open_registry
from service.settings import Settings, SettingsError, table, unknown_variables
from service.telemetry import Telemetry, configure_logging

# Longer than the 60 s after which an AWS load balancer drops an idle connection: the one that closes
# first must not be the server, or a request that was just sent is lost with the connection.
KEEP_ALIVE_SECONDS = 75

# What a stop waits for answers that are being given; Kubernetes kills after 30 s.
DRAIN_SECONDS = 25

# Connections that the kernel keeps while the loop is busy.
BACKLOG = 2048

OPTIONS = {
    "model": ("URI", "the model to serve: registry/models/NAME/VERSION or the folder of a bundle"),
    "model_sha256": ("PIN", "the digest that the model must have"),
    "registry": ("URI", "where --newest looks (default: .podium/registry)"),
    "host": ("ADDRESS", "the address to listen on"),
    "port": ("PORT", "the port to listen on; 0 takes a free one"),
    "log_level": ("LEVEL", "debug, info, warning or error"),
}


class Server(uvicorn.Server):
    """asyncio takes its backlog for two things: what the kernel keeps, and what it accepts without a pause."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Each option stands for its `PODIUM_*` variable and wins over it."""
    for name, (metavar, text) in OPTIONS.items():
        help_text = f"{text} [PODIUM_{name.upper()}]"
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=help_text)
    parser.add_argument("--newest", action="store_true", help="serve the newest model of the registry")


def run(args: argparse.Namespace) -> int:
    """Runs `args.verb`, serve or settings, and returns the exit code: 0 after SIGTERM, 2 for a bad setting,
    3 for an address that is taken.

    Raises:
        RegistryError: `--newest` found no model.
        KeyboardInterrupt: Ctrl-C, after a clean stop.
    """
    try:
        settings = settings_from(args, os.environ)
    except (SettingsError, BadUri) as error:
        return _fail(str(error), 2)
    return show(settings) if args.verb == "settings" else serve(settings)


def settings_from(args: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """The environment with the options over it.

    Raises:
        SettingsError: a value is not allowed, or no model is given.
        BadUri: the model's or the registry's address is none.
        RegistryError: `--newest` found no model.
    """
    given = {f"PODIUM_{name.upper()}": getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    settings = Settings.from_env({**environ, **given})
    if args.verb == "settings":
        return settings
    if args.newest:
        if args.model is not None:
            raise SettingsError("give --model or --newest, not both")
        newest = open_registry(settings.registry or default_registry()).newest()
        return Settings.from_env({**environ, **given, "PODIUM_MODEL": newest.uri})
    if settings.model is None:
        raise SettingsError("no model to serve: give --model URI, or --newest, or set PODIUM_MODEL")
    parse_model_uri(settings.model)
    return settings


def serve(settings: Settings) -> int:
    """Listens, loads, answers until a signal. SIGTERM ends it with 0 once the answers under way are given."""
    # uvicorn stops on this signal and then raises it once more for whoever started it: that is here.
    # As process 1 of a container there is no default action either, so it is set before all else.
    signal.signal(signal.SIGTERM, _end)
    forbid_unused()
    telemetry = Telemetry(commit_of(settings))
    configure_logging(settings.log_level, telemetry.identity)
    telemetry.event("starting", settings=settings.public)
    for name, closest in unknown_variables().items():
        telemetry.event("unknown-variable", logging.WARNING, variable=name, closest=closest)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        return _fail(f"cannot listen on {where}: {error.strerror}; choose another with --host or --port", 3)
    server = Server(
        uvicorn.Config(
            create_app(settings, telemetry, settle=_settle),
            loop=LOOP,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=ACCEPTS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
    try:
        telemetry.event("listening", host=settings.host, port=listener.getsockname()[1])
        server.run([listener])
    finally:
        telemetry.event("stopped")
    return 0


def show(settings: Settings) -> int:
    """Prints every setting: variable, value, what it means, what is allowed, and why it is as it is."""
    for row in table():
        value = getattr(settings, row.variable.removeprefix("PODIUM_").lower())
        shown = {True: "on", False: "off"}[value] if isinstance(value, bool) else "" if value is None else str(value)
        default = "" if shown == row.default else f" (default {row.default or 'unset'})"
        text = f"{row.doc} Allowed: {row.allowed}. {row.why}"
        paragraph = textwrap.fill(text, 100, initial_indent="    ", subsequent_indent="    ")
        sys.stdout.write(f"{row.variable}={shown}{default}\n{paragraph}\n")
    return 0


def _listen(host: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is given, which socket.create_server does not: without
    # it the body of an answer waits for the client's acknowledgement of the head.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _settle() -> None:
    # What is alive now stays alive: the collector need not walk it again in the middle of requests.
    gc.collect()
    gc.freeze()


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


def _fail(message: str, exit_code: int) -> int:
    sys.stderr.write(f"podium: {message}\n")
    return exit_code
