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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from autoprovd import __version__, log
from autoprovd.bans import Bans
from autoprovd.config import Config, parse_address
from autoprovd.directory import Directory
from autoprovd.faults import Refused
from autoprovd.firmware.rollouts import Rollouts
from autoprovd.keys import Keys
from autoprovd.leases import Leases
from autoprovd.neighbours import Neighbours
from autoprovd.overview import Overview
from autoprovd.pnp.service import PnpService
from autoprovd.release import Release
from autoprovd.sealing import load_keyring
from autoprovd.sip.resync import Resync
from autoprovd.site import Site
from autoprovd.store import Store
from autoprovd.tokens import Tokens
from autoprovd.upkeep import Upkeep
from autoprovd.web import api, phones
from autoprovd.web.downloads import Downloads
from autoprovd.web.parts import Parts
from autoprovd.web.protocol import CertifyingProtocol, Protocol, ToldHandshake


@dataclass(frozen=True, slots=True)
class _Door:
    name: str
    application: Any
    listener: socket.socket
    tls: bool
    asks_for_certificate: bool = False


class _Server(uvicorn.Server):
    """One listener; signals are the whole service's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT. Raises ``Refused`` when it cannot start."""
    # Its default would end the service; the loop takes it over once it runs.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
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
    keys = Keys(store, keyring, config.keys.sealing_key_file)
    keys.settle()
    release = Release(store, keyring)
    store.on_discontinuity(release.seal_all)
    store.check_past()
    site = Site(store, keyring, release)
    rendered = site.render_after_upgrade()
    directory = Directory(store)
    site.on_change(directory.forget)
    rollouts = Rollouts(site)
    bans = _bans(config, directory)
    leases = Leases([(file.kind, file.path) for file in config.identity.lease_files])
    neighbours = Neighbours()
    pnp = PnpService(config.pnp, site, directory, neighbours, store.clock)
    overview = Overview(store, keyring, directory, rollouts, pnp.standing)
    resync = Resync(store, keyring, overview, neighbours, leases)
    parts = Parts(store, keyring, release, site, overview, Tokens(store, keyring), keys, rollouts, bans, resync, pnp)
    downloads = Downloads(config.firmware.folder, config.firmware.downloads_at_a_time)
    for_phones = phones.PhoneFiles(directory, release, store.clock, neighbours, leases, downloads, bans)
    doors = _doors(config, for_phones, parts)
    log.event("started", version=__version__, count=rendered, listener=", ".join(door.name for door in doors))
    try:
        upkeep = Upkeep(config, store, directory, release, keys, rollouts, bans, pnp.discovered)
        uvicorn_loop(_run(config, doors, upkeep, pnp))
    finally:
        store.close()
    log.event("stopped")


def _bans(config: Config, directory: Directory) -> Bans:
    """The bans there were, and where phones were served so far."""
    bans = Bans(config.limits, config.limits.state_file or config.database.witness.with_name("bans.json"))
    bans.restore(directory.knows)
    return bans


def uvicorn_loop(main: Any) -> None:
    """Run on uvloop."""
    import uvloop

    uvloop.run(main)


def _doors(config: Config, for_phones: Any, parts: Parts) -> list[_Door]:
    doors = []
    listen = config.listen
    over_https = api.application(parts, on_socket=False)
    for addresses, application, tls, name in (
        (listen.phones_http, for_phones, False, "phones http"),
        (listen.phones_https, for_phones, True, "phones https"),
        (listen.admin_https, over_https, True, "admin https"),
    ):
        doors += [_Door(f"{name} {text}", application, _listener(text), tls) for text in addresses]
    doors += [
        _Door(f"phones mutual tls {text}", for_phones, _listener(text), True, asks_for_certificate=True)
        for text in listen.phones_mutual_tls
    ]
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
    authorities = _authorities(config.tls.client_ca_file) if door.asks_for_certificate else None
    settings = uvicorn.Config(
        door.application,
        http=CertifyingProtocol if door.asks_for_certificate else Protocol,
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
        if authorities is not None:
            settings.ssl.verify_mode = ssl.CERT_REQUIRED
            settings.ssl.sslobject_class = ToldHandshake
            settings.ssl.load_verify_locations(cadata=authorities)
    return _Server(settings)


def _authorities(file: Path | None) -> str:
    """The certificates of those who sign phones' certificates, known to be readable."""
    try:
        text = Path(file or "").read_text("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = (
            error.strerror
            if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError)
            else None
        )
        reason = reason or "it holds no certificates in PEM"
        raise Refused(
            "unavailable", f"the authorities in {file} (tls.client_ca_file) cannot be used: {reason}"
        ) from None
    return text


async def _run(config: Config, doors: list[_Door], upkeep: Upkeep, pnp: PnpService) -> None:
    servers = [(_uvicorn(config, door), door) for door in doors]
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server, _door in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    regular = [asyncio.create_task(work) for work in (upkeep.run(), upkeep.attend(), pnp.run())]
    loop.add_signal_handler(signal.SIGHUP, upkeep.reload)
    try:
        async with asyncio.TaskGroup() as group:
            for server, door in servers:
                group.create_task(server.serve(sockets=[door.listener]))
    finally:
        for task in regular:
            task.cancel()
        await asyncio.gather(*regular, return_exceptions=True)
        await asyncio.to_thread(upkeep.end)
