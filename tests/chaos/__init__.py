"""Campaigns of faults against small real studies: `python -m tests.chaos --seed 1` (`make chaos`).

A case is a study of `studies.py`, and faults of `faults.py` that a seed draws. The same command runs until the study
ends. Then `checks.py` looks for what was lost, doubled, left or damaged, and compares the results with those of the
same study that met no fault.
"""
