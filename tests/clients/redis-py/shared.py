"""What the checks of redis-py need. Each is called with a port and the path of a Unix socket."""

import sys
import time

import redis

PORT = int(sys.argv[1])
SOCKET = sys.argv[2]
PATIENCE = 20


def connect(**options):
    return redis.Redis(port=PORT, **{"socket_timeout": PATIENCE, **options})


class Left:
    """Equals what is left of so much time, on a machine that may be slow."""

    def __init__(self, most):
        self.most = most

    def __eq__(self, found):
        return self.most - PATIENCE <= found <= self.most

    def __repr__(self):
        return f"about {self.most}"


def same(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"


def refused(error, call, text=""):
    try:
        found = call()
    except error as refusal:
        assert text in str(refusal), f"{refusal!s} instead of {text}"
        return str(refusal)
    raise AssertionError(f"{found!r} instead of an error")


def eventually(what, condition):
    """What the condition answers as soon as that is true."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.001)


def knows(name):
    """Whether the server has the command: what a library does by others is checked once they are there."""
    return bool(connect().execute_command("COMMAND LIST", "FILTERBY", "PATTERN", name))


def run(*checks):
    for check in checks:
        check()
        print(check.__name__, flush=True)
    print("DONE", flush=True)
