"""How much of the ideal rate the generators keep, and how fast they are where models answer at once.

    python benchmarks/generation.py [--json FILE] [--quick]

All of it is in `throughput.py`: MPS/ has a module of this name, and one module path cannot hold both.
"""

from throughput import main

if __name__ == "__main__":
    main()
