# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprov pnp``: where SIP PnP is answered, and what to do with phones that asked and are unknown."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.table import Table
from rich.text import Text

from autoprovd.appliance import AS_JSON, Appliance, console, pass_appliance, print_json


@click.group()
def pnp() -> None:
    """Phones that ask the network (SIP PnP): where they are heard, and who is unknown."""


@pnp.command()
@AS_JSON
@pass_appliance
def show(appliance: Appliance, as_json: bool) -> None:
    """Show on which interfaces phones are answered, and the unknown ones that asked."""
    content = appliance.ask("GET", "/pnp")
    if as_json:
        print_json(content)
        return
    if content["answers_on"]:
        click.echo(f"Phones are answered on {', '.join(content['answers_on'])}.")
    if content["hindrance"]:
        click.echo(f"{'Not everywhere' if content['answers_on'] else 'Nobody is answered'}: {content['hindrance']}")
    if not content["discovered"]:
        recorded = content["accept_unknown"] != "no"
        click.echo("No unknown phone asked." if recorded else "Unknown phones are not recorded (accept_unknown: no).")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("Unknown", "Says it is", "Would be added as", "At", "Interface", "Last asked (UTC)"):
        table.add_column(heading)
    for phone in content["discovered"]:
        added = phone["add_as"]
        table.add_row(
            phone["mac"],
            Text(phone["user_agent"] or f"{phone['vendor']} {phone['model']} {phone['version']}"),
            f"{added['vendor']} {added['model']}" if added else "(name it)",
            phone["source"],
            phone["interface"],
            phone["last_at"][:19].replace("T", " "),
        )
    click.echo()
    console().print(table)
    click.echo("\nTake one in: autoprov pnp add MAC. Then give it an account, in the phone list.")


@pnp.command()
@click.argument("mac")
@click.option("--vendor", help="Where the phone does not say it.")
@click.option("--model", help="Where the phone does not say it.")
@click.option("--name", default="", help="What people call it.")
@AS_JSON
@pass_appliance
def add(appliance: Appliance, mac: str, vendor: str | None, model: str | None, name: str, as_json: bool) -> None:
    """Add a phone that was found: from now on it is answered, and its first passwords wait for it."""
    body = {"mac": mac, "vendor": vendor, "model": model, "name": name}
    content = appliance.ask("POST", "/pnp/add", json=body)
    if as_json:
        print_json(content)
    else:
        click.echo(f"added {mac} as {content['vendor']} {content['model']}; restart it, or wait until it asks again")


@pnp.command()
@click.argument("macs", metavar="[MAC]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Forget every phone that was found.")
@AS_JSON
@pass_appliance
def forget(appliance: Appliance, macs: Sequence[str], everything: bool, as_json: bool) -> None:
    """Forget phones that were found; one that asks again is back on the list."""
    if bool(macs) is everything:
        raise click.UsageError("name the phones, or say --all")
    body = {"macs": None if everything else list(macs), "everything": everything}
    content = appliance.ask("POST", "/pnp/forget", json=body)
    if as_json:
        print_json(content)
        return
    for mac in content["forgotten"]:
        click.echo(f"forgot {mac}")
    if not content["changed"]:
        click.echo("Nothing to do: none of them is on the list.")
