"""The network in forms that need no code of ours: TorchScript, ONNX and torch.export.

All three have eager's values; `largest_difference` measures it. TorchScript is what MONAI 1.6 and the programs round it
read, though torch deprecates it; ONNX is for everything else; torch.export is what torch goes on with and no MONAI program
reads yet.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from monai.data import save_net_with_metadata
from torch import Tensor, nn

from bundle.packaging.without_paths import clean_onnx, clean_program, clean_torchscript
from custom_nets import FusionAutoencoder
from custom_nets.presence import modalities_present

FORMS = {"torchscript": "model.ts", "onnx": "model.onnx", "torch_export": "model.pt2"}
"""Form -> file name in `models/`."""
TOLERANCE = 1e-4
OPSET = 20

Outputs = tuple[Tensor, Tensor]


class ExportedForm(nn.Module):
    """One graph from images to both outputs: `(B, M, D, H, W)` to embeddings `(B, E)` and reconstructions `(B, M, D, H, W)`.

    A graph cannot raise an error for one participant: one who lacks a modality (NaN) gets NaN everywhere, of every network. Embedding
    from a subset takes the network itself.
    """

    def __init__(self, network: FusionAutoencoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Outputs:
        network = self.network
        code_map, skips = network.encode_scaled(network.scaling(image))
        embedding = code_map.flatten(1)
        reconstruction = network.scaling.inverse(network.decode_scaled(code_map, skips))
        lacks = ~modalities_present(image).all(dim=1)
        embedding = embedding.masked_fill(lacks[:, None], torch.nan)
        return embedding, reconstruction.masked_fill(lacks[:, None, None, None, None], torch.nan)


def probe_images(network: FusionAutoencoder, batch: int = 2, seed: int = 0) -> Tensor:
    """Images like those of training, `(B, M, D, H, W)`: the mean image and residuals of the size that participants have."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch, len(network.modalities), *network.spatial_size, generator=generator)
    return network.scaling.inverse(noise)


@torch.no_grad()
def eager_outputs(network: FusionAutoencoder, images: Tensor) -> Outputs:
    """What the network itself gives: embeddings and reconstructions."""
    return network.encode(images), network(images)


def largest_difference(found: Outputs, expected: Outputs) -> tuple[float, float]:
    """Of embeddings, relative to the largest expected value if that is above 1; of reconstructions, to each map's own largest."""
    codes = float((found[0] - expected[0]).abs().max() / expected[0].abs().max().clamp_min(1))
    apart = (found[1] - expected[1]).abs().amax(dim=(0, 2, 3, 4))
    largest = expected[1].abs().amax(dim=(0, 2, 3, 4)).clamp_min(torch.finfo(torch.float32).tiny)
    return codes, float((apart / largest).max())


def write_torchscript(
    network: FusionAutoencoder, file: Path, metadata: Mapping[str, Any], configs: Mapping[str, bytes]
) -> None:
    """The network scripted: call it for reconstructions, its `encode` for embeddings.

    Participants who lack a modality get NaN from the default network, and an error from those that need every modality.

    Args:
        network: in evaluation mode, on the CPU.
        file: its name stays inside, so the file must not be renamed.
        metadata: of the bundle, as MONAI's `ckpt_export` stores it.
        configs: file name -> JSON, likewise.
    """
    with _quiet():
        save_net_with_metadata(
            torch.jit.script(network), str(file), meta_values=dict(metadata), more_extra_files=dict(configs)
        )
    clean_torchscript(file)


def write_onnx(network: FusionAutoencoder, file: Path) -> None:
    """`ExportedForm` as ONNX, any batch size; input `image`, outputs `embedding` and `reconstruction`."""
    with _quiet():
        torch.onnx.export(
            _graph(network),
            (),
            str(file),
            input_names=["image"],
            output_names=["embedding", "reconstruction"],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    clean_onnx(file)


def write_torch_export(network: FusionAutoencoder, file: Path) -> None:
    """`ExportedForm` as `torch.export.save` writes it, any batch size; read it with `torch.export.load`."""
    with _quiet():
        torch.export.save(clean_program(_graph(network)), file)


def run_torchscript(file: Path, images: Tensor) -> Outputs:
    """Embeddings and reconstructions from `write_torchscript`'s file."""
    with _quiet(), torch.no_grad():
        scripted = torch.jit.load(str(file))
        return scripted.encode(images), scripted(images)


def run_onnx(file: Path, images: Tensor) -> Outputs:
    """Embeddings and reconstructions from `write_onnx`'s file, by onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    embedding, reconstruction = session.run(None, {"image": images.numpy()})
    return torch.from_numpy(embedding), torch.from_numpy(reconstruction)


def run_torch_export(file: Path, images: Tensor) -> Outputs:
    """Embeddings and reconstructions from `write_torch_export`'s file."""
    with _quiet(), torch.no_grad():
        return torch.export.load(file).module()(images)


RUNNERS: Mapping[str, Callable[[Path, Tensor], Outputs]] = {
    "torchscript": run_torchscript,
    "onnx": run_onnx,
    "torch_export": run_torch_export,
}


def _graph(network: FusionAutoencoder) -> torch.export.ExportedProgram:
    batch = {0: torch.export.Dim("batch", min=1, max=1024)}
    # a batch of one would be taken for a constant
    return torch.export.export(ExportedForm(network), (probe_images(network),), dynamic_shapes={"image": batch})


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the deprecations that torch utters of its own use, and the ONNX exporter's notes on each step."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
