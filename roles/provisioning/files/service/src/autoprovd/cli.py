# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprov``: the same verbs as the API, for a person at the appliance."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from autoprovd import __version__
from autoprovd.appliance import AS_JSON as _JSON
from autoprovd.appliance import Appliance as _Appliance
from autoprovd.appliance import MacType as _MacType
from autoprovd.appliance import console as _console
from autoprovd.appliance import pass_appliance as _appliance
from autoprovd.appliance import print_json as _print_json
from autoprovd.appliance import spell as _spell
from autoprovd.appliance import tell_refusal as _tell_refusal
from autoprovd.cli_bans import ban
from autoprovd.cli_firmware import firmware
from autoprovd.cli_path import path
from autoprovd.cli_pnp import pnp
from autoprovd.cli_records import audit, key
from autoprovd.cli_resync import resync
from autoprovd.cli_rollout import rollout
from autoprovd.faults import Refused
from autoprovd.model import Audience, SecretClass

_STATE_STYLE = {
    "armed": "yellow",
    "open": "cyan",
    "lent": "cyan",
    "released": "green",
    "suspect": "bold red",
    "expired": "dim",
}
_AUDIENCE = click.option(
    "--audience",
    type=click.Choice([item.value for item in Audience]),
    default=Audience.PHONE.value,
    show_default=True,
    help="Who may fetch them: the phone, or an Ansible run that tells the PBX.",
)
_SECRETS = click.option(
    "--secret",
    "secrets",
    multiple=True,
    type=click.Choice([item.value for item in SecretClass]),
    help="Only this secret; may be given several times.",
)


_MAC = click.argument("mac", type=_MacType())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="autoprov")
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    envvar="AUTOPROV_SOCKET",
    default=Path("/run/autoprov/admin.sock"),
    show_default=True,
    help="The service's local socket.",
)
@click.pass_context
def commands(context: click.Context, socket: Path) -> None:
    """Look at the phones of this site and release their passwords."""
    context.obj = _Appliance(socket)


@commands.command()
@_JSON
@_appliance
def phones(appliance: _Appliance, as_json: bool) -> None:
    """List the phones and what they may still fetch."""
    content = appliance.ask("GET", "/phones")
    if as_json:
        _print_json(content)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("MAC", "Phone", "Name", "Accounts", "SIP", "Menu", "Web", "Provisioning", "Last request"):
        table.add_column(heading)
    for phone in content["phones"]:
        accounts = ", ".join(account["user"] for account in phone["accounts"])
        states = [_states(phone["grants"], secret_class.value) for secret_class in _COLUMNS]
        last = phone["last_request"]
        seen = Text(f"{last['at'][11:19]} {last['source']} {last['outcome']}" if last else "never")
        mac = Text(_spell(phone["mac"]), style="bold red" if phone["suspicious"] else "")
        table.add_row(mac, f"{phone['vendor']} {phone['model']}", phone["name"], accounts, *states, seen)
    _console().print(table)
    suspicious = [_spell(phone["mac"]) for phone in content["phones"] if phone["suspicious"]]
    if suspicious:
        click.echo(f"\nSomeone else asked for: {', '.join(suspicious)}. See: autoprov phone why MAC")


@commands.group()
def phone() -> None:
    """One phone: show, arm, revoke, resync, path, why."""


@phone.command()
@_MAC
@click.option("--file", "file_name", help="A file of the phone; its main file without this option.")
@_JSON
@_appliance
def show(appliance: _Appliance, mac: str, file_name: str | None, as_json: bool) -> None:
    """Print exactly what the phone would receive now, secrets masked."""
    if file_name is None:
        file_name = appliance.ask("GET", f"/phones/{mac}/files")["files"][0]
    content = appliance.ask("GET", f"/phones/{mac}/files/{file_name}")
    if as_json:
        _print_json(content)
        return
    click.echo(content["body"], nl=False)


@phone.command()
@_MAC
@_SECRETS
@click.option("--line", type=click.IntRange(0, 99), help="Only this line; 0 is the phone itself.")
@click.option("--new-password", is_flag=True, help="Generate new passwords first.")
@_AUDIENCE
@_JSON
@_appliance
def arm(
    appliance: _Appliance,
    mac: str,
    secrets: Sequence[str],
    line: int | None,
    new_password: bool,
    audience: str,
    as_json: bool,
) -> None:
    """Release passwords again: the phone may fetch them once more."""
    body = {"select": [_selection(mac, secrets, line, audience)], "new_password": new_password}
    content = appliance.ask("POST", "/grants/arm", json=body)
    if as_json:
        _print_json(content)
        return
    if not content["changed"]:
        click.echo("Nothing to do: everything selected waits to be fetched already.")
    for grant in content["armed"]:
        until = f"until {_local_time(grant['expires_at'])}" if grant["expires_at"] else "until it is fetched"
        click.echo(f"armed {_grant_name(grant)} {until}")


@phone.command()
@_MAC
@_SECRETS
@click.option("--line", type=click.IntRange(0, 99), help="Only this line; 0 is the phone itself.")
@_AUDIENCE
@_JSON
@_appliance
def revoke(
    appliance: _Appliance, mac: str, secrets: Sequence[str], line: int | None, audience: str, as_json: bool
) -> None:
    """Withdraw what might still be fetched."""
    content = appliance.ask("POST", "/grants/revoke", json={"select": [_selection(mac, secrets, line, audience)]})
    if as_json:
        _print_json(content)
        return
    if not content["changed"]:
        click.echo("Nothing to do: everything selected is revoked already.")
    for grant in content["revoked"]:
        click.echo(f"revoked {_grant_name(grant)}")


