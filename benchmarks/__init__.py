"""Every figure in the docs: measured here, kept as JSON in `results/`, printed by `tables`.

python -m benchmarks run [ROW ...] [--data DIR]     measure and write benchmarks/results/
python -m benchmarks run ROW --compare COMMIT       that commit and this tree in turns: ratios
python -m benchmarks tables [--check]               write (or check) the tables in the docs
python -m benchmarks list                           what the rows measure
"""
