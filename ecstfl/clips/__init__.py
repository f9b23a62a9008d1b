"""From a video to an aligned clip of T frames, and to batches of clips.

In reading order: ``preprocess`` (one clip: detect, align, normalise the length), ``temporal`` (n
frames to T), ``config`` (every option), ``augment`` (what is random in training), ``photometric``
(light, colour, sharpness, noise), ``batches``.
The engine: ``held_frames`` (long videos), ``preprocess_set`` (a whole set on all cores),
``checksums``, ``cache``, ``array`` (clips to pass on), ``contact_sheet`` (a picture to look at).

Change alignment, length and augmentation here. Other pixels from the same options need a new
``config.PIPELINE_VERSION``, or old caches would be taken for new ones.
"""
