"""What mapping keeps of all participants, also of those of earlier calls: table, page, and who is in the cohort."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.data.atomic import atomic_path
from bundle.data.json_files import read_json, write_json
from bundle.data.problems import InputProblems
from bundle.data.tables import write_table
from bundle.mapping.settings import MappingSettings
from bundle.mapping.steps import read_sidecar
from bundle.mapping.target import Target
from bundle.paths import COHORT, PARTICIPANTS
from bundle.report.mapping_page import MappedPerson, render_mapping

WORK, PAGE, TABLE, RECORD, SETTINGS = "work", "mapping.html", "mapping.tsv", "person.json", "settings.json"
ROWS = "participants_so_far.tsv"
"""Every row that `participants.tsv` ever had: whose maps are made again gets their columns back."""
MAPS = ("T1w", "FA", "NDI", "JAC")
NDI_WORDS = {
    "grid": "Watson-NODDI on a grid of tissues, Rician noise, tissue frequencies learnt from the brain",
    "amico": "Watson-NODDI by AMICO",
}


def write_record(page: MappedPerson, row: Mapping[str, Any]) -> None:
    """Leave what page and table say of a participant beside their steps, for later calls that map other participants."""
    told = {key: value for key, value in asdict(page).items() if key != "folder"}
    with atomic_path(page.folder / RECORD) as temporary:
        temporary.write_text(json.dumps({"page": told, "row": dict(row)}, indent=1))


def _records(folder: Path) -> list[tuple[MappedPerson, dict[str, Any]]]:
    """Page and row of all participants who were mapped or failed, also in earlier calls."""
    files = sorted((folder / WORK).glob(f"*/{RECORD}"))
    records = [(file.parent, read_sidecar(file)) for file in files]
    return [(MappedPerson(folder=work, **record["page"]), record["row"]) for work, record in records if record]


def write_page(folder: Path, target: Target, settings: MappingSettings) -> None:
    """Table and page of all participants, `folder` being `0_mapped`."""
    records = _records(folder)
    write_table(pd.DataFrame([row for _, row in records]), folder / TABLE)
    told = {
        "Template": target.name,
        "Registration": f"{settings.registration}, at {target.template.spacing.mean():g} mm",
        "Network's grid": f"{' x '.join(map(str, target.shape))} voxels of {np.linalg.norm(target.affine[:3, 0]):g} mm",
        "JAC": f"{settings.maps.jacobian} determinants, head size {settings.maps.jacobian_affine}",
        "T1w": "the scanner's units" if settings.maps.t1w_white_matter is None else f"white matter is {settings.maps.t1w_white_matter:g}",
        "FA": "dipy, weighted least squares, b up to 1500 s/mm2",
        "NDI": NDI_WORDS[settings.noddi],
    }  # fmt: skip
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(render_mapping([page for page, _ in records], told), encoding="utf-8")


def refuse_other_settings(folder: Path, names: Sequence[str], target: Target, settings: MappingSettings) -> None:
    """Keep one cohort to one way of making maps: its embeddings would else tell settings apart, not participants.

    Args:
        folder: `0_mapped`; what its maps were made with is in `settings.json`.
        names: who is mapped now, earlier maps of whom do not count.
        target, settings: as they are now.

    Raises:
        InputProblems: if others were mapped with other settings.
    """
    now = {
        "template": target.words,
        "grid": {"shape": list(target.shape), "affine": target.affine.tolist()},
        "registration": settings.registration,
        "noddi": settings.noddi,
        "tissues": asdict(settings.tissues),
        "maps": asdict(settings.maps),
    }
    now = json.loads(json.dumps(now))
    before = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else now
    others = [
        page.participant_id for page, _ in _records(folder) if not page.failure and page.participant_id not in names
    ]
    changed = [_change(key, before.get(key), value) for key, value in now.items() if before.get(key) != value]
    if others and changed:
        raise InputProblems("Mapping", [f"{folder} holds {len(others)} participants mapped otherwise ({', '.join(others[:5])}): {', '.join(changed)}. Give another --output_dir, or map all participants again."])  # fmt: skip
    for name in names if changed else []:
        (folder / WORK / name / RECORD).unlink(missing_ok=True)  # else a run that is broken off would leave both kinds
    write_json(now, folder / SETTINGS)


def _change(key: str, before: Any, now: Any) -> str:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return ", ".join(_change(inner, before.get(inner), value) for inner, value in now.items() if before.get(inner) != value)  # fmt: skip
    is_short = len(f"{before}{now}") < 80
    return f"{key} was {before}, is {now}" if is_short else f"another {key}"


def write_participants(folder: Path, waiting: Collection[str] = ()) -> list[str]:
    """The ids of all participants who were mapped to the end and whose maps are all there, also from earlier calls.

    Columns that a participant added to `participants.tsv`, such as `family_id`, stay, also of participants who are not listed for a while.

    Args:
        folder: `0_mapped`.
        waiting: who is yet to be mapped again and not listed until then.
    """
    cohort, names = folder / COHORT, []
    for page, row in _records(folder):
        name = page.participant_id
        maps = [cohort / name / f"{name}_{m}.nii.gz" for m in MAPS if row.get(m)]
        if not page.failure and name not in waiting and all(file.is_file() for file in maps):
            names.append(name)
    rows = _rows_so_far(folder)
    write_table(rows, folder / WORK / ROWS)
    table = pd.DataFrame({"participant_id": names}, dtype=str).merge(rows, how="left", on="participant_id")
    write_table(table, cohort / PARTICIPANTS)
    return names


def _rows_so_far(folder: Path) -> pd.DataFrame:
    """Rows of `participants.tsv` as it is, then those that it had before; columns as they are."""
    files = (folder / COHORT / PARTICIPANTS, folder / WORK / ROWS)
    read = {"sep": "\t", "dtype": str, "index_col": False, "keep_default_na": False, "encoding": "utf-8-sig"}
    tables = [pd.read_csv(file, **read) for file in files if file.is_file()]
    tables = [table for table in tables if "participant_id" in table]
    if not tables:
        return pd.DataFrame({"participant_id": []}, dtype=str)
    return pd.concat(tables).drop_duplicates("participant_id")[tables[0].columns]
