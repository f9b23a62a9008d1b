"""Numbers from predictions and embeddings: arrays in, numbers out, no files.

Reading order: ``recognition`` (confusion matrix, UAR, WAR), ``intervals`` (people and seeds drawn
again, paired tests), ``clusters`` (within/between, silhouette, purity), ``calibration``
(temperature, reliability).

Add measures freely; whatever groups clips by person must ask
:func:`~ecstfl.metrics.intervals.people`.
"""
