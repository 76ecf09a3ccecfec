"""The model card of a package, `docs/README.md`, after the model zoo's template."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bundle.packaging.run_facts import RunFacts
from bundle.strata.stratifier_file import read_stratifier
from custom_nets import FusionAutoencoder, closed_form_values, trainable_parameters

TEMPLATE = "card.md"
COLUMNS = ("r2", "pca_r2", "r2_code_swapped", "ssim")
OUTPUTS = {
    "torchscript": "reconstructions when called; embeddings by its method `encode`",
    "onnx": "outputs `embedding` and `reconstruction`",
    "torch_export": "a tuple of embeddings and reconstructions",
}


def model_card(
    metadata: Mapping[str, Any],
    facts: RunFacts,
    archive: str,
    forms: Sequence[Mapping[str, Any]],
    data_license: bool,
    has_large_files: bool,
    images: Mapping[str, str],
    sample: Sequence[str] = (),
) -> str:
    """Markdown, every figure from the run or from what is installed.

    Args:
        metadata: of the package.
        facts: of the run.
        archive: name of the ZIP.
        forms: exported forms, each with `form`, `file`, and differences `embedding` and `reconstruction`.
        data_license: whether there is a `docs/data_license.txt`.
        has_large_files: whether there is a `large_files.yml`.
        images: modality -> file pattern, of the package's configs.
        sample: the participants in `sample/`; none if there is no such folder.
    """
    network = facts.network
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown
    )
    maps = ", ".join(network.modalities)
    files = {name: f"{name.lower()}.nii.gz" for name in network.modalities}
    own = files
    if sample:
        own = {m: f"brainstrata/sample/{images[m].format(participant_id=sample[0])}" for m in network.modalities}
    stratifier = _stratifier(facts)
    table = "brainstrata/sample/participants.tsv" if sample else "TABLE"
    text = environment.get_template(TEMPLATE).render(
        metadata=metadata,
        title=f"{metadata['name']}: fusion of {maps} into one embedding",
        tags=["Brain", "MRI", *network.modalities, "Fusion", "Autoencoder", "Embedding"],
        encoder_hash=facts.encoder_hash,
        parameters=_parameters(network),
        network_class=type(network).__name__,
        missing_maps=_missing_maps(network.takes_any_subset),
        missing_maps_exported=_missing_maps_exported(network.takes_any_subset),
        n_people=", ".join(f"{count} {section}" for section, count in facts.n_people.items()),
        data_license=data_license,
        maps=maps,
        n_maps=len(network.modalities),
        grid=" x ".join(map(str, network.spatial_size)),
        embedding_size=network.embedding_size,
        evaluation=facts.evaluation,
        rows=_rows(facts),
        identifiability=_identifiability(facts),
        python=platform.python_version(),
        archive=archive,
        images={m: images[m] for m in network.modalities},
        modalities=network.modalities,
        sample=sample,
        files=", ".join(f"'{name}': '{file}'" for name, file in files.items()),
        python_files="".join(f'\n    "{name}": "{file}",' for name, file in own.items()) + "\n",
        stratifier=stratifier,
        participants=f" \\\n  --participants {table}" if stratifier and stratifier["covariates"] else "",
        has_torchscript=any(form["form"] == "torchscript" for form in forms),
        forms=[{**form, "outputs": OUTPUTS[form["form"]]} for form in forms],
        has_large_files=has_large_files,
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _parameters(network: FusionAutoencoder) -> str:
    trained, fitted = trainable_parameters(network), closed_form_values(network)
    return f"{trained:,} trained parameters" + (f", {fitted:,} values in closed form" if fitted else "")


def _missing_maps(takes_any_subset: bool) -> str:
    if takes_any_subset:
        return "It embeds participants from any of these modalities and reconstructs the others."
    return "It needs every modality of a participant."


def _missing_maps_exported(takes_any_subset: bool) -> str:
    if takes_any_subset:
        return (
            "A participant who lacks a modality, which is then NaN everywhere, gets NaN everywhere from these forms: only the network "
            "itself, so `embedding` or Python with this code, embeds from a subset."
        )
    return (
        "A participant who lacks a modality, which is then NaN everywhere, gets NaN everywhere from ONNX and torch.export; "
        "TorchScript raises an error, as the network itself does."
    )


def _rows(facts: RunFacts) -> list[dict[str, str]]:
    if facts.evaluation is None:
        return []
    table = facts.evaluation.summary
    return [
        {"modality": row["modality"], **{name: f"{row[name]:.3f}" if name in row else "-" for name in COLUMNS}}
        for row in table.to_dict("records")
    ]


def _identifiability(facts: RunFacts) -> str:
    if facts.evaluation is None:
        return ""
    people = facts.evaluation.n_people
    share = float(facts.evaluation.summary["identifiability"].iloc[0])
    return f"{round(share * people)} of {people}"


def _stratifier(facts: RunFacts) -> dict[str, Any] | None:
    if facts.stratifier is None:
        return None
    model = read_stratifier(facts.stratifier)
    return {"headline": model.headline, "has_strata": model.has_strata, "covariates": model.columns}
