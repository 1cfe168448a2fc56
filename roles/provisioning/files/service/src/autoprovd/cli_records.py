# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprov audit`` and ``autoprov key``: is the log whole, and what do the sealing keys still seal?"""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from autoprovd.appliance import AS_JSON, Appliance, console, pass_appliance, print_json
from autoprovd.faults import Refused

_PAGE = 1000


@click.group()
def audit() -> None:
    """The audit log: check, export, note how far it goes."""


@audit.command()
@click.option("--head", help="A head noted earlier (SEQ:LINK); tells also whether the end was cut off since.")
@click.option(
    "--file",
    "export",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Check this exported file instead. The service does it, since only it has the key.",
)
@click.option("--after", help="What the first row of the file is chained to (SEQ:LINK), if the service's log lacks it.")
@AS_JSON
@pass_appliance
def verify(appliance: Appliance, head: str | None, export: Path | None, after: str | None, as_json: bool) -> None:
    """Check the chain of the audit log; exit status 1 when it is broken."""
    if export is None:
        if after is not None:
            raise click.UsageError("--after goes with --file")
        content = appliance.ask("GET", "/audit/verify", params={"head": head})
    else:
        with export.open("rb") as stream:
            content = appliance.ask("POST", "/audit/verify", params={"head": head, "after": after}, content=stream)
    if as_json:
        print_json(content)
    elif content["ok"]:
        rows = f"{content['rows']} rows, the last is {content['head'].partition(':')[0]}"
        click.echo(f"The {'file' if export else 'audit log'} is whole: {rows}.")
    else:
        click.echo(
            f"The {'file' if export else 'audit log'} is broken{_where(content['first_bad'])}: {content['reason']}"
        )
    if not content["ok"]:
        sys.exit(1)


def _where(bad: dict[str, Any]) -> str:
    if bad["seq"] is None:
        return ""
    told = " ".join(str(bad[name]) for name in ("event", "mac") if bad.get(name))
    return f" at row {bad['seq']}" + (f" ({told})" if told else "")


@audit.command()
@pass_appliance
def head(appliance: Appliance) -> None:
    """Print the number and the link of the last row, to be noted elsewhere: see verify --head."""
    click.echo(appliance.ask("GET", "/audit/head")["head"])


@audit.command()
@click.option("--after", type=click.IntRange(0), default=0, help="Only rows behind this number.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@pass_appliance
def export(appliance: Appliance, after: int, file: Path | None) -> None:
    """Write the rows as JSON lines, oldest first, to FILE (a new one) or to the standard output."""
    try:
        with open(file, "x", encoding="utf-8", opener=_private) if file else nullcontext(sys.stdout) as stream:
            while rows := appliance.ask("GET", "/audit", params={"after": after, "limit": _PAGE})["rows"]:
                for row in rows:
                    stream.write(json.dumps(row, separators=(",", ":")) + "\n")
                after = rows[-1]["seq"]
                if len(rows) < _PAGE:
                    break
    except OSError as error:
        raise Refused("unavailable", f"cannot write {file or 'the export'}: {error.strerror}") from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@click.group()
def key() -> None:
    """The sealing keys."""


@key.command()
@AS_JSON
@pass_appliance
def status(appliance: Appliance, as_json: bool) -> None:
    """Show the keys, newest first, and how much each of them still seals."""
    content = appliance.ask("GET", "/keys")
    if as_json:
        print_json(content)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("Key", "State", "Passwords", "Label IDs", "Keys of the log"):
        table.add_column(heading)
    for entry in content["keys"]:
        state = (
            "seals" if entry["newest"] else "missing" if not entry["held"] else "opens" if entry["seals"] else "retire"
        )
        table.add_row(entry["id"], state, *(str(entry[name]) for name in ("secrets", "labels", "own_keys")))
    console().print(table)
    for entry in content["keys"]:
        if not entry["held"]:
            click.echo(f"\nKey {entry['id']} is missing: add it to the key file, or what it seals is lost.")
        elif not entry["newest"] and not entry["seals"]:
            click.echo(f"\nKey {entry['id']} seals nothing any more: autoprovd retire-key FILE {entry['id']}")