@phone.command()
@_MAC
@click.option("--language", type=click.Choice(["en", "de"]), default="en", help="Of what is said about zero-touch.")
@_JSON
@_appliance
def why(appliance: _Appliance, mac: str, language: str, as_json: bool) -> None:
    """Tell why the phone got what it got: each grant, the last requests, whether it can find us, and what to do."""
    content = appliance.ask("GET", f"/phones/{mac}/why")
    if as_json:
        _print_json(content)
        return
    click.echo(f"{_spell(mac)}  {content['vendor']} {content['model']}  {content['name']}\n")
    grants = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("Secret", "For", "State", "Because", "Terms"):
        grants.add_column(heading)
    for grant in content["grants"]:
        style = _STATE_STYLE.get(grant["state"], "")
        grants.add_row(
            _grant_name(grant), grant["audience"], Text(grant["state"], style), grant["because"], _terms(grant)
        )
    _console().print(grants)
    if content["requests"]:
        requests = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("At (UTC)", "From", "File", "Proof", "Outcome", "Reason"):
            requests.add_column(heading)
        for request in content["requests"]:
            requests.add_row(
                request["at"][:19].replace("T", " "),
                *(Text(request[name]) for name in ("source", "file", "proof", "outcome", "reason")),
            )
        click.echo()
        _console().print(requests)
    click.echo()
    _console().print(_zero_touch_table(content["zero_touch"], language))
    for sentence in content["advice"]:
        click.echo(f"\n{sentence}")


_MET = {
    "en": {True: "yes", False: "no", None: "not known yet"},
    "de": {True: "ja", False: "nein", None: "noch unbekannt"},
}
_CONDITIONS = {
    "en": {
        "model": "The model asks", "service": "The appliance answers", "network": "Same network", "heard": "It asked",
        "told": "It was told", "fetched": "It came",
    },
    "de": {
        "model": "Das Modell fragt", "service": "Die Appliance antwortet", "network": "Gleiches Netz",
        "heard": "Es hat gefragt", "told": "Es hat Antwort", "fetched": "Es ist gekommen",
    },
}  # fmt: skip


def _zero_touch_table(found: Sequence[dict[str, Any]], language: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("Zero-touch (SIP PnP)", no_wrap=True)
    table.add_column("Erfüllt" if language == "de" else "Holds")
    table.add_column("")
    for condition in found:
        style = {True: "green", False: "red"}.get(condition["met"], "")
        table.add_row(
            _CONDITIONS[language][condition["condition"]],
            Text(_MET[language][condition["met"]], style),
            Text(condition[language]),
        )
    return table


@commands.command()
@click.confirmation_option(prompt="No phone and no Ansible run gets a password until it is armed again. Go on?")
@_JSON
@_appliance
def seal(appliance: _Appliance, as_json: bool) -> None:
    """Close everything that may still be released: after a machine was rolled back, or in doubt."""
    content = appliance.ask("POST", "/grants/seal")
    if as_json:
        _print_json(content)
    else:
        click.echo(f"sealed {content['sealed']} grants")


commands.add_command(audit)
commands.add_command(ban)
commands.add_command(firmware)
commands.add_command(key)
commands.add_command(pnp)
commands.add_command(rollout)
phone.add_command(path)
phone.add_command(resync)


_COLUMNS = (SecretClass.SIP, SecretClass.MENU, SecretClass.WEB, SecretClass.PROVISIONING)


def _states(grants: Sequence[dict[str, Any]], secret_class: str) -> Text:
    states = [g["state"] for g in grants if g["secret_class"] == secret_class and g["audience"] == "phone"]
    text = Text()
    for index, state in enumerate(states):
        text.append(" " if index else "").append(state, _STATE_STYLE.get(state, ""))
    return text


def _selection(mac: str, secrets: Sequence[str], line: int | None, audience: str) -> dict[str, Any]:
    return {"mac": mac, "line": line, "secret_classes": list(secrets) or None, "audience": audience}


def _grant_name(grant: dict[str, Any]) -> str:
    return f"{grant['secret_class']} {grant['line']}" if grant["line"] else str(grant["secret_class"])


def _terms(grant: dict[str, Any]) -> str:
    terms = [grant["mode"]]
    if grant["mode"] != "always":
        terms[0] += f" {grant['window_seconds']:g} s"
    if grant["audience"] == "phone":
        terms.append(f"proof {grant['proof']}")
    if grant["networks"]:
        terms.append(f"from {', '.join(grant['networks'])}")
    if grant["on_theft"] != "report":
        terms.append(f"theft: {grant['on_theft']}")
    if grant["shred"]:
        terms.append("shred")
    return ", ".join(terms)


def _local_time(text: str) -> str:
    return text[:19].replace("T", " ")


def main() -> None:
    """Entry of the program: a refusal is told in words, with exit status 1."""
    try:
        commands()
    except Refused as refusal:
        _tell_refusal(refusal)
        sys.exit(1)


if __name__ == "__main__":
    main()
