import json
import os
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from bundle.data.datalist import items_from_datalist, straddling_families
from bundle.data.people import people_table
from bundle.data.problems import InputProblems
from bundle.phenotypes.inputs import items_file
from bundle.report.cohort_flow import cohort_flow
from bundle.report.results import Results, read_results
from tests import miniature_cohorts
from tests.conftest import PATTERNS, ROOT, root_cause, run_stage, train
from tests.stages.test_cluster import QUICK
from tests.stages.test_phenotypes import OPTIONS as PHENOTYPES

MODALITIES = ["T1w", "FA", "NDI", "JAC"]
WHERE = {
    "hcp": {"dataset_dir": "images", "tables_dir": "tables", "derivatives": "derivatives"},
    "ukb": {"dataset_dir": "images", "tables_dir": "tables"},
    "bids": {"dataset_dir": ""},
    "table": {"dataset_dir": ""},
}
OPTIONS = {"ukb": {"session": "first"}}


def prepare(source, folder, output, **options):
    layout = ROOT / "configs" / "layouts" / f"{source}.yaml"
    paths = {name: str(folder / part) for name, part in WHERE[source].items()}
    run_stage("preparing", output, **({"layout": f"%{layout}"} | paths | OPTIONS.get(source, {}) | options))
    return output / "0_cohort"


def refused(*arguments, **options):
    with pytest.raises(RuntimeError) as caught:
        prepare(*arguments, **options)
    error = root_cause(caught.value)
    assert isinstance(error, InputProblems)
    return str(error)


@pytest.fixture(scope="module")
def sources(tiny_cohort, tmp_path_factory):
    """The four source trees; read only."""
    folder = tmp_path_factory.mktemp("sources")
    for name in WHERE:
        getattr(miniature_cohorts, name)(tiny_cohort, folder / name)
    return folder


def log_table():
    """The layout of a table whose Jacobians are logarithms."""
    layout = yaml.safe_load((ROOT / "configs" / "layouts" / "table.yaml").read_text())
    layout["images"]["JAC"]["jacobian"]["kind"] = "log"
    return layout


@pytest.fixture(scope="module")
def prepared(sources, tmp_path_factory):
    """Source -> what preparing wrote."""
    output = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        found = {}
        for name in WHERE:
            options = {"layout": log_table()} if name == "table" else {}
            found[name] = prepare(name, sources / name, output / name, **options)
    return found


def sections_of(folder):
    return items_from_datalist(folder / "datalist.json", MODALITIES)


def read(file):
    return pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False).set_index("participant_id")


@pytest.mark.parametrize("source", WHERE)
def test_every_source_becomes_a_datalist_that_keeps_families_together(prepared, source):
    sections = sections_of(prepared[source])
    assert sum(map(len, sections.values())) == 24 and all(sections.values())
    assert straddling_families(sections) == []
    content = json.loads((prepared[source] / "datalist.json").read_text())
    assert content["training"][0]["space"] == content["space"]


@pytest.mark.parametrize("source", WHERE)
def test_families_are_those_of_the_source(prepared, source, tiny_cohort):
    truth = read(tiny_cohort / "participants.tsv")["family_id"].to_numpy()
    own = read(prepared[source] / "participants.tsv")["family_id"].to_numpy()
    same = truth[:, None] == truth[None]
    if source == "ukb":  # its list of relatives joins the families of the first and the last
        joined = np.isin(truth, [truth[0], truth[-1]])
        same |= joined[:, None] & joined[None]
        labels = np.where(own == "n/a", np.arange(len(own)).astype(str), own)
        own = labels
    assert ((own[:, None] == own[None]) == same).all()


def of_person(prepared, name, modality):
    items = [item for items in sections_of(prepared).values() for item in items]
    (own,) = [item for item in items if item["participant_id"] == name]
    return nib.as_closest_canonical(nib.load(own[modality]))


@pytest.mark.parametrize("source", ["hcp", "ukb", "table"])
def test_jacobians_become_logarithms_whatever_they_were(prepared, source, tiny_cohort):
    name = read(prepared[source] / "participants.tsv").index[0]
    made = of_person(prepared[source], name, "JAC")
    log = nib.load(tiny_cohort / PATTERNS["JAC"].format(participant_id="sub-0001")).get_fdata()
    assert np.allclose(made.get_fdata(), log, atol=1e-3)


