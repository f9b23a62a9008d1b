"""The pictures of finished runs.

Reading order: ``style`` (colours, the line of marks, settings that no user's matplotlibrc
changes), ``maps`` (UMAP, with names from ``class_names``), ``confusion``, ``curves``, ``forest``
(differences run by run), ``without_class``. ``files`` saves them beside the names of their runs.
A new figure is a function from runs to a matplotlib ``Figure``, under ``@plain_style()``.
"""
