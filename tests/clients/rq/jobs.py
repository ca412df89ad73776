"""The jobs of the check of RQ: its workers import them."""

from shared import connect


def note(name):
    connect(db=1).rpush("done", name)
    return name


def fails():
    raise ValueError("as it should")
