"""The command: `python -m docs.make [text]`."""

from __future__ import annotations

import sys

from benchmarks import tables
from docs.make import blocks, curve, decoder_curve


def main(arguments: list[str]) -> int:
    """Write the generated parts anew; return the exit code."""
    if arguments not in ([], ["text"]):
        sys.stderr.write("usage: python -m docs.make [text]\n")
        return 2
    written = [*curve.draw(), *decoder_curve.draw()]
    if not arguments:
        from docs.make import notebooks, pictures, screenshots

        written += [*pictures.draw(), *screenshots.draw(), *notebooks.update()]
    written += blocks.update(with_model=not arguments)
    written += [str(path) for path in tables.update()]
    sys.stdout.write("".join(f"written: {name}\n" for name in written))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
