"""The handful of clips that lessons train on."""

from dataclasses import replace

import numpy as np
import pytest
from lessonkit import practice
from lessonkit.practice import PREPROCESS, practice_clips, practice_run, recipe_run

from ecstfl.datasets.embedded import open_embedded
from ecstfl.errors import UserError
from ecstfl.experiments.profiles import get_profile
from ecstfl.training.splits import split_clips


def test_one_person_a_fold_is_prepared_once(tmp_path, monkeypatch):
    # whole frames: to look for the faces takes ten times as long
    monkeypatch.setattr(practice, "PREPROCESS", replace(PREPROCESS, alignment="none"))
    clipset, clips = practice_clips(1, tmp_path / "cache")
    assert len(clipset) == 35
    assert clips.shape == (35, PREPROCESS.frames, PREPROCESS.size, PREPROCESS.size, 3)
    assert clips.dtype == np.uint8
    assert np.bincount(clipset.labels).tolist() == [5] * 7
    again, same = practice_clips(1, tmp_path / "cache")
    assert again.ids == clipset.ids
    np.testing.assert_array_equal(same, clips)
    config = practice_run(clipset, method="softmax", weight=0.5)
    assert config.loss.weight == 0
    train, held_out = split_clips(clipset, config)
    assert len(train) == 28
    assert not set(clipset.groups[train]) & set(clipset.groups[held_out])
    names = {
        practice_run(clipset, seed=s, form=f).name for s in (0, 1) for f in ("patent", "paper")
    }
    assert len(names) == 4


def test_a_number_out_of_range_is_told():
    for number in (0, 41):
        with pytest.raises(UserError, match="1 to 40"):
            practice_clips(number)


def test_a_run_by_the_recipe_follows_the_quick_profile():
    clipset = open_embedded(verify=False)
    profile = get_profile("quick")
    config = recipe_run(clipset, "softmax", seed=2)
    assert (config.optim, config.backbone) == (profile.optim, profile.backbone)
    assert (config.loss, config.seed) == (profile.methods[0], 2)
    small = recipe_run(clipset, epochs=3, width=4)
    assert (small.optim.epochs, small.backbone.width) == (3, 4)
    assert small.loss.method == "ec-stfl"
    with pytest.raises(UserError, match="no method"):
        recipe_run(clipset, "nonesuch")
