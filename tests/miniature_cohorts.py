"""Small source trees with the names, headers and tables of the real ones; images are those of the synthetic cohort."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from tests.analytic_warps import AnalyticWarp
from tests.conftest import PATTERNS


def people_of(cohort: Path, n_people: int) -> pd.DataFrame:
    table = pd.read_csv(cohort / "participants.tsv", sep="\t", keep_default_na=False).head(n_people)
    items = pd.read_csv(cohort / "phenotypes.tsv", sep="\t")
    return table.merge(items, on="participant_id")


def put(cohort: Path, name: str, modality: str, target: Path, radiological: bool = False, raw: bool = False) -> None:
    """A map of a synthetic participant at its place; FSL's tools store the first axis from right to left.

    With `raw` it is the exponential: determinants of log Jacobians.
    """
    source = cohort / PATTERNS[modality].format(participant_id=name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not radiological and not raw:
        shutil.copy(source, target)
        return
    image = nib.load(source)
    if raw:
        image = nib.Nifti1Image(np.exp(image.get_fdata(dtype=np.float32)), image.affine)
    if radiological:
        image = image.as_reoriented(np.array([[0, -1], [1, 1], [2, 1]]))
    nib.save(image, target)


def warp_of(cohort: Path, name: str, number: int) -> AnalyticWarp:
    """A participant's, on the cohort's grid."""
    image = nib.load(cohort / PATTERNS["T1w"].format(participant_id=name))
    return AnalyticWarp.draw(number, image.shape, image.affine)


def hcp(cohort: Path, folder: Path, n_people: int = 24, is_native: bool = False) -> Path:
    """`images/<id>/MNINonLinear/...`, `tables/unrestricted_*.csv` and `RESTRICTED_*.csv`, `derivatives/<id>/FA.nii.gz`.

    With `is_native`, FA and NDI are where they were fitted, in `T1w/Diffusion`, and there are no Jacobians.
    """
    people = people_of(cohort, n_people)
    ids = [100307 + 101 * number for number in range(len(people))]
    for number, (subject, name) in enumerate(zip(ids, people["participant_id"], strict=True)):
        unpacked = folder / "images" / (str(subject) if number % 2 else f"{subject}_3T_Structural_preproc/{subject}")
        put(cohort, name, "T1w", unpacked / "MNINonLinear" / "T1w_restore_brain.nii.gz", radiological=True)
        if is_native:
            known = warp_of(cohort, name, number)
            maps = {m: cohort / PATTERNS[m].format(participant_id=name) for m in ("T1w", "FA", "NDI")}
            native = known.to_native(maps["T1w"], unpacked / "T1w" / "T1w_acpc_dc_restore_brain.nii.gz", True)
            diffusion = Path(str(unpacked).replace("Structural", "Diffusion")) / "T1w" / "Diffusion"
            known.to_native(maps["FA"], diffusion / "dti_FA.nii.gz", True)
            known.to_native(maps["NDI"], diffusion / "AMICO" / "NODDI" / "fit_NDI.nii.gz")
            known.write_fsl(unpacked / "MNINonLinear" / "xfms" / "acpc_dc2standard.nii.gz", native)
            continue
        put(
            cohort,
            name,
            "JAC",
            unpacked / "MNINonLinear" / "xfms" / "NonlinearRegJacobians.nii.gz",
            radiological=True,
            raw=True,
        )
        put(cohort, name, "FA", folder / "derivatives" / str(subject) / "dti_FA.nii.gz")
        put(cohort, name, "NDI", folder / "derivatives" / str(subject) / "NODDI_ICVF.nii.gz")
    ages = people["age_years"].astype(float)
    unrestricted = pd.DataFrame(
        {
            "Subject": ids,
            "Release": "S1200",
            "Gender": people["sex"],
            "Age": np.select([ages < 26, ages < 31, ages < 36], ["22-25", "26-30", "31-35"], "36+"),
            "3T_Full_MR_Compl": "true",
            **{name: people[name] for name in ("PicVocab_Unadj", "ReadEng_Unadj", "PMAT24_A_CR", "Strength_Unadj")},
        }
    )
    # two participants have no scan
    extra = pd.DataFrame({"Subject": [999001, 999002], "Release": "S1200", "Gender": ["F", "M"], "Age": "26-30"})
    zygosity = people["zygosity"]
    restricted = pd.DataFrame(
        {
            "Subject": ids,
            "Age_in_Yrs": ages.round().astype(int),
            "HasGT": "true",
            "ZygositySR": zygosity.replace({"DZ": "NotMZ", "n/a": "NotTwin"}),
            "ZygosityGT": zygosity.replace({"n/a": " "}).where(np.arange(len(people)) % 5 != 0, " "),
            "Family_ID": [f"5{family[4:]}_8{family[4:]}" for family in people["family_id"]],
            "Mother_ID": [f"5{family[4:]}" for family in people["family_id"]],
            "Father_ID": [f"8{family[4:]}" for family in people["family_id"]],
            "Handedness": 65,
            **{name: people[name] for name in ("BPSystolic", "BPDiastolic", "ASR_Aggr_Raw", "ASR_Rule_Raw")},
        }
    )
    (folder / "tables").mkdir(parents=True)
    pd.concat([unrestricted, extra]).to_csv(folder / "tables" / "unrestricted_someone_1_2_2026.csv", index=False)
    restricted.to_csv(folder / "tables" / "RESTRICTED_someone_1_2_2026.csv", index=False)
    return folder


def ukb(cohort: Path, folder: Path, n_people: int = 24, n_twice: int = 2) -> Path:
    """`images/<eid>_20252_<instance>_0/T1/...`, `tables/ukb*.csv` and the list of relatives; some participants came twice.

    NDI is in native space alone, with FNIRT's warp of FA: its coefficients, where there is fslpy to read them.
    """
    people = people_of(cohort, n_people)
    ids = [str(1000015 + 37 * number) for number in range(len(people))]
    for number, (eid, name) in enumerate(zip(ids, people["participant_id"], strict=True)):
        for instance in (2, 3)[: 2 if number < n_twice else 1]:
            structural = folder / "images" / f"{eid}_20252_{instance}_0" / "T1"
            diffusion = folder / "images" / f"{eid}_20250_{instance}_0" / "dMRI"
            fa = diffusion / "TBSS" / "FA"
            put(cohort, name, "T1w", structural / "T1_brain_to_MNI.nii.gz", radiological=True)
            put(
                cohort,
                name,
                "JAC",
                structural / "transforms" / "T1_to_MNI_warp_jac.nii.gz",
                radiological=True,
                raw=True,
            )
            put(cohort, name, "FA", fa / "dti_FA_to_MNI.nii.gz", radiological=True)
            known = warp_of(cohort, name, number)
            native = known.to_native(fa / "dti_FA_to_MNI.nii.gz", diffusion / "dMRI" / "dti_FA.nii.gz", True)
            ndi = cohort / PATTERNS["NDI"].format(participant_id=name)
            known.to_native(ndi, diffusion / "dMRI" / "NODDI_ICVF.nii.gz", True)
            write = known.write_fsl if find_spec("fsl") is None else known.write_fnirt
            write(fa / "dti_FA_to_MNI_warp.nii.gz", native)
    table = pd.DataFrame(
        {
            "eid": ids,
            "31-0.0": (people["sex"] == "M").astype(int),
            "54-2.0": people["site"].map({"A": 11025, "B": 11027}),
            "54-3.0": 11026,
            "21003-2.0": people["age_years"].astype(float).round() + 30,
            "21003-3.0": people["age_years"].astype(float).round() + 33,
            "20016-2.0": people["PMAT24_A_CR"],
            "4080-2.0": people["BPSystolic"],
            "46-2.0": people["Strength_Unadj"],
            "1558-2.0": [-3, *np.random.default_rng(0).integers(1, 7, len(people) - 1)],  # -3: prefer not to answer
        }
    )
    (folder / "tables").mkdir(parents=True)
    table.to_csv(folder / "tables" / "ukb12345.csv", index=False)
    families = people["family_id"]
    pairs = [(a, b) for a in range(len(ids)) for b in range(a) if families[a] == families[b]]
    lines = [f"{ids[a]} {ids[b]} 0.01 0.02 0.25" for a, b in pairs] + [f"{ids[0]} {ids[-1]} 0.01 0.02 0.05"]
    (folder / "tables" / "ukb12345_rel_s488147.dat").write_text("ID1 ID2 HetHet IBS0 Kinship\n" + "\n".join(lines))
    return folder


def bids(
    cohort: Path,
    folder: Path,
    n_people: int = 24,
    n_sessions: int = 0,
    space: str = "MNI152NLin2009cAsym",
    is_native: bool = False,
) -> Path:
    """A BIDS folder with derivatives of fMRIPrep, QSIPrep and QSIRecon; no participant wrote Jacobians.

    QSIPrep's native space and warp are not fMRIPrep's. With `is_native`, FA and NDI are in that space alone.
    """
    people = people_of(cohort, n_people)
    names = [f"sub-{number + 1:02d}" for number in range(len(people))]
    for number, (subject, name) in enumerate(zip(names, people["participant_id"], strict=True)):
        known, by_qsiprep = warp_of(cohort, name, number), warp_of(cohort, name, 1000 + number)
        for session in [f"ses-{number + 1}" for number in range(n_sessions)] or [""]:
            inside = Path(subject) / session
            stem = "_".join(filter(None, (subject, session)))
            anat = folder / "derivatives" / "fmriprep" / inside / "anat"
            recon = folder / "derivatives" / "qsirecon" / "derivatives"
            put(cohort, name, "T1w", anat / f"{stem}_space-{space}_res-1_desc-preproc_T1w.nii.gz")
            head = nib.load(anat / f"{stem}_space-{space}_res-1_desc-preproc_T1w.nii.gz")
            voxels = head.get_fdata(dtype=np.float32)
            mask = nib.Nifti1Image((voxels > 0).astype(np.uint8), head.affine)
            in_template = anat / f"{stem}_space-{space}_res-1_desc-brain_mask.nii.gz"
            nib.save(mask, in_template)
            known.to_native(in_template, anat / f"{stem}_desc-brain_mask.nii.gz", is_mask=True)
            known.write_itk(anat / f"{stem}_from-T1w_to-{space}_mode-image_xfm.h5")
            scalp = np.where(voxels > 0, voxels, 40 + 10 * np.random.default_rng(0).random(voxels.shape))
            nib.save(
                nib.Nifti1Image(scalp.astype(np.float32), head.affine),
                anat / f"{stem}_space-{space}_res-1_desc-preproc_T1w.nii.gz",
            )
            put(cohort, name, "T1w", anat / f"{stem}_desc-preproc_T1w.nii.gz")
            fa, ndi = (
                recon / f"qsirecon-{suffix}" / inside / "dwi" / f"{stem}_dir-AP" for suffix in ("DIPYDKI", "NODDI")
            )
            maps = {"FA": (fa, "model-tensor_param-fa"), "NDI": (ndi, "model-noddi_param-icvf")}
            for modality, (start, words) in maps.items():
                by_qsiprep.to_native(
                    cohort / PATTERNS[modality].format(participant_id=name),
                    start.with_name(f"{start.name}_space-ACPC_{words}_dwimap.nii.gz"),
                )
                if not is_native:
                    put(cohort, name, modality, start.with_name(f"{start.name}_space-{space}_{words}_dwimap.nii.gz"))
            put(cohort, name, "NDI", ndi.with_name(f"{ndi.name}_space-{space}_model-noddi_param-icvf_desc-modulated_dwimap.nii.gz"))  # fmt: skip
            preprocessed = folder / "derivatives" / "qsiprep" / subject / "anat"
            by_qsiprep.to_native(
                in_template, preprocessed / f"{subject}_space-ACPC_desc-brain_mask.nii.gz", is_mask=True
            )
            by_qsiprep.write_itk(preprocessed / f"{subject}_from-ACPC_to-{space}_mode-image_xfm.h5")
    table = people[["sex", "site"]].assign(participant_id=names, age=people["age_years"], family_id=people["family_id"])
    (folder / "phenotype").mkdir(parents=True)
    table.set_index("participant_id").to_csv(folder / "participants.tsv", sep="\t")
    items = people[["HbA1C", "PSQI_Score", "PercStress_Unadj"]].assign(participant_id=names)
    items.set_index("participant_id").to_csv(folder / "phenotype" / "health.tsv", sep="\t", na_rep="n/a")
    return folder


def table(cohort: Path, folder: Path, n_people: int = 24) -> Path:
    """A table of paths; Jacobians are logarithms."""
    people = people_of(cohort, n_people)
    rows = []
    for name in people["participant_id"]:
        paths = {modality: f"maps/{name.replace('-', '')}_{modality.lower()}.nii.gz" for modality in PATTERNS}
        for modality, path in paths.items():
            put(cohort, name, modality, folder / path)
        rows.append({"participant_id": name, **paths})
    covariates = people[["participant_id", "family_id", "zygosity", "sex", "site", "HbA1C"]].assign(
        age=people["age_years"]
    )
    pd.DataFrame(rows).merge(covariates, on="participant_id").to_csv(folder / "participants.csv", index=False)
    people[["participant_id", "PSQI_Score", "PercStress_Unadj", "BPSystolic"]].to_csv(
        folder / "phenotype.csv", index=False
    )
    return folder
