import pytest

from bundle.data.atomic import atomic_path, temporary_name


def test_two_writers_of_one_file_do_not_share_a_temporary_name(tmp_path):
    path = tmp_path / "map.nii.gz"
    assert temporary_name(path) != temporary_name(path)  # as two machines whose processes have the same number
    with atomic_path(path) as one, atomic_path(path) as other:
        assert one.suffixes[-2:] == [".nii", ".gz"] and one.name.startswith(".")
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]


def test_what_was_there_stays_if_writing_fails(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("before")
    with pytest.raises(OSError, match="full"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
