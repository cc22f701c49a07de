"""What is generated: blocks of text in README and docs, pictures, the training curve, and what
the notebooks in examples/ print and show.

python -m docs.make            everything; run it when the bundled model changes
python -m docs.make text       only what does not need the model to run
"""

from __future__ import annotations
