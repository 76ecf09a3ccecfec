from threading import Thread

import pytest

from bundle.data.atomic import atomic_path, only_here, temporary_name


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


def test_one_at_a_time_is_in_a_block_of_a_file(tmp_path):
    seen = []

    def other():
        with only_here(tmp_path / "table.npz"):
            seen.append("other")

    with only_here(tmp_path / "table.npz"):
        waiting = Thread(target=other)
        waiting.start()
        with only_here(tmp_path / "another.npz"):
            waiting.join(0.3)
        seen.append("this")
    waiting.join()
    assert seen == ["this", "other"]
