"""How a network learns: one loop, and what it calls.

Reading order: ``loop`` (train one run; the loop itself is forty lines), ``splits`` (who trains, who
is held out), ``samplers`` (what is in a batch), ``forward`` (augment, run the network),
``optimizers`` and ``muon`` (who moves which weights, how, and how fast), ``learner`` (network,
loss, optimisers; the checkpoint), ``meter`` (an epoch's means, NaN), ``scoring`` and ``finish``
(the held-out fold, the files). Then ``train_all`` (many runs side by side), ``estimate`` and
``memory`` (how long, does it fit), ``data_parallel`` (several GPUs) and ``reproducible`` (seeds).

Change the loop and the optimisers freely; keep that everything random hangs on (seed, epoch), or a
resumed run is another run.
"""