@pytest.mark.parametrize("number", [0, 23])
def test_where_nobody_wrote_jacobians_they_are_those_of_each_persons_warp(prepared, number, sources, tiny_cohort):
    subject = f"sub-{number + 1:02d}"
    known = miniature_cohorts.warp_of(tiny_cohort, f"sub-{number + 1:04d}", number)
    anat = sources / "bids" / "derivatives" / "fmriprep" / subject / "anat"
    brain = nib.load(anat / f"{subject}_space-MNI152NLin2009cAsym_res-1_desc-brain_mask.nii.gz").get_fdata()
    expected = known.log_jacobian(brain)
    made = of_person(prepared["bids"], subject, "JAC")
    inside = (slice(1, -1),) * 3
    assert expected[inside].std() > 0.03 and np.allclose(made.affine, known.grid)
    assert np.abs(made.get_fdata() - expected)[inside].max() < 1e-3


def test_a_map_in_native_space_is_brought_to_the_template(prepared, tiny_cohort):
    made = of_person(prepared["ukb"], "1000015", "NDI").get_fdata()
    truth = nib.load(tiny_cohort / PATTERNS["NDI"].format(participant_id="sub-0001")).get_fdata()
    brain = truth > 0
    # it was interpolated twice, on a grid as coarse as this
    assert np.corrcoef(made[brain], truth[brain])[0, 1] > 0.85
    assert abs(made[brain].mean() - truth[brain].mean()) < 0.05


def test_what_was_derived_of_what_is_said(prepared):
    notes = json.loads((prepared["bids"] / "preparation.json").read_text())["notes"]
    assert "JAC: Jacobians are log determinants without the affine part; they were derived of the warp {participant_id}*_from-T1w_to-{space}_mode-image_xfm.h5 (24 participants), less the affine that fits it best in the brain." in notes  # fmt: skip
    notes = json.loads((prepared["ukb"] / "preparation.json").read_text())["notes"]
    assert "NDI: brought to the template from native space, NODDI_ICVF.nii.gz by dti_FA_to_MNI_warp.nii.gz (24 participants)." in notes  # fmt: skip
    assert "ukb12345.csv: codes for a missing value (-1, -3, -121, -818) became missing, 1 in all." in notes
    assert read(prepared["ukb"] / "phenotypes.tsv")["1558-2.0"].tolist()[0] == "n/a"
    check = pd.read_csv(prepared["ukb"].parent / "0_checked" / "check.tsv", sep="\t", keep_default_na=False)
    own = check[(check["participant_id"] == 1000015) & (check["modality"] == "NDI")]
    assert own[["status", "reason"]].to_numpy().tolist() == [["ok", "preparing derives it of this file"]]


def test_hcp_maps_that_stayed_in_native_space_and_jacobians_are_derived(tiny_cohort, tmp_path):
    miniature_cohorts.hcp(tiny_cohort, tmp_path / "hcp", 12, is_native=True)
    folder = prepare("hcp", tmp_path / "hcp", tmp_path / "out", voxels="headers")
    known = miniature_cohorts.warp_of(tiny_cohort, "sub-0001", 0)
    brain = nib.load(tiny_cohort / PATTERNS["T1w"].format(participant_id="sub-0001")).get_fdata()
    made = of_person(folder, "100307", "JAC").get_fdata()
    inside = (slice(1, -1),) * 3
    assert np.abs(made - known.log_jacobian(brain))[inside].max() < 1e-3
    for modality in ("FA", "NDI"):
        truth = nib.load(tiny_cohort / PATTERNS[modality].format(participant_id="sub-0001")).get_fdata()
        found = of_person(folder, "100307", modality).get_fdata()
        assert np.corrcoef(found[truth > 0], truth[truth > 0])[0, 1] > 0.85


