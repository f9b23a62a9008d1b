"""The generator of the embedded data: rendered faces that show one of seven expressions and move.

Run it from the repository root: ``python -m data.generator --help``. It needs the extra
``generator`` (numba, pillow). The package ``ecstfl`` reads what this writes and never imports it.

Data flows one way: geometry -> identity -> expression + scene -> figure (mesh, g-buffer, shading)
-> clip (frames and truth) -> pack (files, manifest, checksums).
"""
