"""What the server does once, so that no session has to: imports, and what the libraries put off to their first use."""

import contextlib
import gc
import importlib
import io
import os
import sys

# Steps of the kinds that students write; each was seen to import or to compute something the first time (0.1 s for the
# definite integral alone). sympy keeps results by the symbol's name: the names that students use most have their turn
# too. `lambdify` is left out: by default it imports scipy, which would make every fork dearer.
_SYMPY = """
from sympy import *
x, y, n = symbols("x y n")
print(solve(x**2 - 2, x), solve(x**3 - 2*x + 1, x), solve([x + y - 3, x - y - 1], [x, y]), solve(Eq(2*x + 3, 7)))
print(simplify(sin(x)**2 + cos(x)**2), trigsimp(sin(x)/cos(x)), expand((x + y)**3), factor(x**3 - 1))
print(integrate(x*exp(x), x), integrate(x**2*exp(-x), (x, 0, oo)), diff(sin(x)*x**2, x), limit(sin(x)/x, x, 0))
print(summation(1/n**2, (n, 1, oo)), series(exp(x), x, 0, 4), nsolve(cos(x) - x, 1))
print(apart(1/(x**2 - 1)), together(1/x + 1/y), cancel((x**2 - 1)/(x + 1)), roots(x**3 - 1), Poly(x**2 - 1).all_roots())
print(solveset(x**2 - 4, x, domain=S.Reals), linsolve([x + y - 1, x - y - 3], x, y), diophantine(2*x + 3*y - 5))
print(Matrix([[1, 2], [3, 4]]).eigenvals(), Matrix([[1, 2], [3, 4]]).inv(), reduce_inequalities(x**2 < 4, x))
print(factorint(360), totient(10), nsimplify(0.5), sqrt(8), N(pi, 20), latex(x**2/2), sympify("2*x + 1").subs(x, 3))
for v in symbols("y z t n k a b c"):
    print(solve(v**2 - 3*v - 4, v), simplify((v**2 - 4)/(v - 2)), factor(v**2 - 9))
    print(integrate(v**3, (v, 0, 1)), diff(v**4, v))
"""

_filling: list[bytes] = []


def preload(names: list[str]) -> None:
    """Import the libraries and use them once. Raises what an import raises.

    `numpy.random` is not among them: its libraries take 74 of the 312 mappings that each fork copies.
    """
    for name in names:
        importlib.import_module(name)
    if "sympy" in names:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(_SYMPY, {})


def random_from_now() -> None:
    """Call it before the fork of a session: they are copies, and each would draw the same random numbers otherwise.

    Before and not after, because a state that is written after the fork is memory that each session has for itself.
    """
    if random := sys.modules.get("random"):
        random.seed()
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed(int.from_bytes(os.urandom(4), "little"))  # with a number: four times faster than without


def settle() -> None:
    """Make this process's memory cheap to share and to copy. Call it once, right before the first fork of a session."""
    gc.collect()
    # The gaps between the objects of Python's allocator (some hundred kilobytes) are scattered over all its pages. A
    # session whose new objects go there copies a page for each; past the gaps they lie side by side.
    for size in range(48, 513, 16):
        _filling.extend(bytes(size - sys.getsizeof(b"")) for _ in range(50_000 // size))
    gc.freeze()
