# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running service: every door on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from autoprovd import __version__, log
from autoprovd.config import Config, parse_address
from autoprovd.directory import Directory
from autoprovd.faults import Refused
from autoprovd.neighbours import Neighbours
from autoprovd.overview import Overview
from autoprovd.release import Release
from autoprovd.sealing import load_keyring
from autoprovd.site import Site
from autoprovd.store import Store
from autoprovd.tokens import Tokens
from autoprovd.web import api, phones
from autoprovd.web.protocol import Protocol

_SAVE_SECONDS, _ATTEND_SECONDS = 30.0, 5.0


@dataclass(frozen=True, slots=True)
class _Door:
    name: str
    application: Any
    listener: socket.socket
    tls: bool


class _Server(uvicorn.Server):
    """One listener; signals are the whole service's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT. Raises ``Refused`` when it cannot start."""
    keyring = load_keyring(config.keys.sealing_key_file)
    database = config.database
    store = Store(
        database.url,
        witness=database.witness,
        require_synchronous_standby=database.require_synchronous_standby,
        trust_failover=database.trust_failover,
    )
    store.attend()
    store.migrate()
    release = Release(store, keyring)
    store.on_discontinuity(release.seal_all)
    store.check_past()
    site = Site(store, keyring, release)
    rendered = site.render_after_upgrade()
    directory = Directory(store)
    site.on_change(directory.forget)
    overview = Overview(store, keyring, directory)
    parts = api.Parts(store, keyring, release, site, overview, Tokens(store, keyring))
    doors = _doors(config, phones.PhoneFiles(directory, release, store.clock, Neighbours()), parts)
    log.event("started", version=__version__, count=rendered, listener=", ".join(door.name for door in doors))
    try:
        uvicorn_loop(_run(config, doors, store, directory))
    finally:
        store.close()
    log.event("stopped")


def uvicorn_loop(main: Any) -> None:
    """Run on uvloop."""
    import uvloop

    uvloop.run(main)


def _doors(config: Config, for_phones: Any, parts: api.Parts) -> list[_Door]:
    doors = []
    listen = config.listen
    over_https = api.application(parts, on_socket=False)
    for addresses, application, tls, name in (
        (listen.phones_http, for_phones, False, "phones http"),
        (listen.phones_https, for_phones, True, "phones https"),
        (listen.admin_https, over_https, True, "admin https"),
    ):
        doors += [_Door(f"{name} {text}", application, _listener(text), tls) for text in addresses]
    if listen.admin_socket is not None:
        local = _local_listener(listen.admin_socket)
        doors.append(_Door(f"admin {listen.admin_socket}", api.application(parts, on_socket=True), local, False))
    return doors


def _listener(text: str) -> socket.socket:
    host, port = parse_address(text)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise Refused("unavailable", f"cannot listen on {text}: {error.strerror}") from None
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


def _local_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        # The file's mode is the door: it must be shut from the moment the file is there.
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
    except OSError as error:
        raise Refused("unavailable", f"cannot listen on {path}: {error.strerror}") from None
    listener.listen(128)
    return listener


def _uvicorn(config: Config, door: _Door) -> _Server:
    tls: dict[str, Any] = {}
    if door.tls:
        tls = {"ssl_certfile": str(config.tls.certificate_file), "ssl_keyfile": str(config.tls.key_file)}
    settings = uvicorn.Config(
        door.application,
        http=Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,  # nobody may say that a request came from elsewhere
        server_header=False,
        date_header=True,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        backlog=2048,
        **tls,
    )
    try:
        settings.load()
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "not a certificate with its key"
        raise Refused(
            "unavailable", f"the certificate {config.tls.certificate_file} cannot be used: {reason}"
        ) from None
    if settings.ssl is not None:
        settings.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return _Server(settings)


async def _run(config: Config, doors: list[_Door], store: Store, directory: Directory) -> None:
    servers = [(_uvicorn(config, door), door) for door in doors]
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server, _door in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    regular = [
        asyncio.create_task(_regularly(_SAVE_SECONDS, partial(_save, directory))),
        asyncio.create_task(_regularly(_ATTEND_SECONDS, partial(_attend, store))),
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for server, door in servers:
                group.create_task(server.serve(sockets=[door.listener]))
    finally:
        for task in regular:
            task.cancel()
        await asyncio.to_thread(_save, directory)


async def _regularly(seconds: float, job: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(job)


def _attend(store: Store) -> None:
    # A hindrance refuses every write from now on, and was logged when it arose.
    with contextlib.suppress(Refused):
        store.attend()


def _save(directory: Directory) -> None:
    try:
        directory.save()
    except Refused as refusal:
        log.event("recent requests not saved", 30, reason=refusal.message)
