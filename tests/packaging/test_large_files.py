import zipfile

import pytest
import yaml
from monai.apps.utils import HashCheckError
from monai.bundle import download_large_files

from bundle.packaging.archive import write_zip
from bundle.packaging.large_files import FILE, large_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("bundle.packaging.large_files.LIMIT", 100)
    folder = tmp_path / "brainstrata"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "model.ts").write_bytes(b"x" * 101)
    (folder / "small").write_bytes(b"x" * 100)
    return folder


def test_large_files_alone_are_listed_with_address_and_hash(folder):
    (entry,) = large_files(folder, "https://example.org/v1/")
    assert entry["path"] == "models/model.ts" and entry["url"] == "https://example.org/v1/models/model.ts"


def test_monai_checks_files_that_are_there_and_refuses_a_changed_one(folder):
    (folder / FILE).write_text(yaml.safe_dump({"large_files": large_files(folder, None)}))
    download_large_files(bundle_path=str(folder))
    (folder / "models" / "model.ts").write_bytes(b"y" * 101)
    with pytest.raises(HashCheckError, match="hash check of existing file failed"):
        download_large_files(bundle_path=str(folder))


def test_archive_has_one_folder_and_the_same_bytes_each_time(folder, tmp_path):
    write_zip(folder, tmp_path / "one.zip")
    (folder / "small").touch()
    write_zip(folder, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    names = zipfile.ZipFile(tmp_path / "one.zip").namelist()
    assert names == ["brainstrata/models/model.ts", "brainstrata/small"]
