"""The line that follows a training."""

from lessonkit.follow import follow


def test_each_epoch_is_told_and_the_last_without_time(capsys):
    tell = follow("C3D")
    tell(1, 2, {"loss": 1.94591})
    tell(2, 2, {"loss": 0.5})
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("C3D: epoch  1 of 2 ██████████░░░░░░░░░░ loss 1.946, about ")
    assert last == "C3D: epoch  2 of 2 ████████████████████ loss 0.500"
