"""The bars of a plan: epochs, time left from what this command has done, running accuracy."""

from toy import toy_config, toy_data

from ecstfl.training.train_all import _Bars

RECORD = {"ce": 1.25, "train_war": 0.5, "held_out_war": 0.375}


def test_bars_count_from_where_an_earlier_command_stopped():
    clipset, _ = toy_data()
    fresh, resumed = (toy_config(clipset, epochs=4, seed=seed) for seed in (0, 1))
    with _Bars([fresh, resumed]) as bars:
        bars.start(fresh)
        bars.start(resumed)
        bars.epoch(fresh, 1, RECORD)
        bars.epoch(resumed, 3, {"ce": 1.0, "train_war": 0.5})
        bars.epoch(resumed, 4, RECORD)
        whole, one, other = bars._all, bars._bars[fresh], bars._bars[resumed]
        assert (whole.n, whole.initial, whole.total) == (5, 2, 8)
        assert (one.n, one.initial, other.n, other.initial) == (1, 0, 4, 2)
        said = str(other)
        assert "4/4" in said
        assert "training clips right=50%" in said
        assert "held-out=38%" in said


def test_a_single_run_has_one_bar():
    clipset, _ = toy_data()
    config = toy_config(clipset, epochs=2)
    with _Bars([config]) as bars:
        bars.start(config)
        bars.epoch(config, 1, RECORD)
        assert bars._all is None
        assert bars._bars[config].pos == 0
