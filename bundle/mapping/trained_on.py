"""Which Jacobians a network was trained on, by its weights and by the records of its cohort."""

from __future__ import annotations

import logging
from pathlib import Path

from bundle.data.cohort_writer import SETTINGS_FILE
from bundle.data.json_files import read_json
from bundle.data.problems import InputProblems
from bundle.mapping.steps import read_sidecar
from bundle.paths import BEST_MODEL, DATALIST, MAPPED, PREPARED, TRAINING, stage_folder
from bundle.trained.weights import read_weights, signature_of

logger = logging.getLogger(__name__)
BETWEEN = 0.5
"""Mean Jacobians of a cohort lie around 1, their logarithms around 0; heads differ from the template's by less."""


def check_jacobian(model_dir: str | None, jacobian: str, jacobian_affine: str) -> None:
    """Refuse JAC maps of another kind than a network knows, before anything is mapped.

    Whether determinants are raw is read from the network's mean image, whether head size is in them from the records of
    its cohort; where these say nothing, that is said.

    Args:
        model_dir: results folder of the network; None checks nothing.
        jacobian: `log` | `raw`, as maps are to be made.
        jacobian_affine: `excluded` | `included`.

    Raises:
        InputProblems: with the options to give.
    """
    if model_dir is None:
        return
    weights_file = stage_folder(model_dir, TRAINING) / BEST_MODEL
    if not weights_file.is_file():
        return  # whoever needs the network says so
    weights = read_weights(weights_file)
    modalities = signature_of(weights).get("modalities", []) if isinstance(weights, dict) else []
    if "JAC" not in modalities:
        return
    inside = weights["scaling.brain_mask"] > 0
    mean = float(weights["scaling.mean_image"][modalities.index("JAC")][inside].mean())
    known, affine = "raw" if mean > BETWEEN else "log", affine_of_training(model_dir)
    problems = []
    if jacobian != known:
        problems.append(f"--jacobian {jacobian}, but the network of {model_dir} was trained on {known} determinants (its mean JAC is {mean:.2f} in the brain): give --jacobian {known}.")  # fmt: skip
    if affine is not None and jacobian_affine != affine:
        problems.append(f"--jacobian_affine {jacobian_affine}, but head size was {affine} in the maps that the network of {model_dir} was trained on: give --jacobian_affine {affine}.")  # fmt: skip
    if problems:
        raise InputProblems("Jacobians", problems)
    if affine is None:
        logger.warning("It is not known whether head size was in the JAC maps of the network's cohort: --jacobian_affine %s must be as it was.", jacobian_affine)  # fmt: skip


def affine_of_training(model_dir: str) -> str | None:
    """What `preparing` and the synthetic cohort (excluded) or `mapping` put into the maps; None of other cohorts."""
    datalist = stage_folder(model_dir, PREPARED) / DATALIST
    source = Path(read_json(datalist).get("dataset_dir", "")) if datalist.is_file() else Path()
    if (source / SETTINGS_FILE).is_file():
        return "excluded"
    if source.is_file() and source.suffix == ".json" and "layout" in read_json(source):
        return "excluded"
    if source.parent.name == MAPPED:
        sidecars = [read_sidecar(file) for file in sorted(source.parent.glob("work/*/maps.json"))]
        kinds = {sidecar["parameters"]["settings"]["jacobian_affine"] for sidecar in sidecars if sidecar}
        return kinds.pop() if len(kinds) == 1 else None
    return None
