# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprov``: the same verbs as the API, for a person at the appliance."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoprovd import __version__
from autoprovd.faults import Fault, Refused
from autoprovd.model import SecretClass, parse_mac

_STATE_STYLE = {"armed": "yellow", "open": "cyan", "released": "green", "suspect": "bold red", "expired": "dim"}
_SECRETS = click.option(
    "--secret",
    "secrets",
    multiple=True,
    type=click.Choice([item.value for item in SecretClass]),
    help="Only this secret; may be given several times.",
)


@dataclass(frozen=True, slots=True)
class _Appliance:
    """The service behind its local socket."""

    socket: Path

    def ask(self, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        transport = httpx.HTTPTransport(uds=str(self.socket))
        try:
            with httpx.Client(transport=transport, base_url="http://appliance/api/v1", timeout=120) as client:
                answer = client.request(method, path, **parameters)
        except httpx.ConnectError:
            raise Refused(
                "unavailable",
                f"no service answers at {self.socket}; is it running, and do you have the right to use it (root)?",
            ) from None
        except httpx.HTTPError as error:
            raise Refused("unavailable", f"the service broke off: {type(error).__name__}") from None
        content: dict[str, Any] = answer.json()
        if answer.is_error:
            told = content["error"]
            raise Refused(told["code"], told["message"], [Fault(**fault) for fault in told["faults"]])
        return content


class _Mac(click.ParamType[str]):
    name = "MAC"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_mac(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_MAC = click.argument("mac", type=_Mac())
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
_appliance = click.make_pass_decorator(_Appliance)


def _console() -> Console:
    console = Console(highlight=False)
    # A pipe has no width; 80 columns would cut the table.
    return console if console.is_terminal else Console(highlight=False, width=160)


def _print_json(content: Any) -> None:
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


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
    """One phone: show, arm, revoke, why."""


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
@_JSON
@_appliance
def arm(
    appliance: _Appliance, mac: str, secrets: Sequence[str], line: int | None, new_password: bool, as_json: bool
) -> None:
    """Release passwords again: the phone may fetch them once more."""
    body = {"select": [_selection(mac, secrets, line)], "new_password": new_password}
    content = appliance.ask("POST", "/grants/arm", json=body)
    if as_json:
        _print_json(content)
        return
    if not content["changed"]:
        click.echo("Nothing to do: everything selected waits for the phone already.")
    for grant in content["armed"]:
        until = f"until {_local_time(grant['expires_at'])}" if grant["expires_at"] else "until it is fetched"
        click.echo(f"armed {_grant_name(grant)} {until}")


@phone.command()
@_MAC
@_SECRETS
@click.option("--line", type=click.IntRange(0, 99), help="Only this line; 0 is the phone itself.")
@_JSON
@_appliance
def revoke(appliance: _Appliance, mac: str, secrets: Sequence[str], line: int | None, as_json: bool) -> None:
    """Withdraw what the phone might still fetch."""
    content = appliance.ask("POST", "/grants/revoke", json={"select": [_selection(mac, secrets, line)]})
    if as_json:
        _print_json(content)
        return
    if not content["changed"]:
        click.echo("Nothing to do: everything selected is revoked already.")
    for grant in content["revoked"]:
        click.echo(f"revoked {_grant_name(grant)}")


@phone.command()
@_MAC
@_JSON
@_appliance
def why(appliance: _Appliance, mac: str, as_json: bool) -> None:
    """Tell why the phone got what it got: each grant, the last requests, and what to do."""
    content = appliance.ask("GET", f"/phones/{mac}/why")
    if as_json:
        _print_json(content)
        return
    click.echo(f"{_spell(mac)}  {content['vendor']} {content['model']}  {content['name']}\n")
    grants = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("Secret", "For", "State", "Because"):
        grants.add_column(heading)
    for grant in content["grants"]:
        style = _STATE_STYLE.get(grant["state"], "")
        grants.add_row(_grant_name(grant), grant["audience"], Text(grant["state"], style), grant["because"])
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
    for sentence in content["advice"]:
        click.echo(f"\n{sentence}")


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


@commands.group()
def audit() -> None:
    """The audit log."""


@audit.command()
@_JSON
@_appliance
def verify(appliance: _Appliance, as_json: bool) -> None:
    """Check the chain of the audit log; exit status 1 when it is broken."""
    content = appliance.ask("GET", "/audit/verify")
    if as_json:
        _print_json(content)
    elif content["ok"]:
        click.echo(f"The audit log is whole: {content['rows']} rows.")
    else:
        bad = content["first_bad"]
        click.echo(
            f"The audit log is broken at row {bad['seq']} ({bad['event']} {bad['mac'] or ''}): {content['reason']}"
        )
    if not content["ok"]:
        sys.exit(1)


_COLUMNS = (SecretClass.SIP, SecretClass.MENU, SecretClass.WEB, SecretClass.PROVISIONING)


def _states(grants: Sequence[dict[str, Any]], secret_class: str) -> Text:
    states = [g["state"] for g in grants if g["secret_class"] == secret_class and g["audience"] == "phone"]
    text = Text()
    for index, state in enumerate(states):
        text.append(" " if index else "").append(state, _STATE_STYLE.get(state, ""))
    return text


def _selection(mac: str, secrets: Sequence[str], line: int | None) -> dict[str, Any]:
    return {"mac": mac, "line": line, "secret_classes": list(secrets) or None}


def _grant_name(grant: dict[str, Any]) -> str:
    return f"{grant['secret_class']} {grant['line']}" if grant["line"] else str(grant["secret_class"])


def _spell(mac: str) -> str:
    return ":".join(mac[index : index + 2] for index in range(0, 12, 2)).upper()


def _local_time(text: str) -> str:
    return text[:19].replace("T", " ")


def main() -> None:
    """Entry of the program: a refusal is told in words, with exit status 1."""
    try:
        commands()
    except Refused as refusal:
        click.echo(f"autoprov: {refusal.message}", err=True)
        for fault in refusal.faults:
            click.echo(f"  {fault}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
