# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprov ban``: who guesses MAC addresses, who is banned for it, and how to lift a ban."""

from __future__ import annotations

import click
from rich.table import Table
from rich.text import Text

from autoprovd.appliance import AS_JSON, Appliance, console, pass_appliance, print_json


@click.group()
def ban() -> None:
    """Sources that guess: list them, lift a ban."""


@ban.command("list")
@AS_JSON
@pass_appliance
def list_bans(appliance: Appliance, as_json: bool) -> None:
    """Show who is banned, and who else asked for what is not here."""
    content = appliance.ask("GET", "/bans")
    if as_json:
        print_json(content)
        return
    if content["bans"]:
        table = Table(box=None, header_style="bold", pad_edge=False)
        headings = ("Banned", "Until (UTC)", "Bans", "Guesses", "Refused", "Phones there", "Last guess", "User-Agent")
        for heading in headings:
            table.add_column(heading)
        for entry in content["bans"]:
            numbers = (str(entry[name]) for name in ("bans", "guesses", "refused", "phones_at_home"))
            source = Text(entry["source"] + (" (kernel)" if entry["in_kernel"] else ""), "bold red")
            until = entry["until"][:19].replace("T", " ")
            table.add_row(source, until, *numbers, Text(entry["last"]), Text(entry["user_agent"]))
        console().print(table)
        click.echo("\nA ban by mistake: autoprov ban lift SOURCE")
    else:
        click.echo("Nobody is banned.")
    if content["watched"]:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("Not banned", "Guesses", "Last guess", "User-Agent"):
            table.add_column(heading)
        for entry in content["watched"]:
            last, user_agent = Text(entry["last"]), Text(entry["user_agent"])
            table.add_row(entry["source"], f"{entry['guesses']:g}", last, user_agent)
        click.echo()
        console().print(table)
    hidden = sum(content["counts"].values()) - len(content["bans"]) - len(content["watched"])
    if hidden > 0:
        click.echo(f"\n{hidden} more are not shown.")


@ban.command()
@click.argument("source", required=False)
@click.option("--all", "everything", is_flag=True, help="Lift every ban.")
@AS_JSON
@pass_appliance
def lift(appliance: Appliance, source: str | None, everything: bool, as_json: bool) -> None:
    """End the ban of SOURCE, and forget what it guessed. It may guess again: see limits.allow for hosts that must."""
    if (source is None) is not everything:
        raise click.UsageError("name the source of one ban, or say --all")
    content = appliance.ask("POST", "/bans/lift", json={"source": source, "everything": everything})
    if as_json:
        print_json(content)
        return
    for name in content["lifted"]:
        click.echo(f"lifted {name}")
    if not content["changed"]:
        click.echo("Nothing to do: nobody is banned.")
