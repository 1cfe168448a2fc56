# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible and people ask: the admin API, described by OpenAPI at /api/v1/openapi.json.

On the Unix socket the file's mode is the door; over HTTPS a token with the scope of the call is.
"""

# Without postponed annotations: the framework reads them, and some are made where the call is declared.

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from autoprovd import __version__, log, metrics
from autoprovd.clock import iso_time
from autoprovd.faults import Fault, Refused
from autoprovd.grants import Claimant
from autoprovd.lending import Account
from autoprovd.model import Audience, Mac, SecretClass, SecretKey, parse_mac
from autoprovd.policy import Proof
from autoprovd.site import Selection
from autoprovd.tokens import ALL_SCOPES, Scope, Token
from autoprovd.web import bans, firmware, pnp, records, resync
from autoprovd.web.parts import Parts

_STATUS = {
    "invalid": 422,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "unavailable": 503,
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class SettingsChange(_Body):
    """Some settings of the site."""

    settings: dict[str, Any]
    dry_run: bool = False


class PhoneList(_Body):
    """The phones of the site; their fields are those of a phone definition."""

    phones: list[dict[str, Any]]
    purge: bool = False
    dry_run: bool = False


class GrantSelection(_Body):
    """Some grants of a phone; what is left out means all."""

    mac: Mac
    line: Annotated[int, Field(ge=0, le=99)] | None = None
    secret_classes: frozenset[SecretClass] | None = None
    audience: Audience = Audience.PHONE


class GrantChange(_Body):
    """Grants to revoke."""

    select: Annotated[list[GrantSelection], Field(min_length=1)]
    dry_run: bool = False


class Arming(GrantChange):
    """Grants to arm."""

    new_password: bool = False


class Claimed(_Body):
    """Passwords an Ansible run has claimed."""

    run_key: Annotated[str, Field(min_length=8, max_length=200)]
    accounts: Annotated[list[str], Field(min_length=1, max_length=10_000)]
    secret_class: SecretClass = SecretClass.SIP


class Claim(Claimed):
    """Passwords an Ansible run asks for, once; or until it confirms or returns them."""

    two_phase: bool = False
    lease_seconds: Annotated[float, Field(ge=1, le=86400)] = 300


class TokenList(_Body):
    """The tokens of the API."""

    tokens: list[Token]
    purge: bool = False
    dry_run: bool = False


def _actor(parts: Parts, scope: Scope, on_socket: bool) -> Callable[[Request], str]:
    def actor(request: Request) -> str:
        if on_socket:
            name, scopes = "local administrator", ALL_SCOPES
        else:
            kind, _space, token = request.headers.get("authorization", "").partition(" ")
            found = parts.tokens.check(token) if kind.lower() == "bearer" and token else None
            if found is None:
                if token:
                    parts.release.tally.count("refused", None, "unknown token", _host(request), scope.value)
                raise Refused("unauthenticated", "the token is missing or wrong; check api_token")
            name, scopes = f"token {found[0]}", found[1]
        if scope not in scopes:
            parts.release.tally.count("refused", None, name, _host(request), f"lacks the scope {scope.value}")
            raise Refused("forbidden", f"{name} lacks the scope {scope.value}; give it the scope, or use another token")
        return name

    return actor


def _host(request: Request) -> str:
    return request.client.host if request.client else ""


def application(parts: Parts, on_socket: bool) -> FastAPI:
    """The application on an admin door."""
    app = FastAPI(
        title="autoprovd", version=__version__, openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None
    )
    api = APIRouter(prefix="/api/v1")

    def needs(scope: Scope) -> Any:
        return Depends(_actor(parts, scope, on_socket))

    @app.exception_handler(Refused)
    async def _refused(_request: Request, refusal: Refused) -> JSONResponse:
        return _error(refusal)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return _error(_malformed(error.errors(), skipped=1))

    @app.middleware("http")
    async def _no_traceback(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            response = await call(request)
        except Exception as failure:  # the last resort: a fault of this program, told without its text
            log.event("fault in the service", 40, failure=failure, path=request.url.path, method=request.method)
            return _error(Refused("internal", "the service failed; its log names the place"))
        response.headers["cache-control"] = "no-store"
        return response

    @api.get("/settings")
    def get_settings(_actor: Annotated[str, needs(Scope.SETTINGS_READ)]) -> dict[str, Any]:
        return {"settings": parts.site.settings().model_dump(mode="json")}

    @api.put("/settings")
    def put_settings(body: SettingsChange, actor: Annotated[str, needs(Scope.SETTINGS_WRITE)]) -> dict[str, Any]:
        changed, difference, settings = parts.site.apply_settings(body.settings, body.dry_run, actor)
        return {"changed": changed, "diff": asdict(difference), "settings": settings.model_dump(mode="json")}

    @api.put("/phones", openapi_extra={"requestBody": _json_body(PhoneList)})
    async def put_phones(request: Request, actor: Annotated[str, needs(Scope.PHONES_WRITE)]) -> dict[str, Any]:
        # Read and parsed off the event loop, and given away entry by entry: a large site's list is tens of megabytes,
        # and phones are served meanwhile.
        text = b"".join([piece async for piece in request.stream()])
        return await run_in_threadpool(apply_phones, text, actor)

    def apply_phones(text: bytes, actor: str) -> dict[str, Any]:
        try:
            body = PhoneList.model_validate_json(text)
        except ValidationError as error:
            raise _malformed(error.errors(include_url=False, include_input=False), skipped=0) from None
        del text
        result = parts.site.apply_phones(_given_away(body.phones), body.purge, body.dry_run, actor)
        return {
            "changed": result.changed,
            "created": result.created,
            "updated": result.updated,
            "removed": result.removed,
            "unchanged": result.unchanged,
            "diff": asdict(result.difference),
        }

    @api.get("/phones")
    def get_phones(
        actor: Annotated[str, needs(Scope.PHONES_READ)], mac: Annotated[list[str] | None, Query()] = None
    ) -> dict[str, Any]:
        shown = parts.overview.phones([_mac(item) for item in mac] if mac else None)
        parts.release.tally.count("read", None, actor, "", "the list of phones")
        return {"phones": shown}

    @api.get("/phones/{mac}")
    def get_phone(mac: str, actor: Annotated[str, needs(Scope.PHONES_READ)]) -> dict[str, Any]:
        shown = parts.overview.phone(_mac(mac))
        parts.release.tally.count("read", shown["mac"], actor, "", "the state of its passwords")
        return shown

    @api.delete("/phones/{mac}")
    def delete_phone(mac: str, actor: Annotated[str, needs(Scope.PHONES_WRITE)]) -> dict[str, Any]:
        parts.site.remove_phone(_mac(mac), actor)
        return {"changed": True}

    @api.get("/phones/{mac}/why")
    def get_why(mac: str, actor: Annotated[str, needs(Scope.PHONES_READ)]) -> dict[str, Any]:
        shown = parts.overview.why(_mac(mac))
        parts.overview.record_reading(shown["mac"], "why it got what it got", actor)
        return shown

    @api.get("/phones/{mac}/path")
    def get_path(mac: str, _actor: Annotated[str, needs(Scope.PHONES_READ)]) -> dict[str, Any]:
        shown = parts.overview.phone(_mac(mac))
        return parts.overview.path(shown["vendor"], shown["model"])

    @api.get("/models/{vendor}/{model}/path")
    def get_path_of_model(vendor: str, model: str, _actor: Annotated[str, needs(Scope.PHONES_READ)]) -> dict[str, Any]:
        return parts.overview.path(vendor.lower(), model)

    @api.get("/phones/{mac}/files")
    def get_files(mac: str, _actor: Annotated[str, needs(Scope.PHONES_READ)]) -> dict[str, Any]:
        return {"files": list(parts.overview.files(_mac(mac)))}

    @api.get("/phones/{mac}/files/{name}")
    def get_file(mac: str, name: str, actor: Annotated[str, needs(Scope.PHONES_READ)]) -> dict[str, Any]:
        return parts.overview.file(_mac(mac), name, actor)

    @api.post("/grants/arm")
    def arm(body: Arming, actor: Annotated[str, needs(Scope.GRANTS_WRITE)]) -> dict[str, Any]:
        armed, difference = parts.site.arm(_selections(body), body.new_password, body.dry_run, actor)
        return {"changed": bool(armed), "armed": armed, "diff": asdict(difference)}

    @api.post("/grants/revoke")
    def revoke(body: GrantChange, actor: Annotated[str, needs(Scope.GRANTS_WRITE)]) -> dict[str, Any]:
        revoked, difference = parts.site.revoke(_selections(body), body.dry_run, actor)
        return {"changed": bool(revoked), "revoked": revoked, "diff": asdict(difference)}

    @api.post("/grants/seal")
    def seal(actor: Annotated[str, needs(Scope.GRANTS_WRITE)]) -> dict[str, Any]:
        return {"sealed": parts.site.seal(actor)}

    @api.post("/claims")
    def claim(body: Claim, actor: Annotated[str, needs(Scope.CLAIMS)]) -> dict[str, Any]:
        keys = accounts_of(body)
        secrets, until = parts.lending.claim(keys.values(), run_of(body, actor), body.lease_seconds, body.two_phase)
        if not body.two_phase:
            metrics.releases.labels(body.secret_class.value, "controller").inc(len(secrets))
        log.event("lent to a run" if body.two_phase else "released to a run", actor=actor, count=len(secrets))
        return {
            "secrets": {account: secrets[key] for account, key in keys.items()},
            "lease_ends_at": iso_time(until),
        }

    @api.post("/claims/confirm")
    def confirm_claim(body: Claimed, actor: Annotated[str, needs(Scope.CLAIMS)]) -> dict[str, Any]:
        keys = accounts_of(body)
        confirmed = parts.lending.confirm(keys.values(), run_of(body, actor))
        metrics.releases.labels(body.secret_class.value, "controller").inc(len(confirmed))
        log.event("confirmed by a run", actor=actor, count=len(confirmed))
        return {"changed": bool(confirmed), "confirmed": [name for name, key in keys.items() if key in confirmed]}

    @api.post("/claims/return")
    def return_claim(body: Claimed, actor: Annotated[str, needs(Scope.CLAIMS)]) -> dict[str, Any]:
        keys = accounts_of(body)
        returned = parts.lending.give_back(keys.values(), run_of(body, actor))
        log.event("returned by a run", actor=actor, count=len(returned))
        return {"changed": bool(returned), "returned": [name for name, key in keys.items() if key in returned]}

    def accounts_of(body: Claimed) -> dict[str, Account]:
        return {account: _account(account, body.secret_class) for account in body.accounts}

    def run_of(body: Claimed, actor: str) -> Claimant:
        # Two AWX may count their jobs alike: a run is known by its token and its key.
        return Claimant(f"run:{parts.keyring.fingerprint(f'{actor}/{body.run_key}')}", Proof.NONE, actor)

    @api.get("/tokens")
    def get_tokens(_actor: Annotated[str, needs(Scope.TOKENS_WRITE)]) -> dict[str, Any]:
        return {"tokens": parts.tokens.listed()}

    @api.put("/tokens")
    def put_tokens(body: TokenList, actor: Annotated[str, needs(Scope.TOKENS_WRITE)]) -> dict[str, Any]:
        changed, names = parts.tokens.apply(body.tokens, body.purge, body.dry_run, actor)
        return {"changed": changed, "touched": names}

    records.add(api, parts, needs)
    firmware.add(api, parts, needs)
    bans.add(api, parts, needs)
    resync.add(api, parts, needs)
    pnp.add(api, parts, needs)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        with parts.store.read():
            return {"status": "ok"}

    @app.get("/metrics")
    def get_metrics(_actor: Annotated[str, needs(Scope.METRICS_READ)]) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app.include_router(api)
    return app


def _error(refusal: Refused) -> JSONResponse:
    faults = [asdict(fault) for fault in refusal.faults]
    body = {"error": {"code": refusal.code, "message": refusal.message, "faults": faults}}
    return JSONResponse(body, _STATUS.get(refusal.code, 500))


def _place(steps: Sequence[str | int]) -> str:
    """Where a fault is, written as the faults of a phone list are: ``phones[0].mac``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _malformed(errors: Sequence[Any], skipped: int) -> Refused:
    faults = [Fault(_place(item["loc"][skipped:]), str(item["msg"]).removeprefix("Value error, ")) for item in errors]
    return Refused("invalid", "the request is not of the form this call takes", faults)


def _json_body(model: type[BaseModel]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}


def _given_away(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The items in their order, each forgotten here when the next is asked for."""
    items.reverse()
    while items:
        yield items.pop()


def _mac(text: str) -> str:
    try:
        return parse_mac(text)
    except ValueError as error:
        raise Refused("invalid", str(error)) from None


def _account(text: str, secret_class: SecretClass) -> Account:
    mac, _slash, line = text.partition("/")
    if not (line.isascii() and line.isdecimal() and len(line) < 10):
        raise Refused("invalid", f"{text!r} is not an account; write <MAC>/<line>, such as 000413922d24/1")
    return _mac(mac), SecretKey(int(line), secret_class)


def _selections(body: GrantChange) -> list[Selection]:
    return [Selection(item.mac, item.audience, item.line, item.secret_classes) for item in body.select]
