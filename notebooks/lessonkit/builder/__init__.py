"""From one text source a lesson to everything that is made from it; notebooks never import this.

In reading order: ``reading`` (the cells of a source and what each is for), ``books`` (complete
notebook, student copy, solution, nbgrader course), ``execution`` (run one in a fresh kernel and
measure it), ``build`` (the commands of ``python -m lessonkit.builder``).
"""
