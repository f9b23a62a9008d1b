"""From finished runs to numbers with intervals, and to the tables that show them.

Reading order: ``rows`` (which runs make a row, and its softmax-only twin), ``table`` (UAR and WAR
of each row), ``differences`` (every measure against softmax-only, in pairs), ``without_class``
(does one class carry the change?), ``reproduced`` (trained again: the same result?). ``published``
holds what others have printed, ``grid`` writes tables as Markdown and CSV. A new measure
is one line in ``differences.MEASURES``. Nothing here draws or trains.
"""
