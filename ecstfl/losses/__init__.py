"""The EC-STFL loss, and what it is compared with.

Read in this order: ``ec_stfl.py`` (the loss as the patent writes it: `written_out`; the function
and the module that training calls), ``joint.py`` (cross-entropy + lambda EC-STFL), ``methods.py``
(the methods of the tables, and their configuration), ``baselines.py`` (center loss and others),
``report.py`` (one batch in numbers). Behind them: ``engine.py`` (the same loss, fast and with its
gradient in closed form), ``naive.py`` (the same in plain loops, for tests and lessons), and
``checks.py``.

A new form of the loss goes into `written_out`, ``naive.py`` and the three functions of the engine
in which the forms differ; a new baseline goes into ``baselines.py``. Tests hold them together.
"""
