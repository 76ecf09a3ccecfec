"""MONAI Label's and MONAI Deploy's own inference, from their released wheels, on an unpacked package.

    pip download --no-deps monailabel==0.8.5 monai-deploy-app-sdk==4.0.0 --dest wheels
    python benchmarks/consumers.py --package brainstrata --wheels wheels

Both want viewers, servers and drivers that this takes no part in: what is not installed is replaced by objects that do nothing
(`itk` and `nrrd` are worth installing, they write Label's result). Says what came out for one participant of `sample/`.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import sys
import tempfile
import types
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import nibabel as nib
import numpy as np
import torch

STAND_INS = ("itk", "nrrd", "expiringdict", "expiring_dict", "cachetools", "pydicom", "pydicom_seg", "girder_client")
STAND_INS += (
    "dicomweb_client",
    "torchvision",
    "pydantic_settings",
    "timeloop",
    "schedule",
    "watchdog",
    "shapely",
    "sam2",
)
STAND_INS += (
    "requests_toolbelt",
    "numpymaxflow",
    "pynetdicom",
    "openslide",
    "skimage",
    "einops",
    "highdicom",
    "holoscan",
)


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what no other participant found of `STAND_INS`; put last in `sys.meta_path`."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """A module of mocks."""
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.split(".")[0] in STAND_INS else None

    def create_module(self, spec: Any) -> Any:
        """Any attribute is there."""
        module = MagicMock(name=spec.name)
        module.__path__, module.__spec__ = [], spec
        return module

    def exec_module(self, module: Any) -> None:
        """Nothing to run."""


def joined(package: Path, file: Path) -> nib.Nifti1Image:
    """One participant of the sample as one 4D NIfTI, maps in the order of the network's channels."""
    from monai.bundle import ConfigParser

    config = ConfigParser.load_config_file(str(package / "configs" / "inference.json"))
    name = (package / "sample" / "participants.tsv").read_text().splitlines()[1].split("\t")[0]
    maps = [nib.load(package / "sample" / pattern.format(participant_id=name)) for pattern in config["images"].values()]
    image = nib.Nifti1Image(np.stack([m.get_fdata(dtype=np.float32) for m in maps], axis=-1), maps[0].affine)
    nib.save(image, file)
    return image


def label(wheel: Path, package: Path, image: Path) -> None:
    """MONAI Label: its `BundleInferTask` on the package's folder and the path of one image."""
    sys.path.insert(0, str(wheel))
    from monailabel.tasks.infer.bundle import BundleInferTask

    task = BundleInferTask(str(package), {"preload": "false"})
    print(f"Label: valid {task.is_valid()}, type {task.type}, labels {task.labels}")
    result, _ = task({"image": str(image), "device": "cpu"})
    if Path(result).is_file():
        found: Any = nib.load(result)
        print(f"Label: wrote {found.shape}, {found.get_data_dtype()}, affine as the image's: {np.allclose(found.affine, nib.load(image).affine, atol=1e-4)}")  # fmt: skip
    pred = task({"image": str(image), "device": "cpu", "skip_writer": True})[1]["pred"]
    print(f"Label: pred {tuple(pred.shape)}, {float(pred.min()):.3f} to {float(pred.max()):.3f}")


class DeployImage:
    """What Deploy's operators hand to each other, as far as it is called here."""

    def __init__(self, data: np.ndarray, metadata: Any = None) -> None:
        self.data, self.facts = data, dict(metadata or {})

    def asnumpy(self) -> np.ndarray:
        """The array."""
        return self.data

    def metadata(self) -> dict[str, Any]:
        """What is known of it."""
        return self.facts


def deploy(wheel: Path, package: Path, image: nib.Nifti1Image) -> None:
    """MONAI Deploy: its bundle operator on the folder, and on model.ts alone, and an image `(D, H, W, M)` with its affine."""
    import monai

    for name in ("monai.deploy", "monai.deploy.operators", "monai.deploy.utils"):
        module = types.ModuleType(name)
        module.__path__ = [str(wheel.joinpath(*name.split(".")))]
        sys.modules[name] = module
    core = types.ModuleType("monai.deploy.core")
    core.Operator = type("Operator", (), {"__init__": lambda self, *given, **named: None})
    core.Image = DeployImage
    for name in ("AppContext", "Fragment", "IOType", "OperatorSpec"):
        setattr(core, name, MagicMock(name=name))
    sys.modules["monai.deploy.core"] = core
    monai.deploy = sys.modules["monai.deploy"]
    from monai.deploy.operators.monai_bundle_inference_operator import MonaiBundleInferenceOperator

    for bundle in (package, package / "models" / "model.ts"):
        operator = MonaiBundleInferenceOperator(
            None,
            app_context=types.SimpleNamespace(models=None),
            input_mapping=[],
            output_mapping=[],
            bundle_path=bundle,
        )
        sent: dict[str, Any] = {}
        facts = {
            "affine": image.affine,
            "original_affine": image.affine,
            "spacing": (1, 1, 1),
            "original_channel_dim": -1,
        }
        array = DeployImage(image.get_fdata(dtype=np.float32), facts)
        received = types.SimpleNamespace(receive=lambda name, array=array: array)
        given = types.SimpleNamespace(get=MagicMock(side_effect=KeyError), emit=lambda value, name, sent=sent: sent.update({name: value}))  # fmt: skip
        operator.compute(received, given, None)
        pred = sent["pred"].asnumpy()
        print(f"Deploy, {bundle.name}: pred {pred.shape}, {pred.dtype}, {pred.min()} to {pred.max()}")


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, required=True)
    given = parser.parse_args()
    sys.meta_path.append(StandIns())
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        image = joined(given.package, Path(folder) / "all.nii.gz")
        for program, prefix in ((label, "monailabel"), (deploy, "monai_deploy_app_sdk")):
            (wheel,) = given.wheels.glob(f"{prefix}-*.whl")
            zipfile.ZipFile(wheel).extractall(Path(folder) / prefix)
            if program is label:
                label(Path(folder) / prefix, given.package.resolve(), Path(folder) / "all.nii.gz")
            else:
                deploy(Path(folder) / prefix, given.package.resolve(), image)


if __name__ == "__main__":
    main()
