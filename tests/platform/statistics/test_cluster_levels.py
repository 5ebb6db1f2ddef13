"""Clips in clusters and data sets that differ: too many false positives before, the level after."""

from tests.platform.statistics.cluster_levels import clustered_rows, data_set_rows
from tests.platform.statistics.null_simulations import at_most


def test_tests_over_clusters_keep_their_level() -> None:
    rows = [*clustered_rows(250), *clustered_rows(250, unequal=True)]
    assert len(rows) == 12
    for row in rows:
        assert at_most(row.after, 0.06), row.null
    worst = rows[5]
    assert worst.null == "clips in clusters of 10, ICC 0.5"
    assert worst.before.mean() > 0.25, "clips counted as independent"


def test_an_effect_that_varies_by_data_set_is_no_false_positive_if_the_data_are_varied() -> None:
    rows = [*data_set_rows(2000)]
    for row in rows:
        assert at_most(row.after, 0.05), row.null
    assert rows[-1].before.mean() > 0.3, "one data set behind all seeds"
