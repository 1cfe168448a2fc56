# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""YMCS of Yealink, v2: JSON with a token that runs out, up to 100 phones in one call.

Sources: support.yealink.com, "YMCS API", chapter RPS device management; the client in nethesis/falconieri (libs/ymcs).
"""

from __future__ import annotations

import json
import secrets
import time
import typing as t

from .authentication import Basic, Bearer, Request, Scheme
from .errors import CallError, NotAccepted, PhoneFault
from .provider import REMOVE, UPDATE, Change, Made, Provider, Registration, Standing
from .refusals import YMCS, YMCS_PASSING, YMCS_SESSION_ENDED, explain, find
from .transport import Response, retry_after

_PAGE = 100
#: The service says more of itself in the code of its answer than in the status.
_READ = (400, 401, 403, 404, 408, 409, 412, 429, 500, 501, 502, 503, 504)
_NO_TOKEN = (400, 401, 403)


class YealinkYmcs(Provider):
    """Yealink's Management Cloud Service, of which only the redirection is used."""

    name, title, vendor = "yealink_ymcs", "Yealink YMCS", "yealink"
    endpoints: t.ClassVar[t.Mapping[str, str]] = {
        "eu": "https://eu-api.ymcs.yealink.com",
        "us": "https://us-api.ymcs.yealink.com",
    }
    lists = True
    batch = 100

    _ends_at = 0.0

    def make_scheme(self, username: str, password: str) -> Scheme:
        self._account = Basic(username, password)
        return Bearer()

    def read(self, macs: t.Sequence[str]) -> Standing:
        """By pages, or by asking for each, whatever takes fewer calls."""
        wanted = set(macs)
        standing: Standing = dict.fromkeys(macs)
        first = self._page(0)
        left = max(0, int(first.get("total") or 0) - _PAGE)
        if -(-left // _PAGE) > len(macs):
            for mac in macs:
                for row in _rows(self._list({"skip": 0, "limit": _PAGE, "autoCount": True, "filter": {"mac": mac}})):
                    if row[0] == mac:
                        standing[mac] = row[1]
            return standing
        for mac, registration in self._all(first):
            if mac in wanted:
                standing[mac] = registration
        return standing

    def list_registered(self) -> t.List[str]:
        return [mac for mac, _registration in self._all(self._page(0))]

    def write(self, changes: t.Sequence[Change]) -> Made:
        # There is no call that changes a URL: what was removed is added again.
        made: Made = {}
        self._remove([change for change in changes if change.verb in (REMOVE, UPDATE)], made)
        added = [change for change in changes if change.verb != REMOVE and made.get(change.mac) is None]
        self._add(added, made)
        return made

    def _remove(self, changes: t.Sequence[Change], made: Made) -> None:
        macs = [change.mac for change in changes]
        if macs:
            self._make("/v2/rps/delDevices", {"deviceIdType": "mac", "deviceIds": macs}, macs, made)

    def _add(self, changes: t.Sequence[Change], made: Made) -> None:
        macs = [change.mac for change in changes]
        body = [{"mac": change.mac, "uniqueServerUrl": change.url} for change in changes]
        if macs:
            self._make("/v2/rps/addDevicesByMac", body, macs, made)

    def _make(self, path: str, body: t.Any, macs: t.Sequence[str], made: Made) -> None:
        """One change of many phones; the outcome of each."""
        try:
            found = self._post(path, body, safe=False)
        except NotAccepted:
            raise
        except CallError as error:
            made.update(dict.fromkeys(macs, error))
            return
        made.update(dict.fromkeys(macs))
        refused = {}
        for row in found.get("errors") or ():
            mac = str(row.get("mac") or row.get("field") or "").lower().replace(":", "").replace("-", "")
            said = self.transport.clean(str(row.get("errorInfo") or row.get("msg") or "no reason given"))
            refused[mac] = said
        for mac, said in refused.items():
            row = find(YMCS, said)
            if mac in made and not (row and row.absent and "del" in path):
                made[mac] = PhoneFault(explain(YMCS, said))
        unexplained = int(found.get("failureCount") or 0) - len(refused)
        if unexplained > 0:
            unknown = CallError(f"{self.title} failed for {unexplained} phones without naming them", may_be_done=True)
            made.update({mac: unknown for mac in macs if mac not in refused})

    def _page(self, skip: int) -> t.Dict[str, t.Any]:
        return self._list({"skip": skip, "limit": _PAGE, "autoCount": True})

    def _all(self, first: t.Dict[str, t.Any]) -> t.Iterator[t.Tuple[str, Registration]]:
        page, skip = first, 0
        while True:
            rows = list(_rows(page))
            yield from rows
            skip += len(rows)
            if not rows or skip >= int(page.get("total") or 0):
                return
            page = self._page(skip)

    def _list(self, body: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
        return self._post("/v2/rps/listDevices", body, safe=True)

    def _post(self, path: str, body: t.Any, safe: bool) -> t.Dict[str, t.Any]:
        """What a call answered. Raises CallError."""
        for attempt in range(self.transport.retries + 1):
            self._have_token()
            try:
                return self._decoded(self._send(path, body, self.scheme, safe, _READ))
            except _SessionEnded:
                self._ends_at = 0.0
                if attempt:
                    raise
            except NotAccepted:
                raise
            except CallError as error:
                if not safe or not error.may_be_done or attempt == self.transport.retries:
                    raise
                self.transport.pause(attempt, error.retry_after)
        raise AssertionError("unreachable")

    def _send(self, path: str, body: t.Any, scheme: Scheme, safe: bool, read: t.Container[int]) -> Response:
        request = Request("POST", self.transport.relative(path), json.dumps(body).encode(), "application/json")
        return self.transport.call(request, scheme, safe, headers=_stamp, read=read)

    def _have_token(self) -> None:
        if time.monotonic() < self._ends_at:
            return
        grant = {"grant_type": "client_credentials"}
        response = self._send("/v2/token", grant, self._account, True, _NO_TOKEN)
        if response.status in _NO_TOKEN:
            said = self.transport.clean(response.body[:500].decode("utf-8", "replace"))
            raise NotAccepted(
                f"{self.title} does not accept the credentials; check username (client ID), password (client secret), "
                f"the region, and the clock of this host. It says: {said}",
                status=response.status,
            )
        found = self._decoded(response)
        token = found.get("access_token")
        if not isinstance(token, str) or not token:
            raise CallError(f"{self.title} gave no token; check endpoint")
        self.transport.keep_secret(token)
        t.cast("Bearer", self.scheme).token = token
        # A minute less: it is not to run out on its way.
        self._ends_at = time.monotonic() + max(1.0, float(found.get("expires_in") or 0) - 60)

    def _decoded(self, response: Response) -> t.Dict[str, t.Any]:
        if response.status < 300:
            found = self.transport.json(response)
            if isinstance(found, dict):
                return found
            raise CallError(f"{self.title} answered without an object; check endpoint", may_be_done=True)
        try:
            found = json.loads(response.body)
            code, said = str(found["code"]), f"{found.get('message') or ''} {found.get('requestId') or ''}"
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self.transport.refusal(response) from None
        if code in YMCS_SESSION_ENDED:
            raise _SessionEnded(f"{self.title} ended the session, again; check the clock of this host, and run again")
        raise CallError(
            f"{self.title}: {explain(YMCS, self.transport.clean(f'{code} {said}'))}",
            may_be_done=code in YMCS_PASSING,
            retry_after=retry_after(response.headers.get("Retry-After")),
            status=response.status,
        )


class _SessionEnded(CallError):
    pass


def _stamp() -> t.Dict[str, str]:
    return {"timestamp": str(int(time.time() * 1000)), "nonce": secrets.token_hex(16)}


def _rows(page: t.Dict[str, t.Any]) -> t.Iterator[t.Tuple[str, Registration]]:
    for row in page.get("data") or ():
        mac = str(row.get("mac") or "").lower().replace(":", "").replace("-", "")
        yield mac, Registration(str(row.get("uniqueServerUrl") or row.get("serverUrl") or ""))
