# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprov rollout``: how far new firmware is on its way to the phones."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from autoprovd.appliance import AS_JSON, Appliance, console, pass_appliance, print_json
from autoprovd.faults import Refused

_STATES = ("done", "taken", "offered", "lost", "waiting", "excluded")


@click.group()
def rollout() -> None:
    """New firmware on its way to the phones: see, pause, go on."""


@rollout.command(name="list")
@AS_JSON
@pass_appliance
def list_command(appliance: Appliance, as_json: bool) -> None:
    """List the rollouts, and how many phones are how far."""
    shown = appliance.ask("GET", "/firmware/rollouts")["rollouts"]
    if as_json:
        print_json({"rollouts": shown})
        return
    if not shown:
        click.echo("There is no rollout; the module firmware_rollout begins one.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("Rollout", "Version", "State", "Now", *(state.capitalize() for state in _STATES)):
        table.add_column(heading, justify="right" if heading.lower() in _STATES else "left")
    for each in shown:
        state = f"{each['state']}: {each['reason']}" if each["reason"] else each["state"]
        counts = (str(each["counts"][name]) for name in _STATES)
        table.add_row(each["name"], each["version"], state, each["ring"], *counts)
    console().print(table)


@rollout.command()
@click.argument("name")
@AS_JSON
@pass_appliance
def show(appliance: Appliance, name: str, as_json: bool) -> None:
    """Show each phone of a rollout, and what it waits for."""
    found = _named(appliance, name)
    if as_json:
        print_json(found)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("Phone", "State", "Offered", "Why"):
        table.add_column(heading)
    for mac, phone in sorted(found["phones"].items(), key=lambda item: (_STATES.index(item[1]["state"]), item[0])):
        table.add_row(mac, phone["state"], phone["offered"] or "", phone["reason"])
    console().print(table)


@rollout.command()
@click.argument("name")
@pass_appliance
def pause(appliance: Appliance, name: str) -> None:
    """Offer nothing more, and take back what no phone has fetched yet."""
    changed = appliance.ask("POST", f"/firmware/rollouts/{name}/pause")["changed"]
    click.echo(f"{name} is paused" if changed else f"{name} is paused already")


@rollout.command()
@click.argument("name")
@pass_appliance
def resume(appliance: Appliance, name: str) -> None:
    """Go on after a pause, or after it stopped by itself; lost phones are tried again."""
    changed = appliance.ask("POST", f"/firmware/rollouts/{name}/resume")["changed"]
    click.echo(f"{name} goes on" if changed else f"{name} goes on already")


def _named(appliance: Appliance, name: str) -> dict[str, Any]:
    shown: list[dict[str, Any]] = appliance.ask("GET", "/firmware/rollouts")["rollouts"]
    for each in shown:
        if each["name"] == name:
            return each
    names = ", ".join(each["name"] for each in shown) or "none"
    raise Refused("not_found", f"there is no rollout {name!r}; there are: {names}")
