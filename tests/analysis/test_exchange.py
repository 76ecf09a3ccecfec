import numpy as np

from bundle.analysis.exchange import exchangeable_families, permuted_labels, share_fixed


def test_families_are_exchanged_whole_and_only_with_their_like():
    family = np.array(["a", "a", "b", "b", "c", "d", "d", "e"])
    kinds = np.array(["MZ", "MZ", "n/a", "n/a", "n/a", "n/a", "n/a", "n/a"])
    by_size = exchangeable_families(family)
    assert sorted(block.shape for block in by_size) == [(2, 1), (3, 2)] and share_fixed(by_size) == 0
    by_kind = exchangeable_families(family, kinds)
    assert sorted(block.shape for block in by_kind) == [(1, 2), (2, 1), (2, 2)] and share_fixed(by_kind) == 0.25
    labels = np.arange(8)
    for many in permuted_labels(labels, by_kind, 50, 0):
        assert (many[:, :2] == [0, 1]).all()
        assert (np.sort(many[:, [2, 3]], axis=1)[:, 0] % 2 == many[:, 2] % 2).all()
        pairs = {tuple(row) for row in many[:, [2, 3]]}
        assert pairs == {(2, 3), (5, 6)}
        assert {tuple(row) for row in many[:, [4, 7]]} == {(4, 7), (7, 4)}


def test_members_take_the_place_of_their_kind():
    family = np.array(["a", "a", "a", "b", "b", "b"])
    kinds = np.array(["n/a", "MZ", "MZ", "MZ", "MZ", "n/a"])
    (block,) = exchangeable_families(family, kinds)
    assert [kinds[row] for row in block[0]] == [kinds[row] for row in block[1]]


def test_everybody_unrelated_may_be_exchanged_freely():
    (block,) = exchangeable_families(range(5))
    assert block.shape == (5, 1)
    drawn = np.concatenate(list(permuted_labels(np.array([0, 0, 1, 1, 2]), [block], 200, 0)))
    assert len(np.unique(drawn, axis=0)) == 30


def test_many_permutations_are_worked_on_in_parts(monkeypatch):
    labels = np.arange(60) % 3
    blocks = exchangeable_families(range(60))
    (whole,) = permuted_labels(labels, blocks, 40, 0)
    monkeypatch.setattr("bundle.analysis.exchange.VALUES_AT_ONCE", 60 * 3 * 7)
    parts = list(permuted_labels(labels, blocks, 40, 0))
    assert [len(part) for part in parts] == [7, 7, 7, 7, 7, 5]
    assert (np.sort(np.concatenate(parts), axis=1) == np.sort(whole, axis=1)).all()
