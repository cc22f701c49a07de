"""`lexiseg score-edit`: measure edited pictures against the photos and against words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lexiseg.cli.inputs import to_path
from lexiseg.cli.terminal import Parser
from lexiseg.errors import InputError, OptionError

__all__ = ["run"]

_NOTES = """Pictures of one name belong together. Without --mask a mask is what changed.

examples:
  lexiseg score-edit --before photos --after edited --mask masks
  lexiseg score-edit --before photos --after edited --words "a green sofa" --encoder ENCODER
  lexiseg score-edit --before photos --after edited --inception pt_inception-2015-12-05-6726825d.pth
"""


def run(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser("score-edit", "Measure edited pictures.", epilog=_NOTES)
    add = parser.add_argument
    add("--before", metavar="DIR", type=to_path, required=True, help="the photos, or one")
    add("--after", metavar="DIR", type=to_path, required=True, help="the edited pictures, or one")
    add("--mask", metavar="DIR", type=to_path, help="what was edited: white")
    add("--words", metavar="TEXT", help="what they should show; or @FILE.json: name to text")
    add("--encoder", metavar="NAME", help="of the CLIP score and, without Inception, of FID")
    add("--inception", metavar="FILE", type=to_path, help="pytorch-fid's weights, for FID and KID")
    add("--device", help="auto, cpu, cuda, cuda:1, mps")
    add("--pull", action="store_true", help="download weights that are missing")
    add("--json", action="store_true", help="print one JSON document")
    args = parser.parse(argv)
    for flag in ("before", "after", "mask"):
        path = getattr(args, flag)
        if path is not None and not path.exists():
            raise InputError(f"--{flag} {str(path)!r} is not there; give a folder of pictures")
    from lexiseg.evaluation.edits import pair_folders, score_edits
    from lexiseg.models import load_encoder
    from lexiseg.protocols import LoadOptions

    pairs = pair_folders(args.before, args.after, args.mask)
    words = _words(args.words)
    features = None
    if args.inception is not None:
        from lexiseg.models import load_inception

        features = load_inception(args.inception)
    encoder = load_encoder(args.encoder or "tiny", LoadOptions(args.device, None, args.pull))
    found = score_edits(pairs, encoder, words=words, features=features)
    if args.json:
        sys.stdout.write(json.dumps(found.to_json(), ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write(found.summary())
    return 0


def _words(text: str | None) -> str | dict[str, str] | None:
    """The words of all pictures, or of each by its name, from a file."""
    if text is None or not text.startswith("@"):
        if text is not None and not text.strip():
            raise OptionError("--words is empty; say what the edited pictures should show")
        return text
    path = Path(text[1:]).expanduser()
    try:
        found: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the file of words {str(path)!r} cannot be read ({error})") from error
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise InputError(f'{str(path)!r} holds no words; write {{"name of a picture": "words"}}')
    return found
