"""The command ``ecstfl``: what is typed, turned into calls of the other rooms.

In reading order: ``main`` (the commands, exit codes), ``options`` (what several of them take),
``train`` (with ``reproduce`` and ``study``), ``predict`` (videos in, a table out), ``evaluate``
(labelled clips in, numbers out), ``preprocess``, ``data``, ``doctor`` (is everything here that the
kit needs).

May be changed here: words, options and tables. Nothing is computed here.
"""
