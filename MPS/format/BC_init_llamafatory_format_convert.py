"""The original release's spelling of `BC_init_llamafactory_format_convert.py`; both names do the same."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("BC_init_llamafactory_format_convert.py")), run_name="__main__")
