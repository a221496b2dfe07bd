"""Which compositions of operations are kept for validation and test."""

import hashlib


def is_held_out(composition: tuple[str, ...]) -> bool:
    """True if tasks with these operations, in this order, belong to validation and test only.

    One composition in four is held out, decided by a hash of the names, so that it is the same for every seed.
    A single operation cannot be held out: a student has to have seen it.
    """
    if len(composition) < 2:
        return False
    digest = hashlib.sha256("|".join(composition).encode()).digest()
    return digest[0] % 4 == 0
