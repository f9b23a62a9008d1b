"""Frames out of what people bring: any film that the FFmpeg libraries read, or a folder of stills.

Read in this order: ``reading`` (frames, upright and in square pixels, and the time of each),
``files`` (which files are films and stills, and what in a folder is never data). Behind them,
only if you want to know: ``container`` (films: which stream, its packets, its frames), ``picture``
(square pixels, turned and mirrored), ``times`` (timestamps), ``cut_off`` (is the file all there?)
and ``stills``.

Nothing here is resampled in time: what a file holds is what comes out.
"""
