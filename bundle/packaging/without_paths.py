"""Exported networks without the paths of the sources that they were made from, which name folders of whoever made them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import fx

from bundle.data.atomic import atomic_path

DEBUG = ".debug_pkl"


def clean_torchscript(file: Path) -> None:
    """Leave out TorchScript's tables of source lines, which it needs for messages alone."""
    with (
        atomic_path(file) as temporary,
        zipfile.ZipFile(file) as before,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as after,
    ):
        for name in before.namelist():
            if not name.endswith(DEBUG):
                after.writestr(zipfile.ZipInfo(name), before.read(name))


def clean_onnx(file: Path) -> None:
    """Empty what the exporter noted on nodes and values: stack traces, names of modules."""
    import onnx

    model = onnx.load(str(file))
    _clean_messages(model)
    with atomic_path(file) as temporary:
        onnx.save(model, str(temporary))


def clean_program(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Take stack traces from the nodes of the graph and of graphs in it; gives the same program."""
    for module in program.graph_module.modules():
        if isinstance(module, fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


def _clean_messages(message: Any) -> None:
    """Through all of a protocol buffer but its tensors."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None and field.message_type.name != "TensorProto":
            for part in value if _is_repeated(value) else [value]:
                _clean_messages(part)


def _is_repeated(value: Any) -> bool:
    return hasattr(value, "__len__") and not hasattr(value, "ListFields")
