"""Ask an address whether a Ray cluster answers there, in milliseconds: Ray itself tries for two minutes.

A cluster's head speaks gRPC, which is HTTP/2 (RFC 9113, 7541). One call tells a head from whatever else listens, and
whether it takes the user's token.
"""

import re
import socket

OK, UNIMPLEMENTED, UNAUTHENTICATED = 0, 12, 16  # gRPC's status codes
_CALL = "/ray.rpc.NodeInfoGcsService/GetClusterId"  # what a driver itself asks first
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4  # kinds of frames
_END_STREAM, _END_HEADERS = 1, 4
_MAX_BYTES = 2**16
# gRPC writes its trailers as plain text; before it stands the length of the number.
_STATUS = re.compile(rb"grpc-status(?:\x01(\d)|\x02(\d\d))")


def status(host: str, port: int, seconds: float, token: str = "") -> int | None:
    """Return the gRPC status with which a head answers a driver's first question, or None where none answers.

    Args:
        host: name or number of a machine.
        port: on it.
        seconds: to wait, for the connection and for each part of the answer.
        token: sent where it isn't empty.

    Raises:
        OSError: nothing can be connected to.
        TimeoutError: nothing is said.
    """
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": _CALL,
        ":authority": host,
        "content-type": "application/grpc",
        "te": "trailers",
        **({"authorization": f"Bearer {token}"} if token else {}),
    }
    words = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers.items())
    call = _frame(_HEADERS, _END_HEADERS, 1, words) + _frame(_DATA, _END_STREAM, 1, bytes(5))  # an empty message
    with socket.create_connection((host, port), seconds) as connection:
        connection.settimeout(seconds)
        connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + call)
        said = b""
        while len(said) < _MAX_BYTES and (more := connection.recv(4096)):
            said += more
            if len(said) >= 4 and said[3] != _SETTINGS:
                return None  # no HTTP/2, which begins with settings
            if found := _STATUS.search(said):
                return int(found[1] or found[2])
    return None


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _text(text: str) -> bytes:
    """Write a text as a header's name or value: its length, seven bits and more if need be, and itself."""
    words = text.encode()
    if len(words) < 127:
        return bytes([len(words)]) + words
    length, rest = b"\x7f", len(words) - 127
    while rest >= 128:
        length, rest = length + bytes([rest % 128 + 128]), rest // 128
    return length + bytes([rest]) + words
