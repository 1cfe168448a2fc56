# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``autoprov phone path``: what to type where in the web interface of a phone."""

from __future__ import annotations

import click

from autoprovd.appliance import AS_JSON, Appliance, pass_appliance, print_json


@click.command()
@click.argument("mac", required=False)
@click.option("--vendor", help="Of a phone that is not on the list yet: snom, yealink or gigaset.")
@click.option("--model", help="Its model, such as D785.")
@click.option("--language", type=click.Choice(["en", "de"]), default="en", show_default=True)
@AS_JSON
@pass_appliance
def path(
    appliance: Appliance, mac: str | None, vendor: str | None, model: str | None, language: str, as_json: bool
) -> None:
    """Tell what to type where in the phone's web interface, so that it asks this appliance."""
    named = vendor is not None and model is not None
    if (mac is not None) is named or (vendor is None) is not (model is None):
        raise click.UsageError("name a phone by its MAC address, or a --vendor with a --model")
    if mac is not None:
        content = appliance.ask("GET", f"/phones/{mac}/path")
    else:
        content = appliance.ask("GET", f"/models/{vendor}/{model}/path")
    if as_json:
        print_json(content)
    else:
        click.echo(content[language]["sentence"])