def test_qsirecons_native_maps_go_by_qsipreps_warp(tiny_cohort, tmp_path):
    miniature_cohorts.bids(tiny_cohort, tmp_path / "bids", 12, n_sessions=2, is_native=True)
    folder = prepare("bids", tmp_path / "bids", tmp_path / "out", session="2", voxels="headers")
    for modality in ("FA", "NDI"):
        truth = nib.load(tiny_cohort / PATTERNS[modality].format(participant_id="sub-0001")).get_fdata()
        found = of_person(folder, "sub-01", modality).get_fdata()
        assert np.corrcoef(found[truth > 0], truth[truth > 0])[0, 1] > 0.85
    notes = " ".join(json.loads((folder / "preparation.json").read_text())["notes"])
    assert "_space-ACPC_model-noddi_param-icvf_dwimap.nii.gz by {participant_id}*_from-ACPC_to-{space}_mode-image_xfm.h5 (12 participants)" in notes  # fmt: skip


def test_warps_that_are_missing_or_broken_are_named_with_their_person(tiny_cohort, tmp_path):
    tree = miniature_cohorts.bids(tiny_cohort, tmp_path / "bids", 12)

    def xfm(number):
        anat = tree / "derivatives" / "fmriprep" / f"sub-{number:02d}" / "anat"
        return anat / f"sub-{number:02d}_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5"

    xfm(1).unlink()
    (xfm(2).parent / "sub-02_desc-brain_mask.nii.gz").unlink()
    text = refused("bids", tree, tmp_path / "out", voxels="headers")
    assert "sub-01, JAC: no JAC: keep from-T1w_to-MNI..." in text
    assert "sub-02, JAC: no JAC; it could be derived, but there is no native ({derivatives}/fmriprep/" in text
    xfm(3).write_bytes(xfm(3).read_bytes()[:2000])
    xfm(5).write_bytes(b"")
    text = refused("bids", tree, tmp_path / "out", voxels="headers", incomplete="leave_out")
    for number in (3, 5):
        assert f"sub-{number:02d}, JAC: {xfm(number)}: the warp cannot be read" in text
    assert not (tmp_path / "out" / "0_cohort" / "datalist.json").exists()


def test_folds_of_a_derived_jacobian_are_cut_off_and_counted(tiny_cohort, tmp_path):
    tree = miniature_cohorts.bids(tiny_cohort, tmp_path / "bids", 12)
    known = miniature_cohorts.warp_of(tiny_cohort, "sub-0001", 0)
    torn = known.warp.displacement.copy()
    torn[0, 15, 16, 12] += 14
    anat = tree / "derivatives" / "fmriprep" / "sub-01" / "anat"
    known.write_itk(anat / "sub-01_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5", torn)
    folder = prepare("bids", tree, tmp_path / "out", voxels="headers")
    made = of_person(folder, "sub-01", "JAC").get_fdata()
    assert made.min() == pytest.approx(np.log(0.01), abs=1e-4)
    notes = json.loads((folder / "preparation.json").read_text())["notes"]
    assert "JAC: 1 voxels had determinants outside [0.01, 100] and were set to its ends." in notes


def test_skull_is_taken_off_by_the_mask_of_the_source(prepared, tiny_cohort):
    (first,) = [i for items in sections_of(prepared["bids"]).values() for i in items if i["participant_id"] == "sub-01"]
    brain = nib.load(tiny_cohort / PATTERNS["T1w"].format(participant_id="sub-0001")).get_fdata()
    assert np.allclose(nib.load(first["T1w"]).get_fdata(), brain, atol=0.5)


def test_nan_outside_the_mask_of_the_source_is_no_reason_to_refuse(tiny_cohort, tmp_path):
    tree = miniature_cohorts.bids(tiny_cohort, tmp_path / "bids", 12)
    files = list((tree / "derivatives" / "fmriprep").rglob("*_space-*desc-preproc_T1w.nii.gz"))
    assert files
    for file in files:
        image = nib.load(file)
        voxels = image.get_fdata(dtype=np.float32)
        voxels[0] = np.nan
        nib.save(nib.Nifti1Image(voxels, image.affine), file)
    layout = yaml.safe_load((ROOT / "configs" / "layouts" / "bids.yaml").read_text())
    layout["images"] = {"T1w": layout["images"]["T1w"]}
    folder = prepare("bids", tree, tmp_path / "out", layout=layout, modalities=["T1w"])
    sections = items_from_datalist(folder / "datalist.json", ["T1w"])
    assert all(np.isfinite(nib.load(i["T1w"]).get_fdata()).all() for items in sections.values() for i in items)


