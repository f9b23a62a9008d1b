"""From frames to faces that all stand in the same place (claim 2, steps 2-2 and 2-3).

Read in this order: ``detection`` (what a detector gives), ``retinaface`` (the detector),
``track`` (one face a frame), ``align`` (the face to the same place, size and angle). Then the
other sources of landmarks: ``landmarks68`` (68 points) and ``landmark_files`` (made elsewhere).

To try another detector, write a class with ``name``, ``scheme`` and ``detect`` as in
:class:`ecstfl.faces.detection.FaceBackend` and hand it to ``preprocess_clip``.
"""
