"""Commands."""


def declare(registry):
    pass
