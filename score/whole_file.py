"""Files that are written as a whole: who reads one, or goes on after a kill, finds the old contents or the new ones."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[IO[bytes]]:
    """Yield a file that takes `path`'s place, fsync'd, when the block ends; after an error `path` is as before.
    `shared`: several processes may write it at the same time (the last one stays); a kill may then leave a
    `path.PID.new` behind. Raises `OSError`."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new" if shared else f"{path.name}.new")
    try:
        with open(new, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str, *, shared: bool = False) -> None:
    """Put a text in the place of a file's contents, as UTF-8. Raises `OSError`."""
    with replacing(path, shared=shared) as file:
        file.write(text.encode())
