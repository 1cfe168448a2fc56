# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many Snoms in one process, each on an interface of its own: SIP PnP, files by HTTP, REGISTER with Digest.

Standard input: a list of [interface, address, MAC address, user]; standard output: what the registrar said to each,
by MAC address. The argument is the registrar's address.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import sys

_TRIES = (0.5, 1.0, 2.0, 4.0, 4.0)


class Failed(Exception):
    """This phone gave up; the text says at what."""


def _socket(interface: str, address: str, kind: socket.SocketKind, port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    made.bind((address, port))
    return made


async def _exchange(
    own: socket.socket, question: bytes, to: tuple[str, int], wanted: str
) -> tuple[str, tuple[str, int]]:
    """Send, again until a datagram starts with one of the words; the text and where it came from."""
    loop = asyncio.get_running_loop()
    for patience in _TRIES:
        await loop.sock_sendto(own, question, to)
        try:
            async with asyncio.timeout(patience):
                while True:
                    data, source = await loop.sock_recvfrom(own, 65536)
                    text = data.decode()
                    if re.match(wanted, text):
                        return text, source
        except TimeoutError:
            continue
    raise Failed(f"no {wanted}")


async def _ask_network(own: socket.socket, address: str, mac: str) -> str:
    uri = f"sip:MAC%3a{mac.upper()}@224.0.1.75"
    lines = [
        f"SUBSCRIBE {uri} SIP/2.0", f"Via: SIP/2.0/UDP {address}:5060;rport", f"From: <{uri}>;tag={mac}",
        f"To: <{uri}>",
        f"Call-ID: {mac}@{address}", "CSeq: 1 SUBSCRIBE", "Expires: 0", "Accept: application/url",
        'Event: ua-profile;profile-type="device";vendor="snom";model="snomD785";version="10.1.33.33"',
        f"Contact: <sip:{address}:5060>", "Content-Length: 0", "", "",
    ]  # fmt: skip
    told, source = await _exchange(own, "\r\n".join(lines).encode(), ("224.0.1.75", 5060), "NOTIFY ")
    head, _, body = told.partition("\r\n\r\n")
    kept = [line for line in head.split("\r\n") if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
    answer = "\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""])
    await asyncio.get_running_loop().sock_sendto(own, answer.encode(), source)
    return body


async def _fetch(interface: str, address: str, url: str, agent: str) -> str:
    found = re.fullmatch(r"http://([^:/]+):(\d+)(/.*)", url)
    if found is None:
        raise Failed(f"no address: {url}")
    loop = asyncio.get_running_loop()
    with _socket(interface, address, socket.SOCK_STREAM) as own:
        async with asyncio.timeout(30):
            await loop.sock_connect(own, (found[1], int(found[2])))
            request = f"GET {found[3]} HTTP/1.1\r\nHost: {found[1]}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
            await loop.sock_sendall(own, request.encode())
            parts = []
            while part := await loop.sock_recv(own, 65536):
                parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    return body.decode() if b" 200 " in head.split(b"\r\n")[0] else ""


def _md5(*words: str) -> str:
    return hashlib.md5(":".join(words).encode()).hexdigest()


async def _register(own: socket.socket, address: str, user: str, password: str, registrar: str) -> str:
    uri, authorization = f"sip:{registrar}", ""
    for sequence in (1, 2):
        lines = [
            f"REGISTER {uri} SIP/2.0", f"Via: SIP/2.0/UDP {address}:5060;branch=z9hG4bK{user}{sequence};rport",
            "Max-Forwards: 70", f"From: <sip:{user}@{registrar}>;tag={user}", f"To: <sip:{user}@{registrar}>",
            f"Call-ID: r{user}@{address}", f"CSeq: {sequence} REGISTER", f"Contact: <sip:{user}@{address}:5060>",
            "Expires: 300", *([authorization] if authorization else []), "Content-Length: 0", "", "",
        ]  # fmt: skip
        want = rf"SIP/2\.0 [2-6]\d\d [^\0]*CSeq: {sequence} REGISTER"
        answer, _source = await _exchange(own, "\r\n".join(lines).encode(), (registrar, 5060), want)
        status = answer[8:11]
        if status != "401":
            return status
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', re.search(r"(?im)^WWW-Authenticate:(.*)$", answer)[1]))  # type: ignore[index]
        proof = _md5(_md5(user, challenge["realm"], password), challenge["nonce"], _md5("REGISTER", uri))
        authorization = (
            f'Authorization: Digest username="{user}", realm="{challenge["realm"]}", nonce="{challenge["nonce"]}", '
            f'uri="{uri}", response="{proof}"'
        )
    return "401"


async def _boot(interface: str, address: str, mac: str, user: str, registrar: str) -> str:
    agent = f"Mozilla/4.0 (compatible; snomD785-SIP 10.1.33.33 2010.12-00004-g9ba52f5 {mac.upper()} SXM:0 UXM:0)"
    with _socket(interface, address, socket.SOCK_DGRAM, 5060) as own:
        folder = await _ask_network(own, address, mac)
        settings = ""
        for name in ("snomD785.htm", f"snomD785-{mac.upper()}.htm"):
            settings += await _fetch(interface, address, folder + name, agent)
        given = dict(re.findall(r"<(user_name|user_pass) [^>]*>([^<]+)<", settings))
        if given.get("user_name") != user or "user_pass" not in given:
            raise Failed("its files do not name its account and password")
        return await _register(own, address, user, given["user_pass"], registrar)


async def _main(registrar: str, phones: list[list[str]]) -> dict[str, str]:
    async def outcome(interface: str, address: str, mac: str, user: str) -> str:
        try:
            return await _boot(interface, address, mac, user, registrar)
        except (Failed, OSError) as failure:
            return f"{type(failure).__name__} {failure}"

    said = await asyncio.gather(*(outcome(*phone) for phone in phones))
    return {phone[2]: text for phone, text in zip(phones, said, strict=True)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(sys.argv[1], json.load(sys.stdin)))))
