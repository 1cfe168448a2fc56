# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprov phone resync``: phones fetch their files now."""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from autoprovd.appliance import AS_JSON, Appliance, MacType, pass_appliance, print_json, spell

_STYLES = {"accepted": "green", "refused": "red", "silent": "red", "elsewhere": "red"}


@click.command()
@click.argument("macs", metavar="MAC...", nargs=-1, required=True, type=MacType())
@click.option("--reboot", is_flag=True, help="Restart them, instead of only fetching.")
@click.option("--pause", type=click.FloatRange(0, 3600), default=1.0, show_default=True, help="Seconds between phones.")
@click.option(
    "--jitter", type=click.FloatRange(0, 3600), default=0.5, show_default=True, help="At most so many seconds more."
)
@click.option("--transport", type=click.Choice(["udp", "tcp", "tls"]), default="udp", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Where the phones listen; 5060, or 5061 for tls.")
@click.option("--address", help="Where the phone is, when the appliance does not know. For one phone only.")
@click.option("--via", metavar="HOST[:PORT]", help="The PBX that passes it on, spoken to by --transport.")
@click.option("--via-user", default="", help="The user the PBX wants; its password is asked for.")
@click.option("--via-authorities", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM, for tls.")
@AS_JSON
@pass_appliance
def resync(
    appliance: Appliance,
    macs: Sequence[str],
    reboot: bool,
    pause: float,
    jitter: float,
    transport: str,
    port: int | None,
    address: str | None,
    via: str | None,
    via_user: str,
    via_authorities: Path | None,
    as_json: bool,
) -> None:
    """Have phones fetch their files now, one after the other."""
    macs = list(dict.fromkeys(macs))
    if address is not None and len(macs) > 1:
        raise click.UsageError("--address is for one phone")
    phones = [{"mac": mac, "address": address} for mac in macs]
    terms: dict[str, Any] = {"reboot": reboot, "transport": transport, "port": port}
    if via is not None:
        terms["via"] = _pbx(via, transport, via_user, via_authorities)
    # All faults of the list before the first phone is told.
    appliance.ask("POST", "/resync", json={"phones": phones, **terms, "dry_run": True})
    results = []
    for number, phone in enumerate(phones):
        if number:
            time.sleep(pause + random.uniform(0, jitter))  # noqa: S311  # chance only spreads load
        (result,) = appliance.ask("POST", "/resync", json={"phones": [phone], **terms})["phones"]
        results.append(result)
        if not as_json:
            state = click.style(result["state"], _STYLES.get(result["state"]))
            reason = f": {result['reason']}" if result["reason"] else ""
            click.echo(f"{spell(result['mac'])}  {result['target']}  {state}{reason}")
    if as_json:
        print_json({"phones": results})
    if any(result["state"] != "accepted" for result in results):
        sys.exit(1)


def _pbx(text: str, transport: str, user: str, authorities: Path | None) -> dict[str, Any]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::(\d{1,5}))?", text)
    if found is None:
        raise click.UsageError(f"--via {text!r} is not HOST or HOST:PORT; an IPv6 address goes into brackets")
    pbx: dict[str, Any] = {"host": found[1] or found[2], "transport": transport, "user": user}
    if found[3]:
        pbx["port"] = int(found[3])
    if user:
        pbx["password"] = click.prompt(f"Password of {user} at {text}", hide_input=True, err=True)
    if authorities is not None:
        pbx["authorities"] = authorities.read_text("ascii", "replace")
    return pbx
