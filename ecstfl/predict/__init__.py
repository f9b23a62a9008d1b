"""The device of claim 5: a video in, the displayed expression over time out.

Read in this order: ``recognizer`` (load a model, recognise a video), ``windows`` (a long video as
overlapping windows in time), ``prediction`` (the answer),
``annotate`` (the answer drawn into the video), ``batch`` (many videos side by side), ``evaluate``
(how good the answers are where the truth is known); ``checkpoint`` reads the model file and
``familiar`` knows the clips a model was trained on.

May be changed here: how windows lie, when an answer is "uncertain", what is drawn. How a face is
cut out and how a clip gets its length may not: both are the training's own, in ``ecstfl.clips``.
"""
