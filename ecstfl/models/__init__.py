"""The networks, and the tap through which the loss sees one of their layers.

Read in this order: ``c3d.py`` (the patent's network, layer by layer), ``tap.py`` (features of a
layer by its name), ``backbones.py`` (all networks by name, and their configuration). The others:
``resnet3d.py``, ``p3d.py``, ``i3d.py``, ``cnn_lstm.py``. ``layers.py`` has the convolution and the
pooling that all share, ``common.py`` their checks and starting values, ``model_file.py`` the file
in which a trained network is kept.

A new network is a file of its own and a line in each table of ``backbones.py``. Layer names are
keys of saved weights: do not change them.
"""
