"""Stage 9: a model-zoo package of a trained network."""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import yaml

from bundle.data.atomic import atomic_path
from bundle.data.cohort_settings import CohortSettings
from bundle.data.problems import InputProblems
from bundle.packaging.archive import write_zip
from bundle.packaging.card import model_card
from bundle.packaging.exported_forms import (
    FORMS,
    RUNNERS,
    TOLERANCE,
    eager_outputs,
    largest_difference,
    probe_images,
    write_onnx,
    write_torch_export,
    write_torchscript,
)
from bundle.packaging.large_files import FILE, large_files, sha256
from bundle.packaging.metadata import BASE_PACKAGES, installed, package_metadata, verify, write_json
from bundle.packaging.run_facts import RunFacts, cpu_state, read_run
from bundle.packaging.sample import write_sample
from bundle.packaging.stage_configs import STAGES, network_definition, self_contained
from bundle.paths import BEST_MODEL, PACKAGE, STRATIFIER, bundle_root, stage_folder

logger = logging.getLogger(__name__)
NAME = "brainstrata"
CODE = {
    "bundle": ("*.py", "report/*.html", "packaging/*.md", "packaging/*.json", "packaging/*.txt"),
    "custom_nets": ("*.py",),
}
"""What of each package is code, as `package_data` in setup.cfg: whatever else lies there is not passed on."""
NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime")}
SYNTHETIC_LICENSE = Path(__file__).parent.parent / "packaging" / "data_license_synthetic.txt"


def export(
    output_dir: str,
    images: Mapping[str, str],
    forms: Sequence[str] = ("torchscript", "onnx"),
    data_source: str | None = None,
    data_license: str | None = None,
    large_files_url: str | None = None,
    sample: bool = True,
) -> Path:
    """Write `9_package/brainstrata_v<version>.zip`, checked by MONAI's own verifiers; any run of the network will do.

    Args:
        output_dir: results folder.
        images: modality -> file pattern, for folders of those who use the package.
        forms: see `bundle/packaging/exported_forms.py`.
        data_source: see `package_metadata`.
        data_license: text file with the terms of the training data.
        large_files_url: see `large_files`.
        sample: with the synthetic cohort, put participants of its test split into the package.

    Returns:
        The ZIP.

    Raises:
        InputProblems: with all that is missing; or if an exported form has other values than the network.
    """
    facts = read_run(output_dir)
    _check(facts, images, forms, data_license)
    root = Path(bundle_root())
    template = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))
    metadata = package_metadata(template, facts, data_source)
    target = stage_folder(output_dir, PACKAGE) / f"{NAME}_v{metadata['version']}.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as temporary:
        folder = Path(temporary) / NAME
        copy_code(root, folder)
        _write_configs(root, folder, facts, images, metadata)
        license_file = data_license or (SYNTHETIC_LICENSE if facts.synthetic and not data_source else None)
        differences = _write_models(folder, facts, forms, metadata)
        people = write_sample(folder / "sample", facts, images) if sample else []
        entries = large_files(folder, large_files_url)
        if entries:
            (folder / FILE).write_text(yaml.safe_dump({"large_files": entries}, sort_keys=False))
        (folder / "docs").mkdir()
        if license_file:
            shutil.copy(license_file, folder / "docs" / "data_license.txt")
        card = model_card(metadata, facts, target.name, differences, bool(license_file), bool(entries), images, people)
        (folder / "docs" / "README.md").write_text(card, encoding="utf-8")
        verify(folder)
        write_zip(folder, target)
    with atomic_path(target.with_name(f"{target.name}.sha256")) as temporary_file:
        temporary_file.write_text(f"{sha256(target)}  {target.name}\n")
    logger.info("%s", _words(target, facts, differences))
    return target


def _check(facts: RunFacts, images: Mapping[str, str], forms: Sequence[str], data_license: str | None) -> None:
    problems = [f"--images: no pattern for {m}." for m in facts.network.modalities if m not in images]
    problems += [
        f"--images: the pattern of {m}, {pattern!r}, would tell others your folders: give it from the cohort folder on."
        for m, pattern in images.items()
        if Path(pattern).expanduser().is_absolute()
    ]
    problems += [
        f"--images: the pattern of {m}, {pattern!r}, leads out of the cohort folder: give it from there on, without '..'."
        for m, pattern in images.items()
        if ".." in re.split(r"[/\\]", pattern) or "\0" in pattern
    ]
    problems += [
        f"--forms: unknown form {form!r}; expected any of {', '.join(FORMS)}." for form in forms if form not in FORMS
    ]
    packages = [*(name for form in forms for name in NEEDED.get(form, ())), "jsonschema"]
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        problems.append(f'{", ".join(missing)} not installed: pip install -c constraints.txt -e ".[export]".')
    if data_license and not Path(data_license).is_file():
        problems.append(f"--data_license {data_license} does not exist: expected a text file with the data's terms.")
    if problems:
        raise InputProblems("Export", problems)


