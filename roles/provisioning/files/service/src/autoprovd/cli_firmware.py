# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprov firmware``: the mirror of firmware and language files on this machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from autoprovd.appliance import AS_JSON, Appliance, NoService, console, pass_appliance, print_json
from autoprovd.faults import Refused
from autoprovd.mirror import manifest
from autoprovd.mirror.carry import carry_in
from autoprovd.mirror.carry import export as write_export
from autoprovd.mirror.fetch import Cancelled, FetchError, Limits, Wanted, fetch
from autoprovd.mirror.progress import shown
from autoprovd.mirror.report import lines_of, listing, size_of, table_of
from autoprovd.mirror.rights import as_owner, new_file
from autoprovd.mirror.store import MirrorStore, Release
from autoprovd.mirror.sync import Outcome, Settings, sync

_FOLDER = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="AUTOPROV_FIRMWARE",
    default=Path("/var/lib/autoprov-firmware"),
    show_default=True,
    help="Where the mirror is.",
)
_KEEP = click.option("--keep", type=click.IntRange(1, 100), default=3, show_default=True, help="Releases to keep.")
_DOWNGRADE = click.option("--allow-downgrade", is_flag=True, help="Take a list with a lower serial than the last.")
_CHECK = click.option("--check", is_flag=True, help="Only tell what would be done.")
_TELL = click.option("--tell/--no-tell", default=True, help="Tell the service what the mirror holds now.")
_MOST_LIST_BYTES = 32 * 1024**2


@click.group()
def firmware() -> None:
    """The firmware mirror: fetch, list, go back, carry to another site."""


@firmware.command(name="sync")
@click.argument("source")
@_FOLDER
@_CHECK
@_KEEP
@click.option("--workers", type=click.IntRange(1, 32), default=4, show_default=True, help="Files at a time.")
@_DOWNGRADE
@click.option("--trusted-key", "keys", multiple=True, help="A minisign public key that vouches for signed files.")
@click.option("--attempts", type=click.IntRange(1, 20), default=4, show_default=True, help="Per file.")
@click.option("--insecure-source", is_flag=True, help="The list may come by plain http, and its neighbours with it.")
@_TELL
@AS_JSON
@pass_appliance
def sync_command(
    appliance: Appliance,
    source: str,
    folder: Path,
    check: bool,
    keep: int,
    workers: int,
    allow_downgrade: bool,
    keys: Sequence[str],
    attempts: int,
    insecure_source: bool,
    tell: bool,
    as_json: bool,
) -> None:
    """Make the mirror hold what a list says: a file (YAML or JSON), an https address, or - for standard input.

    A file that cannot be had leaves its predecessor in place; exit status 1 tells that there was one.
    """
    limits = Limits(attempts=attempts)
    settings = Settings(workers, keep, allow_downgrade, tuple(keys), limits)
    store = MirrorStore(folder)
    text = _read(source)

    def work() -> bool:
        found = _download(source, store, limits, insecure_source) if text is None else text
        content = manifest.read(found, "standard input" if source == "-" else source, insecure_source)
        before = store.current()
        with _stopped_by_signals() as stop, shown(quiet=check, as_lines=as_json) as listener:
            outcome = sync(store, content, settings, dry_run=check, listener=listener, stop=stop)
        if as_json:
            print_json(_spelled(outcome) | {"before": _listing(before), "after": _foreseen(store, outcome, check)})
        else:
            _print(outcome, check)
        return not (outcome.failed or outcome.alarms)

    sound = as_owner(folder, work)
    _tell(appliance, store, tell and not check)
    sys.exit(0 if sound else 1)


@firmware.command(name="list")
@_FOLDER
@AS_JSON
def list_command(folder: Path, as_json: bool) -> None:
    """List what phones are served."""

    def work() -> bool:
        release = MirrorStore(folder).served()
        if as_json:
            files = [asdict(stored) for stored in release.files]
            print_json({"release": release.number, "serial": release.serial, "files": files})
        else:
            console().print(table_of(release))
        return True

    as_owner(folder, work)


