"""`lexiseg compare`: two runs of `lexiseg evaluate`, photo by photo."""

from __future__ import annotations

import json
import sys

from lexiseg.cli.inputs import to_path
from lexiseg.cli.terminal import Parser
from lexiseg.errors import InputError

__all__ = ["run"]

_NOTES = """FIRST and SECOND are folders that `lexiseg evaluate --out` wrote. Every difference gets
an interval over the photos that both have (a paired bootstrap); what does not reach 0 is no chance.

example:
  lexiseg evaluate tiny --data mine --out plain --save-vis
  lexiseg evaluate tiny --data mine --out sam --save-vis --use-sam
  lexiseg compare plain sam --out difference
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("compare", "Compare two runs of lexiseg evaluate.", epilog=_NOTES)
    add = parser.add_argument
    add("first", metavar="FIRST", type=to_path, help="a folder of results")
    add("second", metavar="SECOND", type=to_path, help="another one")
    add("--out", metavar="DIR", type=to_path, help="write comparison.json, .txt and .html there")
    add("--json", action="store_true", help="print one JSON document")
    args = parser.parse(argv)
    from lexiseg import imaging
    from lexiseg.evaluation.compare import compare_runs, read_runs, report
    from lexiseg.evaluation.run import output_folder

    first, second = read_runs(args.first), read_runs(args.second)
    names = [name for name in first if name in second]
    if not names:
        raise InputError(
            f"{str(args.first)!r} has results of {', '.join(first)}, {str(args.second)!r} of "
            f"{', '.join(second)}; compare runs on one data set"
        )
    found = [compare_runs(first[name][1], second[name][1]) for name in names]
    document = {"comparisons": [one.to_json() for one in found]}
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    summary = "\n\n".join(one.summary().rstrip("\n") for one in found) + "\n"
    if args.out is not None:
        with output_folder(args.out) as folder:
            assert folder is not None
            imaging.write_text(folder / "comparison.json", text)
            imaging.write_text(folder / "comparison.txt", summary)
            for one in found:
                name = "comparison.html" if len(found) == 1 else f"comparison-{one.name}.html"
                page = report(one, (first[one.name][0], second[one.name][0]))
                imaging.write_text(folder / name, page)
    sys.stdout.write(text if args.json else summary)
    return 0
