import numpy as np
import pytest

from bundle.data.feature_table import read_feature_table
from bundle.data.problems import InputProblems


def test_a_table_of_numbers_is_read_by_name(tmp_path):
    (tmp_path / "regions.csv").write_text("participant_id,left,right\n007,1,2.5\nb,3,4\n")
    table = read_feature_table(tmp_path / "regions.csv")
    assert table.participant_ids == ("007", "b") and table.columns == ("left", "right")
    assert table.of(["b", "007"]).tolist() == [[3, 4], [1, 2.5]]


def test_arrays_need_names_and_numbers_alone(tmp_path):
    np.savez(tmp_path / "pca.npz", participant_id=["a", "b"], embeddings=np.eye(2))
    table = read_feature_table(tmp_path / "pca.npz")
    assert table.encoder_hash is None and table.values.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("participant_id\tx\na\t1\na\t2\n", "a: stands in several rows"),
        ("participant_id\tx\na\tn/a\nb\t2\n", "a: x is missing"),
        ("participant_id\tx\na\tmuch\n", "'much'"),
        ("id\tx\na\t1\n", "participant_id"),
        ("participant_id\na\n", "columns of numbers"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    (tmp_path / "table.tsv").write_text(text)
    with pytest.raises(InputProblems) as caught:
        read_feature_table(tmp_path / "table.tsv")
    assert words in str(caught.value)


def test_other_kinds_of_file_are_refused(tmp_path):
    (tmp_path / "table.xlsx").write_text("")
    np.savez(tmp_path / "other.npz", codes=np.eye(2))
    for name in ("table.xlsx", "other.npz", "missing.tsv"):
        with pytest.raises(InputProblems) as caught:
            read_feature_table(tmp_path / name)
        assert name in str(caught.value)
