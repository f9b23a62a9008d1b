"""The capstone's claims decode, and a report that lacks something is told what."""

import pytest
from lessonkit import capstone

CLAIM = capstone.COMPARISONS["3D ResNet18 + EC-STFL against 3D ResNet18"]
GOOD = (
    "On the 11,697 clips of DFEW the second row has 179 more right, with losses in Angry. Worst "
    "case, 95 %: from −0.05 to 3.11 points, for independent clips. Each row is one training a "
    "fold; several seeds and single predictions would settle what two rows cannot tell anybody."
)


@pytest.mark.parametrize("name", capstone.COMPARISONS)
def test_every_claim_decodes_and_gives_back_what_is_printed(name):
    comparison = capstone.COMPARISONS[name]
    found = capstone.facts(comparison)
    printed = comparison.second.war - comparison.first.war
    assert 100 * found.total / 11697 == pytest.approx(printed, abs=0.011)
    assert found.low < printed < found.high
    assert sum(found.gains) == found.total
    assert comparison.first.source
    assert f"{comparison.second.war:.2f}" in comparison.claim
    assert f"{comparison.second.war:.2f}" in capstone.table(comparison)


def test_the_hand_made_example():
    found = capstone.facts(CLAIM)
    assert found.gains == (148, 15, 196, -82, -58, 4, -44)
    assert (round(found.low, 2), round(found.high, 2)) == (-0.05, 3.11)


@pytest.mark.parametrize(
    ("old", "new", "lacking"),
    [
        ("", "", []),
        ("179", "many", ["gain"]),
        ("11,697", "many", ["clips"]),
        ("3.11", "3.3", ["interval"]),
        ("−0.05", "0.3", ["interval"]),
        ("3.11", "3.1", []),
        ("11,697", "11697", []),
        ("Angry", "one class", ["loser"]),
        ("settle", "prove", ["too much"]),
        ("Each row", "It is significant. Each row", ["too much"]),
        ("Worst case, 95 %", "x " * 200, ["length"]),
    ],
)
def test_a_report_is_told_what_it_lacks(old, new, lacking):
    text = GOOD.replace(old, new) if old else GOOD
    assert capstone.missing(text, CLAIM) == lacking


def test_a_report_without_limits_is_told():
    text = GOOD.replace(", for independent clips", "").replace("training", "row")
    assert capstone.missing(text.replace("seeds", "tries"), CLAIM) == ["limit"]
    assert set(capstone.missing("It works.", CLAIM)) == {
        "gain", "clips", "interval", "loser", "limit", "length",
    }  # fmt: skip
