"""What in the README and the docs is generated: blocks of text, pictures, the training curve.

python -m docs.make            everything; run it when the bundled model changes
python -m docs.make text       only what does not need the model to run
"""

from __future__ import annotations