@pytest.mark.parametrize("kept", [0, 11])
def test_whoever_lacks_the_mask_that_the_layout_names_is_refused(tiny_cohort, tmp_path, kept):
    tree = miniature_cohorts.bids(tiny_cohort, tmp_path / "bids", 12)
    masks = sorted((tree / "derivatives" / "fmriprep").rglob("*_space-*desc-brain_mask.nii.gz"))
    for file in masks[kept:]:
        file.unlink()
    layout = yaml.safe_load((ROOT / "configs" / "layouts" / "bids.yaml").read_text())
    layout["images"] = {"T1w": layout["images"]["T1w"]}
    text = refused("bids", tree, tmp_path / "out", layout=layout, modalities=["T1w"], voxels="headers")
    assert text.count("T1w: no brain mask: expected {derivatives}/fmriprep/") == 12 - kept and "sub-12" in text


@pytest.mark.parametrize("source", ["bids", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hcp", "ukb", "table"))])  # fmt: skip
def test_every_source_runs_through_to_the_report(prepared, source, tmp_path):
    cohort = prepared[source]
    train(cohort / "datalist.json", tmp_path, max_epochs=1, num_workers=1)
    names = [item["participant_id"] for items in sections_of(cohort).values() for item in items]
    people = people_table(names, str(tmp_path), None, ["sex", "site"])
    assert people["age_years"].between(20, 80).all() and set(people["sex"]) == {"F", "M"}
    assert items_file(str(tmp_path), None) == cohort / "phenotypes.tsv"
    run_stage("evaluating", tmp_path)
    run_stage("embedding", tmp_path, dataset_dir=str(cohort / "datalist.json"))
    run_stage("clustering", tmp_path, **QUICK | {"covariates": ["sex"]})
    run_stage("phenotyping", tmp_path, dictionary=str(cohort / "items.yaml"), covariates=["sex"], **PHENOTYPES)
    run_stage("reporting", tmp_path)
    _words, steps, notes = cohort_flow(read_results(str(tmp_path)))
    assert steps.rows[-1][:2] == ("analysed", "24") and any("log determinants" in note for note in notes.sentences)
    for table in ("4_embeddings/embeddings.tsv", "5_clusters/strata.tsv", "6_phenotypes/scores.tsv"):
        assert set(read(tmp_path / table).index) == set(names)
    page = (tmp_path / "7_report" / "report.html").read_text()
    assert all(
        json.loads((tmp_path / stage / "summary.json").read_text())["headline"] in page
        for stage in ("5_clusters", "6_phenotypes")
    )


@pytest.mark.parametrize("source", ["", "cohort", "list.json"])
def test_report_has_no_flow_without_preparing(tmp_path, source):
    assert cohort_flow(Results(str(tmp_path), [], datalist={"dataset_dir": str(tmp_path / source)})) == []


RESTRICTED_WORDS = r"Family_ID|Mother_ID|\b5\d{4}_8|ASR_|BPSystolic|Zygosity|zygosity|Age_in_Yrs|\bMZ\b"


def test_restricted_columns_are_written_nowhere(prepared):
    files = [file for file in prepared["hcp"].parent.rglob("*") if file.suffix in (".tsv", ".json", ".yaml", ".html")]
    assert len(files) >= 8
    for file in files:
        assert re.findall(RESTRICTED_WORDS, file.read_text()) == [], file
    table = read(prepared["hcp"] / "participants.tsv")
    assert list(table) == ["family_id", "age_years", "sex"]
    assert set(table["age_years"]) <= {"23.5", "28", "33", "36"}
    assert table["family_id"].str.fullmatch(r"family-\d{5}").all()
    assert not (prepared["hcp"] / "restricted").exists()


def test_restricted_columns_can_be_kept_apart(sources, tmp_path):
    folder = prepare("hcp", sources / "hcp", tmp_path, restricted="local")
    own = folder / "restricted"
    assert oct(own.stat().st_mode)[-3:] == "700" and (own / ".gitignore").read_text() == "*\n"
    table = read(own / "participants.tsv")
    source = pd.read_csv(sources / "hcp" / "tables" / "RESTRICTED_someone_1_2_2026.csv", dtype=str).set_index("Subject")
    assert (table["age_years"] == source.loc[table.index, "Age_in_Yrs"]).all()
    assert set(table["zygosity"]) <= {"MZ", "DZ", "n/a"} and "MZ" in set(table["zygosity"])
    assert {"BPSystolic", "ASR_Aggr_Raw", "PicVocab_Unadj"} <= set(read(own / "phenotypes.tsv"))
    assert re.findall(RESTRICTED_WORDS, (folder / "participants.tsv").read_text()) == []
    assert re.findall(RESTRICTED_WORDS, (folder / "phenotypes.tsv").read_text()) == []
    prepare("hcp", sources / "hcp", tmp_path)
    assert not own.exists()


def test_twins_who_do_not_know_are_told_by_genotype_first(sources, tmp_path, tiny_cohort):
    folder = prepare("hcp", sources / "hcp", tmp_path, restricted="local", voxels="headers")
    truth = read(tiny_cohort / "participants.tsv")["zygosity"].to_numpy()
    assert (read(folder / "restricted" / "participants.tsv")["zygosity"].to_numpy() == truth).all()


def test_people_without_scans_are_counted(prepared):
    flow = json.loads((prepared["hcp"] / "preparation.json").read_text())["flow"]
    assert flow == [
        ["in the tables or with images", 26, ""],
        ["with images", 24, "none of the maps is on disk"],
        ["analysed", 24, ""],
    ]


def test_without_the_restricted_table_there_is_a_warning(tiny_cohort, tmp_path):
    miniature_cohorts.hcp(tiny_cohort, tmp_path / "hcp", 12)
    (tmp_path / "hcp" / "tables" / "RESTRICTED_someone_1_2_2026.csv").unlink()
    prepare("hcp", tmp_path / "hcp", tmp_path / "out")
    assert "twins may be on both sides" in (tmp_path / "out" / "0_checked" / "check.tsv").read_text()


def test_two_sessions_are_refused_until_a_rule_is_given(sources, tmp_path):
    text = refused("ukb", sources / "ukb", tmp_path, session=None)
    assert text.count("has 2 sessions (2, 3): choose by --session first") == 2


@pytest.mark.parametrize(("rule", "session", "years"), [("last", "3", 33), ("first", "2", 30)])
def test_one_session_is_taken_with_its_own_covariates(sources, tmp_path, tiny_cohort, rule, session, years):
    folder = prepare("ukb", sources / "ukb", tmp_path, session=rule, voxels="headers")
    everybody = [item for items in json.loads((folder / "datalist.json").read_text()).values() if isinstance(items, list) for item in items]  # fmt: skip
    (first,) = [item for item in everybody if isinstance(item, dict) and item["participant_id"] == "1000015"]
    assert first["session"] == session and f"_20252_{session}_0" in first["T1w"]
    age = float(read(tiny_cohort / "participants.tsv")["age_years"].iloc[0])
    assert float(read(folder / "participants.tsv")["age_years"].iloc[0]) == round(age) + years


def test_bids_sessions_are_taken_by_label(tiny_cohort, tmp_path):
    miniature_cohorts.bids(tiny_cohort, tmp_path / "bids", 12, n_sessions=2)
    assert "has 2 sessions (1, 2)" in refused("bids", tmp_path / "bids", tmp_path / "out")
    folder = prepare("bids", tmp_path / "bids", tmp_path / "out", session="2", voxels="headers")
    assert "/ses-2/dwi/sub-01_ses-2" in (folder / "datalist.json").read_text()


def test_people_of_other_sessions_are_told_theirs_and_a_session_of_nobody_is_refused(tiny_cohort, tmp_path):
    miniature_cohorts.ukb(tiny_cohort, tmp_path / "ukb", 16, n_twice=12)
    folder = prepare("ukb", tmp_path / "ukb", tmp_path / "out", session="3", voxels="headers")
    flow = json.loads((folder / "preparation.json").read_text())["flow"]
    assert flow[1] == ["with session 3", 12, "they have other sessions"] and flow[-1][1] == 12
    check = pd.read_csv(tmp_path / "out" / "0_checked" / "check.tsv", sep="\t", keep_default_na=False)
    left_out = check[check["status"] == "left out"]
    assert set(left_out["reason"]) == {"there is no session 3, only 2"} and len(left_out) == 4
    text = refused("ukb", tmp_path / "ukb", tmp_path / "out", session="4", voxels="headers")
    assert "no participant has the session 4: their sessions are 2, 3: choose another --session" in text


def test_two_template_spaces_are_refused_and_one_can_be_chosen(tiny_cohort, tmp_path):
    miniature_cohorts.bids(tiny_cohort, tmp_path / "bids", 12)
    other = tmp_path / "bids" / "derivatives" / "fmriprep" / "sub-01" / "anat"
    for file in list(other.glob("*2009cAsym*")):
        file.rename(file.with_name(file.name.replace("2009cAsym", "6Asym")))
    text = refused("bids", tmp_path / "bids", tmp_path / "out", resample=True, spacing_mm=6.0)
    assert "T1w: 11 in MNI152NLin2009cAsym, 1 in MNI152NLin6Asym" in text and "a change of grid does not do" in text
    text = refused("bids", tmp_path / "bids", tmp_path / "out", space="MNI152NLin2009cAsym")
    assert "sub-01, T1w: no T1w" in text
    prepare("bids", tmp_path / "bids", tmp_path / "out", space="MNI152NLin2009cAsym", incomplete="leave_out")
    flow = json.loads((tmp_path / "out" / "0_cohort" / "preparation.json").read_text())["flow"]
    assert flow[-2:] == [["with every map", 11, "a map is missing"], ["analysed", 11, ""]]


def test_people_on_disk_without_a_row_and_missing_maps_are_refused_with_a_way_to_get_them(tiny_cohort, tmp_path):
    miniature_cohorts.hcp(tiny_cohort, tmp_path / "hcp", 12)
    for file in (tmp_path / "hcp" / "tables").iterdir():
        table = pd.read_csv(file, dtype=str)
        table[table["Subject"] != "100307"].to_csv(file, index=False)
    (tmp_path / "hcp" / "derivatives" / "100408" / "NODDI_ICVF.nii.gz").unlink()
    text = refused("hcp", tmp_path / "hcp", tmp_path / "out", voxels="headers")
    assert "100307" in text and "has images, but no row in the tables" in text
    assert "100408, NDI: no NDI: HCP ships none: mapping" in text
    assert text.startswith("Check") and "2 to fix" in text


def test_maps_on_different_grids_need_resampling(tiny_cohort, tmp_path):
    miniature_cohorts.ukb(tiny_cohort, tmp_path / "ukb", 12, n_twice=0)
    for file in (tmp_path / "ukb" / "images").rglob("T1_brain_to_MNI.nii.gz"):
        image = nib.load(file)
        fine = nib.affines.rescale_affine(image.affine, image.shape, 3.0, [2 * size for size in image.shape])
        nib.save(
            nib.Nifti1Image(np.kron(image.get_fdata(dtype=np.float32), np.ones((2, 2, 2), np.float32)), fine), file
        )
    assert "maps are on different grids" in refused("ukb", tmp_path / "ukb", tmp_path / "out")
    folder = prepare("ukb", tmp_path / "ukb", tmp_path / "out", resample=True, spacing_mm=6.0)
    items = sections_of(folder)["training"]
    shapes = {nib.load(items[0][modality]).shape for modality in MODALITIES}
    affines = [nib.load(items[0][modality]).affine for modality in MODALITIES]
    assert shapes == {(32, 32, 24)} and all(np.allclose(affine, affines[0]) for affine in affines)
    text = refused("ukb", tmp_path / "ukb", tmp_path / "out", resample=True, spacing_mm=2.0)
    assert "a brain needs" in text


def test_made_images_are_kept_until_their_source_changes(tiny_cohort, tmp_path):
    miniature_cohorts.ukb(tiny_cohort, tmp_path / "ukb", 12, n_twice=0)
    folder = prepare("ukb", tmp_path / "ukb", tmp_path / "out", voxels="headers")
    made = sorted((folder / "derived").rglob("*.nii.gz"))
    assert len(made) == 24
    for source, name in (("20252_2_0/T1/transforms/T1_to_MNI_warp_jac", "JAC"), ("20250_2_0/dMRI/TBSS/FA/dti_FA_to_MNI_warp", "NDI")):  # fmt: skip
        times = {file.name: file.stat().st_mtime_ns for file in made}
        os.utime(tmp_path / "ukb" / "images" / f"1000015_{source}.nii.gz", ns=(0, 0))
        prepare("ukb", tmp_path / "ukb", tmp_path / "out", voxels="headers")
        changed = [file.name for file in made if file.stat().st_mtime_ns != times[file.name]]
        assert changed == [f"1000015_{name}.nii.gz"]


def test_excluded_people_appear_in_the_flow(sources, tmp_path):
    (tmp_path / "exclude.txt").write_text("01 motion\nsub-02\tmotion\n")
    folder = prepare("bids", sources / "bids", tmp_path, exclude=str(tmp_path / "exclude.txt"), voxels="headers")
    flow = json.loads((folder / "preparation.json").read_text())["flow"]
    assert ["not excluded by name", 22, "motion (2)"] in flow
    assert "sub-01" not in (folder / "participants.tsv").read_text()


def test_layouts_are_refused_with_every_entry_that_is_wrong(sources, tmp_path):
    layout = {"name": "mine", "space": "MNI", "images": {"T1w": ["t1.nii.gz"], "JAC": {"files": "{participant_id}", "jacobian": {"kind": "det"}}}, "table": []}  # fmt: skip
    with pytest.raises(RuntimeError) as caught:
        run_stage("preparing", tmp_path, dataset_dir=str(sources), layout=layout)
    text = str(root_cause(caught.value))
    assert "no {participant_id}" in text and "kind must be raw or log" in text and "unknown entry 'table'" in text


def test_derived_maps_are_looked_at_and_an_empty_one_is_refused(tiny_cohort, tmp_path):
    miniature_cohorts.hcp(tiny_cohort, tmp_path / "hcp", 14, is_native=True)
    (file,) = (tmp_path / "hcp" / "images" / "100307_3T_Diffusion_preproc").rglob("fit_NDI.nii.gz")
    image = nib.load(file)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.float32), image.affine), file)
    text = refused("hcp", tmp_path / "hcp", tmp_path / "out")
    assert text.startswith("Derived maps") and "100307, NDI" in text and text.count("\n") == 1
    check = read(tmp_path / "out" / "0_checked" / "check.tsv")
    assert check.loc["100307"].set_index("modality").loc["NDI", "status"] == "mend"
    measures = read(tmp_path / "out" / "0_checked" / "measures.tsv")
    assert set(measures["modality"]) == set(MODALITIES)
    assert not (tmp_path / "out" / "0_cohort" / "datalist.json").exists()


