"""Laws of the splits: disjoint, complete, decided by content alone, copies on one side."""

import hashlib

import numpy as np
import pytest

from diptych.data import load_data
from diptych.data.splits import make_roles, role_of, row_digests, rows_of_roles
from diptych.errors import DataError

CONTENT = "ab" * 32


def digests_of(values):
    return row_digests(np.asarray(values, np.int64)[:, None])


@pytest.mark.parametrize("count", [10, 11, 99, 1000])
def test_every_row_is_in_exactly_one_split_and_the_tenths_are_right(count):
    splits = rows_of_roles(make_roles(digests_of(np.arange(count)), CONTENT, None, "it"))
    assert np.array_equal(np.sort(np.concatenate(list(splits.values()))), np.arange(count))
    assert len(splits["test"]) == len(splits["validation"]) == max(1, round(count / 10))
    assert all(np.all(np.diff(rows) > 0) for rows in splits.values())


def test_the_draw_follows_the_content_and_not_the_order(rng):
    values = np.arange(200)
    roles = make_roles(digests_of(values), CONTENT, None, "it")
    order = rng.permutation(200)
    assert np.array_equal(make_roles(digests_of(values[order]), CONTENT, None, "it"), roles[order])
    assert not np.array_equal(make_roles(digests_of(values), "cd" * 32, None, "it"), roles)


def test_copies_stay_on_one_side(rng):
    values = rng.integers(0, 60, 400)
    roles = make_roles(digests_of(values), CONTENT, None, "it")
    for value in np.unique(values):
        assert len(np.unique(roles[values == value])) == 1
    assert {int(role) for role in roles} == {0, 1, 2}


def test_copies_so_many_that_no_group_fits_still_fill_every_split():
    roles = make_roles(digests_of(np.repeat(np.arange(3), 4)), CONTENT, None, "it")
    assert np.bincount(roles).tolist() == [4, 4, 4]


def test_an_official_test_set_is_kept_and_validation_is_at_most_5000():
    given = np.zeros(60_000, np.int8)
    given[:100] = role_of("test")
    roles = make_roles(digests_of(np.arange(60_000)), CONTENT, given, "it")
    assert np.array_equal(np.flatnonzero(roles == role_of("test")), np.arange(100))
    assert np.sum(roles == role_of("validation")) == 5_000


def test_row_digests_are_the_hashes_of_the_rows(rng):
    rows = rng.integers(0, 256, (1030, 3, 2), dtype=np.uint8)
    assert row_digests(rows) == [
        hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows
    ]


def test_too_few_rows_and_too_few_different_ones_are_sentences():
    with pytest.raises(DataError, match=r"it has 9 usable rows; at least 10 are needed") as caught:
        make_roles(digests_of(np.arange(9)), CONTENT, None, "it")
    assert caught.value.exit_code == 2
    with pytest.raises(DataError, match=r"only 2 different training rows among 20; at least 3"):
        make_roles(digests_of(np.arange(20) % 2), CONTENT, None, "it")


def test_fingerprint_changes_with_content_preparation_and_labels(rng):
    images = rng.integers(0, 256, (20, 8, 8), dtype=np.uint8)
    changed = images.copy()
    changed[3, 2, 1] ^= 1
    prints = [
        load_data(images).fingerprint,
        load_data(changed).fingerprint,
        load_data(images, size=4).fingerprint,
        load_data(images, labels=np.arange(20) % 2).fingerprint,
    ]
    assert len(set(prints)) == 4
    assert load_data(images.copy()).fingerprint == prints[0]
    assert all(len(one) == 64 and int(one, 16) >= 0 for one in prints)