@firmware.command()
@_FOLDER
@AS_JSON
def releases(folder: Path, as_json: bool) -> None:
    """List the releases that are kept; the one phones are served has a star."""

    def work() -> bool:
        store = MirrorStore(folder)
        current = store.current_number()
        kept = [store.release(number) for number in store.numbers()]
        if as_json:
            shown = [{"release": each.number, "serial": each.serial, "files": len(each.files)} for each in kept]
            print_json({"served": current, "releases": shown})
            return True
        for release in kept:
            star = "*" if release.number == current else " "
            size = size_of(sum(stored.size for stored in release.files))
            click.echo(f"{star} {release.number:>5}  serial {release.serial}, {len(release.files)} files, {size}")
        return True

    as_owner(folder, work)


@firmware.command()
@click.option("--to", "number", type=int, help="The release to serve; the one before without this option.")
@_FOLDER
@_CHECK
@_TELL
@AS_JSON
@pass_appliance
def rollback(appliance: Appliance, number: int | None, folder: Path, check: bool, tell: bool, as_json: bool) -> None:
    """Serve an earlier release again, at once."""
    store = MirrorStore(folder)

    def work() -> bool:
        current = _served_number(store)
        wanted = number if number is not None else _before(store, current)
        release = store.release(wanted)
        changed = wanted != current
        before = _listing(_readable(store, current))
        if changed and not check:
            with store.locked():
                store.serve(wanted)
        if as_json:
            told = {"changed": changed, "release": wanted, "instead_of": current}
            print_json(told | {"before": before, "after": _listing(release)})
        else:
            verb = "would be" if check else "is"
            click.echo(f"release {wanted} {verb} served" + (f" instead of {current}" if changed else " already"))
        return True

    as_owner(folder, work)
    _tell(appliance, store, tell and not check)


@firmware.command()
@_FOLDER
@AS_JSON
def verify(folder: Path, as_json: bool) -> None:
    """Read every byte of what is served, and tell what is damaged; exit status 1 then."""

    def work() -> bool:
        store = MirrorStore(folder)
        release = store.served()
        damaged = [stored.path for stored in store.damaged()]
        if as_json:
            print_json({"ok": not damaged, "damaged": damaged, "files": len(release.files)})
        else:
            for path in damaged:
                click.echo(f"damaged: {path}; remove its object and run autoprov firmware sync again")
            click.echo(f"{len(release.files) - len(damaged)} of {len(release.files)} files are whole")
        return not damaged

    sys.exit(0 if as_owner(folder, work) else 1)


@firmware.command()
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@_FOLDER
@AS_JSON
def export(target: Path, folder: Path, as_json: bool) -> None:
    """Write what phones are served into one file, for a site without internet."""
    with new_file(target) as stream:

        def work() -> bool:
            release = write_export(MirrorStore(folder), stream)
            size = os.fstat(stream.fileno()).st_size
            if as_json:
                shown = {"release": release.number, "serial": release.serial, "files": len(release.files), "size": size}
                print_json(shown)
            else:
                click.echo(f"{target}: {len(release.files)} files, {size_of(size)}")
            return True

        as_owner(folder, work)


@firmware.command(name="import")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_FOLDER
@_CHECK
@_KEEP
@_DOWNGRADE
@_TELL
@AS_JSON
@pass_appliance
def import_command(
    appliance: Appliance,
    source: Path,
    folder: Path,
    check: bool,
    keep: int,
    allow_downgrade: bool,
    tell: bool,
    as_json: bool,
) -> None:
    """Serve what another mirror exported; every byte is checked first."""
    store = MirrorStore(folder)
    try:
        stream = source.open("rb")  # before rights are given up: a disk may be root's alone
    except OSError as error:
        raise Refused("unavailable", f"{source} cannot be read: {error.strerror}") from None

    def work() -> bool:
        before = store.current()
        changed, release = carry_in(store, stream, allow_downgrade=allow_downgrade, keep=keep, dry_run=check)
        if as_json:
            told = {"changed": changed, "release": release.number, "serial": release.serial}
            print_json(told | {"before": _listing(before), "after": _listing(release)})
        else:
            verb = "would be" if check else "is"
            already = "" if changed else " already: it holds the same"
            click.echo(f"release {release.number} {verb} served{already}")
        return True

    with stream:
        as_owner(folder, work)
    _tell(appliance, store, tell and not check)