def test_a_cohort_folder_is_prepared_with_its_families_and_covariates(tiny_cohort, tmp_path):
    run_stage("preparing", tmp_path, dataset_dir=str(tiny_cohort), layout="$None", modalities=["FA"], voxels="headers")
    folder = tmp_path / "0_cohort"
    before, now = read(tiny_cohort / "participants.tsv"), read(folder / "participants.tsv")
    assert (now["family_id"] == before["family_id"].reindex(now.index)).all() and "age_years" in now
    assert straddling_families(items_from_datalist(folder / "datalist.json", ["FA"])) == []


def test_a_datalist_is_prepared_without_whoever_lacks_a_map(tiny_cohort, tmp_path):
    files = {name: {m: str(tiny_cohort / PATTERNS[m].format(participant_id=name)) for m in ("FA", "JAC")} for name in (f"sub-{n:04d}" for n in range(1, 13))}  # fmt: skip
    del files["sub-0003"]["JAC"]
    people = [{"participant_id": name, "family_id": name} | own for name, own in files.items()]
    datalist = tmp_path / "people.json"
    datalist.write_text(json.dumps({"training": people}))
    options = {"dataset_dir": str(datalist), "layout": "$None", "modalities": ["FA", "JAC"], "voxels": "headers"}
    run_stage("checking", tmp_path / "out", **options, incomplete="leave_out")
    check = pd.read_csv(tmp_path / "out" / "0_checked" / "check.tsv", sep="\t", dtype=str)
    odd = check[check["status"] != "ok"]
    assert odd[["participant_id", "modality"]].to_numpy().tolist() == [["sub-0003", "JAC"]]
    flow = pd.read_csv(tmp_path / "out" / "0_checked" / "flow.tsv", sep="\t")
    assert flow["people"].tolist() == [12, 11, 11]
    with pytest.raises(RuntimeError) as caught:
        run_stage("checking", tmp_path / "out", **options, session="1")
    assert "--session 1: a datalist names the files already" in str(root_cause(caught.value))
