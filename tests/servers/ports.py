"""Ports for the tests' servers, drawn at random so that several test processes at once do not choose the same.

They lie below those that Linux gives to outgoing connections (32768 to 60999), any of which could take the port of a
server before it starts, or between two of its starts; and above those of Ray's workers (10002 to 19999).
"""

import random
import socket

_RANGE = range(20_000, 32_768)
_random = random.SystemRandom()


def free_port() -> int:
    """Return a port of loopback that nothing listens on now."""
    while not _is_free(port := _random.choice(_RANGE)):
        continue
    return port


def free_ports(count: int) -> list[int]:
    """Return several that differ."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False
