"""What the lessons call, and how they are built; kept beside them, apart from the package.

* ``lessons``: start a lesson, sliders, quizzes; ``checks``: what an exercise is told.
* ``guess``: predict, then see: guesses before results, and a progress card.
* ``pictures``: what a figure says to somebody who cannot see it; clips that play. ``frames``: what
  a slider shows, drawn beforehand for the book.
* ``reference_results``: runs that came with the repository; ``stamp``: FRESH or PRECOMPUTED;
  ``practice``: a small set of clips and a small run, for training in front of the student.
* one subject each: ``faces_first`` (00), ``leakage`` (01), ``mouth`` (02), ``formula`` (04),
  ``anatomy`` (05), ``audit`` (07), ``costs`` (09), ``webcam`` (10), ``capstone`` (11), ``claims``
  (from the patent's claims to code, proof and lesson).
* ``pull``: a network with two features, trained with any loss, and ``film``, where its points move;
  ``progress``: the loss as it falls.
* ``plots_*``: the figures of the lessons, plain functions that return a figure.
* ``lab``: ``make lab``, a student's JupyterLab over copies of their own.
* ``builder``: from ``notebooks/src`` to notebooks, student copies and course.

A lesson may be changed freely in its source; what it imports from here keeps its arguments.
"""
