from types import SimpleNamespace

import torch

from bundle.data.embedding_table import read_embedding_table
from bundle.handlers.embedding_writer import EmbeddingWriter
from custom_nets import FoldedFusionAutoencoder
from tests.conftest import PATTERNS


def test_people_whom_another_process_added_meanwhile_are_kept(tiny_cohort, tmp_path):
    torch.manual_seed(0)
    network = FoldedFusionAutoencoder(["FA", "JAC"], (32, 32, 24), (8, 16), (1, 1))
    images = torch.rand(2, 2, 32, 32, 24) + 1
    network.fit_to_images(lambda: iter(images))
    names = ["sub-0001", "sub-0002"]
    items = [
        {"participant_id": name}
        | {m: str(tiny_cohort / PATTERNS[m].format(participant_id=name)) for m in network.modalities}
        for name in names
    ]
    writers = [EmbeddingWriter(network, str(tmp_path), [item]) for item in items]
    for number, writer in enumerate(writers):
        code, none = torch.full((1, network.embedding_size), float(number)), torch.zeros(1, 0)
        output = {"pred": (images[[number]], code, none), "image": images[[number]]}
        writer._add(SimpleNamespace(state=SimpleNamespace(batch={"participant_id": [names[number]]}, output=output)))
    for writer in writers:
        writer.write()
    table = read_embedding_table(tmp_path / "4_embeddings")
    assert sorted(table.participant_ids) == names and len(set(table.images.ravel())) == 4
    assert {name: code[0] for name, code in zip(table.participant_ids, table.codes, strict=True)} == {
        "sub-0001": 0,
        "sub-0002": 1,
    }
