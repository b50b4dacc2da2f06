"""Speed as ratios: Easel's runtime and what it is compared with, measured in the same run. `python -m bench`.

Rules of every goal: both sides in one run and taking turns; medians of at least 30 after a warm-up, unless its text
says otherwise; random weights, pictures that are not blank; both sides are shown.
"""
