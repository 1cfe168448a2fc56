# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprovd``: run the service, and prepare what it needs to run."""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoprovd import __version__, log, sealing
from autoprovd import backup as backups
from autoprovd import config as configuration
from autoprovd.faults import Refused
from autoprovd.tls import generate_certificate

if TYPE_CHECKING:
    from autoprovd.keys import KeyStatus
_PR_SET_DUMPABLE = 4  # <linux/prctl.h>

_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    default=Path("/etc/autoprov/autoprovd.toml"),
    show_default=True,
    help="Configuration file (TOML).",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="autoprovd")
def commands() -> None:
    """The provisioning service of autoprov."""


@commands.command()
@_CONFIG
def serve(config_file: Path) -> None:
    """Run the service in the foreground."""
    from autoprovd.web.server import serve as run

    _close_memory()
    config = configuration.load(config_file)
    log.configure(config.log.level)
    run(config)


def _close_memory() -> None:
    """Let nobody without the rights of root read this process's memory, and no core file hold it.

    Whatever starts the service, systemd or another supervisor; before a key is read. Raises :class:`Refused`.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise Refused("unavailable", f"the kernel does not close this process's memory: errno {ctypes.get_errno()}")
    # systemd's LimitCORE=0 has done it before, and its filter of system calls forbids to do it again.
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@commands.command("check-config")
@_CONFIG
def check_config(config_file: Path) -> None:
    """Check the configuration file and the sealing key."""
    config = configuration.load(config_file)
    sealing.load_keyring(config.keys.sealing_key_file)
    click.echo(f"{config_file} is in order")


@commands.command("generate-key")
@click.option("--add", is_flag=True, help="Put a new key before those of an existing file; print its ID.")
@click.argument("file", type=click.Path(path_type=Path))
def generate_key(file: Path, add: bool) -> None:
    """Create the sealing key, readable by its owner alone."""
    if add:
        click.echo(sealing.add_key(file))
    else:
        sealing.generate_key(file)


@commands.command("retire-key")
@_CONFIG
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("key_id", metavar="ID")
def retire_key(file: Path, key_id: str, config_file: Path) -> None:
    """Take a key out of the key file, if nothing is sealed with it any more.

    The running service is asked; where none runs, its database is.
    """
    from autoprovd.keys import refuse_retirement

    in_file = sealing.Keyring(sealing.read_keys(file)).key_ids
    refuse_retirement(_key_status(configuration.load(config_file), file), in_file, key_id)
    sealing.remove_key(file, key_id)


def _key_status(config: configuration.Config, file: Path) -> list[KeyStatus]:
    from autoprovd.appliance import Appliance, NoService
    from autoprovd.keys import Keys, KeyStatus
    from autoprovd.store import Store

    if config.listen.admin_socket is not None:
        with suppress(NoService):
            shown = Appliance(config.listen.admin_socket).ask("GET", "/keys")["keys"]
            return [KeyStatus(**{field.name: key[field.name] for field in fields(KeyStatus)}) for key in shown]
    target = config.database.url.removeprefix("sqlite:///")
    if target != config.database.url and not Path(target).exists():
        raise Refused("unavailable", f"no service answers at {config.listen.admin_socket}, and there is no {target}")
    store = Store(config.database.url)
    try:
        return Keys(store, sealing.Keyring(sealing.read_keys(file))).status()
    finally:
        store.close()


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@_CONFIG
def backup(file: Path, config_file: Path) -> None:
    """Write a copy of the database, while the service runs."""
    backups.backup(configuration.load(config_file), file)
    click.echo(f"{file} holds the database; its passwords are sealed, and the key is not in it")


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@_CONFIG
def restore(file: Path, config_file: Path) -> None:
    """Make a copy the database again, sealed; stop the service first."""
    config = configuration.load(config_file)
    result = backups.restore(config, sealing.load_keyring(config.keys.sealing_key_file), file)
    click.echo(
        f"{result['phones']} phones restored; {result['sealed']} releases that waited are sealed until armed again"
    )


@commands.command("generate-certificate")
@click.option("--host", "hosts", multiple=True, required=True, help="Name or address; may be given several times.")
@click.option("--out-dir", type=click.Path(path_type=Path, file_okay=False, exists=True), required=True)
def generate_certificate_command(hosts: Sequence[str], out_dir: Path) -> None:
    """Create a self-made certificate."""
    generate_certificate(hosts, out_dir)


def main() -> None:
    """Entry of the program: a refusal is told in words, with exit status 1."""
    try:
        commands()
    except Refused as refusal:
        click.echo(f"autoprovd: {refusal.message}", err=True)
        for fault in refusal.faults:
            click.echo(f"  {fault}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
