"""What a run is, and where it lives.

Reading order: ``config`` (every setting of a run; its hash is its name), ``run_folder``
(``run.json``, features, model; one owner at a time), ``checkpoint`` (whole or set aside, never
unpickled), ``places`` (results, figures, cache).

A new setting goes into :data:`~ecstfl.runs.config.ADDED_LATER` with the value that all earlier runs
had, so that they keep their names.
"""
