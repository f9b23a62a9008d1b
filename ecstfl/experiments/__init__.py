"""Whole experiments: what is planned, trained, and written down.

Reading order: ``profiles`` (the same experiment at several prices: change settings here),
``plan`` (which clips and runs, and getting them trained), ``reproduce`` and ``report`` (table and
figures), ``axes``, ``study`` and ``study_figure`` (one setting varied at a time, on validation
folds).
"""
