"""The command ``ecstfl``: what is typed, turned into calls of the other rooms.

In reading order: ``main`` (every sub-command and its options, exit codes), ``predict`` (videos in,
a table out), ``evaluate`` (labelled clips in, numbers out), ``preprocess``, ``data``, ``doctor``
(is everything here that the kit needs).

May be changed here: words, options and tables. Nothing is computed here.
"""
