"""What is not finite is refused where it is read or written."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bundle.analysis.choice_settings import ChoiceSettings
from bundle.analysis.simulated_cohorts import grouped
from bundle.analysis.strata import stratifier_of
from bundle.analysis.strata_search import find_strata
from bundle.analysis.strata_settings import StrataSettings
from bundle.data.embedding_table import EmbeddingTable
from bundle.data.problems import InputProblems
from bundle.strata.stratifier_file import read_stratifier, write_stratifier
from bundle.trained.weights import load_network
from custom_nets import RefinedLinearAutoencoder


def embeddings(codes):
    names = np.array([f"sub-{number:03d}" for number in range(len(codes))])
    present = np.ones((len(codes), 1), bool)
    return EmbeddingTable(names, codes, np.ones(len(codes)), "a" * 12, ("T1w",), present, np.zeros((len(codes), 0)))


def test_weights_with_nan_are_not_loaded(tmp_path):
    network = RefinedLinearAutoencoder(["T1w"], (16, 16, 16), embedding_size=8, n_components=16, width=4, n_units=1)
    state = network.state_dict()
    torch.save(state, tmp_path / "model.pt")
    load_network(network, str(tmp_path / "model.pt"), str(tmp_path), torch.device("cpu"))
    state["refiner.head.bias"][0] = torch.nan
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(InputProblems):
        load_network(network, str(tmp_path / "model.pt"), str(tmp_path), torch.device("cpu"))


def test_embeddings_with_nan_are_not_written(tmp_path):
    codes = np.zeros((3, 4), np.float32)
    codes[1, 2] = np.nan
    with pytest.raises(InputProblems, match="sub-001"):
        embeddings(codes).write_arrays(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_stratifier_with_nan_is_not_read(tmp_path):
    cohort = grouped((1, 1), 8, 60, 4, np.random.default_rng(0))
    quick = StrataSettings(n_references=19, n_stability=2, n_power=0, choice=ChoiceSettings(max_strata=3, n_folds=3))
    found = find_strata(cohort.points.astype(np.float32), list(range(60)), settings=quick)
    stratifier = stratifier_of(found, embeddings(cohort.points.astype(np.float32)))
    write_stratifier(stratifier, tmp_path / "whole.npz")
    assert np.isfinite(read_stratifier(tmp_path / "whole.npz").centres).all()
    write_stratifier(replace(stratifier, precision=np.full_like(stratifier.precision, np.nan)), tmp_path / "broken.npz")
    with pytest.raises(InputProblems):
        read_stratifier(tmp_path / "broken.npz")
