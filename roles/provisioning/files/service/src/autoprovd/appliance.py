# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command lines share: the running service behind its local socket, and how answers are printed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from autoprovd.faults import Fault, Refused
from autoprovd.model import parse_mac


class NoService(Refused):
    """Nothing answers at the socket."""


@dataclass(frozen=True, slots=True)
class Appliance:
    """The service behind its local socket."""

    socket: Path

    def ask(self, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        """What a call of the API answers; ``parameters`` are those of httpx. Raises ``Refused``."""
        import httpx  # a tenth of a second that a command which asks nobody need not take

        transport = httpx.HTTPTransport(uds=str(self.socket))
        given = {name: value for name, value in (parameters.pop("params", None) or {}).items() if value is not None}
        try:
            with httpx.Client(transport=transport, base_url="http://appliance/api/v1", timeout=120) as client:
                answer = client.request(method, path, params=given, **parameters)
        except httpx.ConnectError:
            raise NoService(
                "unavailable",
                f"no service answers at {self.socket}; is it running, and do you have the right to use it (root)?",
            ) from None
        except httpx.HTTPError as error:
            raise Refused("unavailable", f"the service broke off: {type(error).__name__}") from None
        try:
            content: dict[str, Any] = answer.json()
        except ValueError:
            raise Refused("unavailable", f"the service answered {answer.status_code} and no JSON") from None
        if answer.is_error:
            told = content["error"]
            raise Refused(told["code"], told["message"], [Fault(**fault) for fault in told["faults"]])
        return content


AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
pass_appliance = click.make_pass_decorator(Appliance)


def console() -> Console:
    """Where tables go."""
    made = Console(highlight=False, emoji=False)
    # A pipe has no width; 80 columns would cut the table.
    return made if made.is_terminal else Console(highlight=False, emoji=False, width=160)


def print_json(content: Mapping[str, Any]) -> None:
    """Print an answer for programs."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def tell_refusal(refusal: Refused) -> None:
    """Print a refusal in words, with all its faults."""
    click.echo(f"autoprov: {refusal.message}", err=True)
    for fault in refusal.faults:
        click.echo(f"  {fault}", err=True)


class MacType(click.ParamType[str]):
    """A MAC address in any usual spelling."""

    name = "MAC"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """It as 12 lower-case hexadecimal digits."""
        try:
            return parse_mac(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def spell(mac: str) -> str:
    """A MAC address as it stands on labels."""
    return ":".join(mac[index : index + 2] for index in range(0, 12, 2)).upper()
