# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SNMPv2c, as much of it as a search needs: one GET, and reading what answers (RFC 3416, RFC 3417; BER of X.690).

An answer is hostile: every length is held against what came, nothing is nested deeper than a response is, and whatever
is wrong makes it no answer.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import struct
import typing as t

PORT = 161
_INTEGER, _OCTETS, _NULL, _OID, _SEQUENCE, _GET, _RESPONSE = 0x02, 0x04, 0x05, 0x06, 0x30, 0xA0, 0xA2
_LONGEST_OID_PART = 1 << 32


class Malformed(Exception):
    """No response."""


class Response(t.NamedTuple):
    """What an agent answered."""

    request_id: int
    error: int
    values: t.Mapping[str, t.Union[bytes, int, str]]
    """By OID; octets, numbers, and OIDs as text. What the agent does not have is left out."""


def _length(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    text = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(text),)) + text


def _tlv(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _length(len(content)) + content


def _oid(text: str) -> bytes:
    first, second, *rest = (int(part) for part in text.split("."))
    content = bytearray((40 * first + second,))
    for number in rest:
        parts = [number & 0x7F]
        while number > 0x7F:
            number >>= 7
            parts.append(0x80 | number & 0x7F)
        content += bytes(reversed(parts))
    return bytes(content)


class Question:
    """A GET of these objects, encoded once; only the request's number differs."""

    def __init__(self, community: str, oids: t.Sequence[str]) -> None:
        bindings = b"".join(_tlv(_SEQUENCE, _tlv(_OID, _oid(oid)) + _tlv(_NULL, b"")) for oid in oids)
        # The number always takes four octets, so that it can be written over.
        request = b"\x02\x04\x00\x00\x00\x00" + _tlv(_INTEGER, b"\0") + _tlv(_INTEGER, b"\0")
        pdu = _tlv(_GET, request + _tlv(_SEQUENCE, bindings))
        message = _tlv(_SEQUENCE, _tlv(_INTEGER, b"\1") + _tlv(_OCTETS, community.encode()) + pdu)
        place = message.index(b"\x02\x04\x00\x00\x00\x00\x02\x01\x00") + 2
        self._head, self._tail = message[:place], message[place + 4 :]

    def numbered(self, number: int) -> bytes:
        """The datagram; ``number`` is from 0 to 2**31 - 1."""
        return self._head + struct.pack(">I", number) + self._tail


def _read(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and end of the content of the element there."""
    if end - at < 2:
        raise Malformed
    tag, size = data[at], data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4 or end - at < count:
            raise Malformed
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    if size > end - at:
        raise Malformed
    return tag, at, at + size


def _expect(data: bytes, at: int, end: int, wanted: int) -> tuple[int, int]:
    tag, start, stop = _read(data, at, end)
    if tag != wanted:
        raise Malformed
    return start, stop


def _number(data: bytes, start: int, stop: int) -> int:
    if not 1 <= stop - start <= 9:
        raise Malformed
    return int.from_bytes(data[start:stop], "big", signed=True)


def _oid_text(content: bytes) -> str:
    if not content or len(content) > 128:
        raise Malformed
    numbers = [min(content[0] // 40, 2)]
    numbers.append(content[0] - 40 * numbers[0])
    value, open_part = 0, False
    for octet in content[1:]:
        value = value << 7 | octet & 0x7F
        if value >= _LONGEST_OID_PART:
            raise Malformed
        open_part = bool(octet & 0x80)
        if not open_part:
            numbers.append(value)
            value = 0
    if open_part:
        raise Malformed
    return ".".join(map(str, numbers))


def response(data: bytes) -> Response:
    """Read a response, or raise :class:`Malformed`."""
    at, end = _expect(data, 0, len(data), _SEQUENCE)
    start, stop = _expect(data, at, end, _INTEGER)
    if _number(data, start, stop) != 1:
        raise Malformed
    _start, stop = _expect(data, stop, end, _OCTETS)
    at, end = _expect(data, stop, end, _RESPONSE)
    numbers = []
    for _field in range(3):
        start, at = _expect(data, at, end, _INTEGER)
        numbers.append(_number(data, start, at))
    at, end = _expect(data, at, end, _SEQUENCE)
    values: dict[str, t.Union[bytes, int, str]] = {}
    while at < end:
        start, at = _expect(data, at, end, _SEQUENCE)
        name_start, name_stop = _expect(data, start, at, _OID)
        tag, start, stop = _read(data, name_stop, at)
        name = _oid_text(data[name_start:name_stop])
        if tag == _OCTETS:
            values[name] = data[start:stop]
        elif tag == _OID:
            values[name] = _oid_text(data[start:stop])
        elif tag in (_INTEGER, 0x41, 0x42, 0x43, 0x46):  # Counter32, Gauge32, TimeTicks, Counter64
            values[name] = _number(data, start, stop)
    return Response(numbers[0], numbers[1], values)
