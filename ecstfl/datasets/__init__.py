"""Labelled clips: where they lie, which label each has, and what is wrong with them.

Read in this order: ``clipset`` (what everything downstream uses), ``opening`` (from a name to a
set), ``folder`` and ``csv_list`` (your own clips), ``embedded``, ``dfew``,
``ravdess``, ``cremad`` (one reader a data set), ``folds`` (who is tested when), ``findings`` (what
a reader says is wrong), ``doctor`` and ``doctor_report`` (what only the content of the files
shows), ``download``.

A new data set is one new file with one function and one line in ``opening`` (docs/data.md).
"""
