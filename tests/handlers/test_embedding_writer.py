from threading import Thread
from types import SimpleNamespace

import pytest
import torch

from bundle.data.embedding_table import EmbeddingTable, read_embedding_table
from bundle.data.tables import read_table
from bundle.handlers.embedding_writer import EmbeddingWriter
from tests.conftest import PATTERNS
from tests.small_networks import small_network

NAMES = ["sub-0001", "sub-0002"]


@pytest.fixture
def writers(tiny_cohort, tmp_path):
    """Two processes, each with one participant who is embedded and not yet written."""
    torch.manual_seed(0)
    network = small_network(["FA", "JAC"])
    images = torch.rand(2, 2, 32, 32, 24) + 1
    network.fit_to_images(lambda: iter(images))
    items = [
        {"participant_id": name}
        | {m: str(tiny_cohort / PATTERNS[m].format(participant_id=name)) for m in network.modalities}
        for name in NAMES
    ]
    writers = [EmbeddingWriter(network, str(tmp_path), [item]) for item in items]
    for number, writer in enumerate(writers):
        code, none = torch.full((1, network.embedding_size), float(number)), torch.zeros(1, 0)
        output = {"pred": (images[[number]], code, none), "image": images[[number]]}
        writer._start(None)
        writer._add(SimpleNamespace(state=SimpleNamespace(batch={"participant_id": [NAMES[number]]}, output=output)))
    return writers


def test_people_whom_another_process_added_meanwhile_are_kept(writers, tmp_path):
    for writer in writers:
        writer.write()
    table = read_embedding_table(tmp_path / "4_embeddings")
    assert sorted(table.participant_ids) == NAMES and len(set(table.images.ravel())) == 4
    assert {name: code[0] for name, code in zip(table.participant_ids, table.codes, strict=True)} == {
        "sub-0001": 0,
        "sub-0002": 1,
    }


def test_nobody_is_lost_if_two_processes_write_at_once(writers, tmp_path, monkeypatch):
    one, other = writers
    at_once = Thread(target=other.write)
    write_arrays = EmbeddingTable.write_arrays

    def slowly(table, folder):
        monkeypatch.setattr(EmbeddingTable, "write_arrays", write_arrays)
        at_once.start()
        at_once.join(0.5)  # without a lock it would be done by then, and overwritten now
        write_arrays(table, folder)

    monkeypatch.setattr(EmbeddingTable, "write_arrays", slowly)
    one.write()
    at_once.join()
    assert sorted(read_embedding_table(tmp_path / "4_embeddings").participant_ids) == NAMES
    assert sorted(read_table(tmp_path / "4_embeddings" / "embeddings.tsv")["participant_id"]) == NAMES