# -- what the commands share ------------------------------------------------------------------------------------------


def _read(source: str) -> bytes | None:
    """A list from here; None for one at an address. Read before rights are given up: it may be its writer's alone."""
    if source == "-":
        return sys.stdin.buffer.read()
    if urlsplit(source).scheme in ("https", "http"):
        return None
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise Refused("not_found", f"{source} cannot be read: {error.strerror}") from None


def _download(url: str, store: MirrorStore, limits: Limits, insecure: bool) -> bytes:
    if urlsplit(url).scheme == "http" and not insecure:
        raise Refused("invalid", f"{url} is plain http, where anybody on the way can change the list; use https")
    bounded = replace(limits, most_bytes=_MOST_LIST_BYTES)
    with store.locked():
        part = store.parts / "manifest"
        part.unlink(missing_ok=True)
        try:
            fetch(Wanted(url, insecure=insecure), part, bounded, lambda _there, _size: None, threading.Event())
            return part.read_bytes()
        except FetchError as error:
            raise Refused("unavailable", f"{url} cannot be had: {error.reason}") from None
        finally:
            part.unlink(missing_ok=True)


def _tell(appliance: Appliance, store: MirrorStore, wanted: bool) -> None:
    """Tell the service what there is to offer; a machine that is a mirror only has none."""
    release = store.current() if wanted else None
    if release is None:
        return
    files = [{"path": s.path, "size": s.size, "sha256": s.sha256, **_offered(s.entry)} for s in release.files]
    try:
        appliance.ask("PUT", "/firmware/catalogue", json={"files": files})
    except NoService:
        click.echo("No service runs here that could be told what the mirror holds.", err=True)


def _offered(entry: dict[str, Any]) -> dict[str, Any]:
    names = ("vendor", "kind", "version", "models", "revisions", "min_from", "language", "interface")
    return {name: entry.get(name) for name in names}


def _served_number(store: MirrorStore) -> int | None:
    """The release phones are served; None when that cannot be told: to go back is the way out of that."""
    try:
        number = store.current_number()
    except Refused:
        return None
    if number is None:
        store.served()  # refuses
    return number


def _readable(store: MirrorStore, number: int | None) -> Release | None:
    try:
        return None if number is None else store.release(number)
    except Refused:
        return None


def _before(store: MirrorStore, current: int | None) -> int:
    earlier = [number for number in store.numbers() if current is None or number < current]
    if not earlier:
        raise Refused("not_found", f"release {current} is the oldest that is kept; there is none to go back to")
    return earlier[-1]


def _listing(release: Release | None) -> str:
    return listing(release.files) if release else ""


def _foreseen(store: MirrorStore, outcome: Outcome, check: bool) -> str:
    return listing(outcome.foreseen) if check else _listing(store.current())


def _spelled(outcome: Outcome) -> dict[str, Any]:
    return {
        "changed": outcome.changed,
        "release": outcome.release,
        "changes": [asdict(change) for change in outcome.changes if change.action != "present"],
        "summary": list(lines_of(outcome)),
        "failed": outcome.failed,
        "alarms": outcome.alarms,
        "warnings": outcome.warnings,
        "fetched_bytes": outcome.fetched_bytes,
        "bytes_to_fetch": outcome.bytes_to_fetch,
    }


def _print(outcome: Outcome, check: bool) -> None:
    for line in lines_of(outcome):
        click.echo(line)
    for warning in outcome.warnings:
        click.echo(f"warning: {warning}")
    for alarm in outcome.alarms:
        click.echo(f"ALARM: {alarm}")
    if check:
        click.echo(f"{size_of(outcome.bytes_to_fetch)} would be fetched")
    elif outcome.changed:
        click.echo(f"release {outcome.release} is served; {size_of(outcome.fetched_bytes)} were fetched")
    else:
        click.echo("nothing has changed")


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that an interrupt sets: what is on its way is kept for the next run."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        yield stop
    except Cancelled:
        raise Refused("unavailable", "interrupted; the next run goes on with what was fetched") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