def copy_code(root: Path, folder: Path) -> None:
    """Copy code and licence of a checkout to a package's folder."""
    for package, patterns in CODE.items():
        for file in {file for pattern in patterns for file in (root / package).rglob(pattern)}:
            if any(part.startswith(".") for part in file.relative_to(root).parts):
                continue  # notebooks' checkpoints and the like
            copy = folder / file.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    shutil.copy(root / "LICENSE", folder / "LICENSE")


def _write_configs(
    root: Path, folder: Path, facts: RunFacts, images: Mapping[str, str], metadata: Mapping[str, Any]
) -> None:
    configs = folder / "configs"
    configs.mkdir()
    shutil.copy(root / "configs" / "logging.conf", configs / "logging.conf")
    write_json(metadata, configs / "metadata.json")
    shared: dict[str, Any] = {
        "bundle_root": {"_target_": "bundle.paths.bundle_root"},
        "network_def": network_definition(facts.signature),
        "images": {m: images[m] for m in facts.network.modalities},
        **{key: facts.signature[key] for key in ("modalities", "spatial_size") if key in facts.signature},
    }
    of_stage: dict[str, dict[str, Any]] = {
        "train": {name: value for name, value in facts.settings.items() if name != "people"},
        "inference": {"checkpoint": "$@bundle_root + '/models/model.pt'"},
        "assign": {"stratifier": f"$@bundle_root + '/models/{STRATIFIER}'"},
    }
    if facts.synthetic:
        of_stage["train"]["synthetic"] = _differing(facts.synthetic)
    for stage in STAGES:
        if stage == "assign" and facts.stratifier is None:
            continue
        text = self_contained(root / "configs" / f"{stage}.yaml", root, shared | of_stage.get(stage, {}))
        (configs / f"{stage}.yaml").write_text(text, encoding="utf-8")
        write_json(yaml.safe_load(text), configs / f"{stage}.json")
    packages = {name: installed(name) for name in BASE_PACKAGES.values()} | metadata["required_packages_version"]
    lines = [f"{name}=={version}\n" for name, version in sorted(packages.items())]
    (folder / "requirements.txt").write_text("".join(lines))


def _differing(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a cohort that are not the default, with those that name it."""
    usual = CohortSettings().to_dict()
    return {name: value for name, value in settings.items() if name in ("n_subjects", "seed") or usual[name] != value}


def _write_models(
    folder: Path, facts: RunFacts, forms: Sequence[str], metadata: Mapping[str, Any]
) -> list[dict[str, Any]]:
    models = folder / "models"
    models.mkdir()
    torch.save(cpu_state(facts.network), models / BEST_MODEL)
    if facts.stratifier:
        shutil.copy(facts.stratifier, models / STRATIFIER)
    configs = {"inference.json": (folder / "configs" / "inference.json").read_bytes()}
    images = probe_images(facts.network)
    expected = eager_outputs(facts.network, images)
    found: list[dict[str, Any]] = []
    for form in forms:
        logger.info("Writing and comparing %s.", FORMS[form])
        file = models / FORMS[form]
        if form == "torchscript":
            write_torchscript(facts.network, file, metadata, configs)
        elif form == "onnx":
            write_onnx(facts.network, file)
        else:
            write_torch_export(facts.network, file)
        differences = largest_difference(RUNNERS[form](file, images), expected)
        if not all(difference <= TOLERANCE for difference in differences):  # NaN is refused too
            raise InputProblems(
                "Export",
                [
                    f"{file.name} differs from the network by {differences[0]:.1e} (embeddings) and {differences[1]:.1e} (maps), "
                    f"expected at most {TOLERANCE:g}: leave out {form}."
                ],
            )
        embedding, reconstruction = (f"{value:.1e}" if value else "0" for value in differences)
        found.append({"form": form, "file": file.name, "embedding": embedding, "reconstruction": reconstruction})
    return found


def _words(target: Path, facts: RunFacts, differences: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"Written: {target} ({target.stat().st_size / 1e6:.0f} MB), encoder {facts.encoder_hash}."]
    lines += [
        f"  {form['file']}: differs from the network by {form['embedding']} (embeddings), {form['reconstruction']} (maps)"
        for form in differences
    ]
    lines.append("  MONAI's verify_metadata and verify_net_in_out accept it.")
    if facts.evaluation is None:
        lines.append('  Its card says "not evaluated": run evaluating first if it should not.')
    if facts.stratifier is None:
        lines.append("  No strata in it: run embedding and clustering first if assigning should work from it.")
    lines.append(f"Others run: unzip {target.name}; pip install -r {NAME}/requirements.txt; then docs/README.md in it.")
    return "\n".join(lines)
