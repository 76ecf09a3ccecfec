import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from bundle.data.problems import InputProblems
from bundle.mapping.fsl_warp import to_fsl
from bundle.mapping.simulation import simulate_subject, write_subject
from bundle.mapping.volume import Volume, apply, grid_points
from bundle.stages.stratify import find_model
from tests.conftest import TINY_NETWORK, root_cause, run_stage

pytest.importorskip("SimpleITK")
pytest.importorskip("dipy")


SCHEME = ((3, 0), (20, 1000), (20, 2000))
MAPS = ("T1w", "FA", "NDI", "JAC")


@pytest.fixture(scope="module")
def subject():
    return simulate_subject(2, t1w_mm=4.0, dwi_mm=6.0, scheme=SCHEME)


@pytest.fixture(scope="module")
def scanned(subject, tmp_path_factory):
    """A participant's files, by name."""
    return write_subject(subject, tmp_path_factory.mktemp("raw"))


def options_of(files, **others):
    return {"files": {name: str(file) for name, file in files.items()}, "participant_id": "sub-01", **others}


@pytest.fixture(scope="module")
def mapped(scanned, tmp_path_factory):
    """`0_mapped/` of one participant; copy before changing."""
    folder = tmp_path_factory.mktemp("mapped")
    with pytest.MonkeyPatch.context() as monkeypatch:
        from tests.conftest import ROOT

        monkeypatch.chdir(ROOT)
        run_stage("mapping", folder, **options_of(scanned))
    return folder / "0_mapped"


def volume(mapped, modality):
    return nib.load(mapped / "cohort" / "sub-01" / f"sub-01_{modality}.nii.gz")


def sidecar(mapped, step):
    return json.loads((mapped / "work" / "sub-01" / f"{step}.json").read_text())


def refused(run_id, folder, **options):
    with pytest.raises(InputProblems) as caught:
        try:
            run_stage(run_id, folder, **options)
        except RuntimeError as error:
            raise root_cause(error) from None
    return str(caught.value)


def test_four_maps_lie_on_the_networks_grid(mapped):
    from bundle.data.resampling import common_grid

    for modality in MAPS:
        image = volume(mapped, modality)
        assert image.shape == (32, 32, 24)
        np.testing.assert_allclose(image.affine, common_grid((32, 32, 24), 6.0))
        assert np.isfinite(image.get_fdata()).all()
    assert (mapped / "cohort" / "participants.tsv").read_text().split() == ["participant_id", "sub-01"]


def test_units_are_those_of_training(mapped):
    t1w, fa, ndi = (volume(mapped, m).get_fdata() for m in ("T1w", "FA", "NDI"))
    assert 600 < np.percentile(t1w[t1w > 100], 80) < 1000
    assert fa.min() >= 0 and 0.2 < fa.max() < 1 and ndi.min() >= 0 and 0.3 < np.median(ndi[ndi > 0.1]) < 0.6


def test_alignment_and_ndi_are_the_simulated_ones(subject, mapped):
    points = np.random.default_rng(0).uniform(-60, 60, (3, 500))
    found = np.array(sidecar(mapped, "alignment")["facts"]["t1w_to_dwi"])
    off = (found - subject.t1w_to_dwi)[:3, :3] @ points + (found - subject.t1w_to_dwi)[:3, 3:]
    assert np.linalg.norm(off, axis=0).mean() < 2.2  # mm, of voxels of 6
    ndi = nib.load(mapped / "work" / "sub-01" / "ndi.nii.gz").get_fdata()
    free = nib.load(mapped / "work" / "sub-01" / "free_water.nii.gz").get_fdata()
    tissue = (subject.ndi.voxels > 0) & (ndi > 0) & (free < 0.3)
    assert np.abs(ndi - subject.ndi.voxels)[tissue].mean() < 0.03
    assert np.corrcoef(ndi[tissue], subject.ndi.voxels[tissue])[0, 1] > 0.9


def test_no_voxel_folds_and_head_size_is_kept_apart(subject, mapped):
    facts = sidecar(mapped, "warp")["facts"]
    assert facts["folded_voxels"] == 0 and facts["jacobian_lowest"] > 0
    truth = np.log(subject.warp.affine_determinant)
    assert np.log(facts["affine_determinant"]) == pytest.approx(truth, abs=0.1)


def test_sidecars_say_how_each_step_was_done(mapped):
    steps = ("brain", "warp", "alignment", "tensor", "noddi", "maps", "pictures")
    for step in steps:
        record = sidecar(mapped, step)
        assert record["step"] == step and record["inputs"] and record["software"]["SimpleITK"] != "not installed"
    assert sidecar(mapped, "alignment")["facts"]["scan"] == "3 x b0 + 20 x b1000 + 20 x b2000"


def test_steps_are_repeated_only_if_something_changed(mapped, scanned, tmp_path):
    shutil.copytree(mapped, tmp_path / "0_mapped")
    work = tmp_path / "0_mapped" / "work" / "sub-01"
    before = {file.name: file.stat().st_mtime_ns for file in work.glob("*.json") if file.name != "person.json"}

    def changed():
        now = {file.name: file.stat().st_mtime_ns for file in work.glob("*.json") if file.name != "person.json"}
        done = {name for name in now if now[name] != before.get(name)}
        before.update(now)
        return done

    run_stage("mapping", tmp_path, **options_of(scanned))
    assert changed() == set()
    run_stage("mapping", tmp_path, **options_of(scanned, jacobian="raw", jacobian_affine="included"))
    assert changed() == {"maps.json", "pictures.json"}
    raw, log = volume(tmp_path / "0_mapped", "JAC").get_fdata(), volume(mapped, "JAC").get_fdata()
    head_size = np.log(sidecar(mapped, "warp")["facts"]["affine_determinant"])
    np.testing.assert_allclose(np.log(raw)[8:-8, 8:-8, 8:-8], log[8:-8, 8:-8, 8:-8] + head_size, atol=1e-5)
    (work / "ndi.nii.gz").unlink()  # as an interruption would leave it
    run_stage("mapping", tmp_path, **options_of(scanned, jacobian="raw", jacobian_affine="included"))
    assert changed() == {"noddi.json"}  # what it made is what was there


def test_the_page_shows_every_picture(mapped):
    page = (mapped / "mapping.html").read_text()
    assert page.count("data:image/jpeg") == 5 and "1 of 1 mapped" in page
    for words in ("T1w and brain mask", "FA over T1w", "NDI", "JAC", "lowest Jacobian", "MNI ICBM152 2009a"):
        assert words in page


def test_single_shell_gives_fa_and_says_why_there_is_no_ndi(subject, scanned, tmp_path):
    keep = subject.gradients.b_values < 1500
    image = nib.load(scanned["DWI"])
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., keep], image.affine), tmp_path / "dwi.nii.gz")
    np.savetxt(tmp_path / "bvals", subject.gradients.b_values[keep][None])
    np.savetxt(tmp_path / "bvecs", subject.gradients.directions[keep])  # a row for each volume
    files = scanned | {name: tmp_path / file for name, file in (("DWI", "dwi.nii.gz"), ("bvals", "bvals"), ("bvecs", "bvecs"))}  # fmt: skip
    run_stage("mapping", tmp_path, **options_of(files))
    made = sorted(file.name for file in (tmp_path / "0_mapped" / "cohort" / "sub-01").iterdir())
    assert made == ["sub-01_FA.nii.gz", "sub-01_JAC.nii.gz", "sub-01_T1w.nii.gz"]
    reason = pd.read_csv(tmp_path / "0_mapped" / "mapping.tsv", sep="\t").loc[0, "reason"]
    assert "NDI not made: the scan is single-shell (3 x b0 + 20 x b1000)" in reason and "was turned" in reason
    assert "single-shell" in (tmp_path / "0_mapped" / "mapping.html").read_text()


def test_all_that_is_wrong_is_said_before_anything_is_done(scanned, tmp_path):
    np.savetxt(tmp_path / "bvals", np.zeros((1, 10)))
    files = scanned | {"bvals": tmp_path / "bvals"}
    text = refused("mapping", tmp_path, **options_of(files))
    assert "sub-01" in text and "expected 43 b-values" in text and "got 10" in text
    assert not (tmp_path / "0_mapped").exists()
    files = {name: file for name, file in scanned.items() if name != "bvecs"}
    assert "no bvecs" in refused("mapping", tmp_path, **options_of(files))
    assert "unknown 't1'" in refused("mapping", tmp_path, files={"t1": "x"}, participant_id="a")
    assert "Give either" in refused("mapping", tmp_path)
    wrong = options_of(scanned, brain_mask="bet", registration="syn", noddi="cuda")
    assert "3 to fix" in refused("mapping", tmp_path, **wrong)


def test_a_given_warp_is_used_and_without_diffusion_two_maps_are_made(subject, scanned, tmp_path):
    warp, points = subject.warp, subject.warp.points
    own = grid_points(points.shape[1:], warp.grid_affine)
    # FSL's relative field, on the template's grid, in FSL's mm of both images
    images = [nib.Nifti1Image(np.zeros(points.shape[1:]), warp.grid_affine), nib.load(scanned["T1w"])]
    ends = [
        apply(to_fsl(image) @ np.linalg.inv(image.affine), where)
        for image, where in zip(images, (own, points), strict=True)
    ]
    field = np.moveaxis(ends[1] - ends[0], 0, -1).astype(np.float32)
    nib.save(nib.Nifti1Image(field, warp.grid_affine), tmp_path / "acpc_dc2standard.nii.gz")
    files = {"T1w": scanned["T1w"], "T1w_mask": scanned["T1w_mask"], "warp": tmp_path / "acpc_dc2standard.nii.gz"}
    run_stage("mapping", tmp_path, **options_of(files, registration="given", jacobian_affine="included"))
    folder = tmp_path / "0_mapped" / "cohort" / "sub-01"
    assert sorted(file.name for file in folder.iterdir()) == ["sub-01_JAC.nii.gz", "sub-01_T1w.nii.gz"]
    assert "there is no diffusion scan" in (tmp_path / "0_mapped" / "mapping.html").read_text()
    assert sidecar(tmp_path / "0_mapped", "warp")["facts"]["likeness"] > 0.95
    found = nib.load(folder / "sub-01_JAC.nii.gz")
    truth = Volume(np.log(warp.jacobian * warp.affine_determinant), warp.grid_affine)
    middle = (slice(6, -6),) * 3
    expected = truth.at(grid_points(found.shape, found.affine), 6.0)[middle]
    assert np.abs(found.get_fdata()[middle] - expected).mean() < 0.02


def test_a_warp_file_that_goes_the_other_way_is_refused_by_name(subject, scanned, tmp_path):
    """Displacements from points of the T1w image to points of the template, as ITK stores them."""
    import SimpleITK as sitk

    warp, mm = subject.warp, 4.0
    shape, affine = (60, 66, 60), np.diag([mm, mm, mm, 1.0])
    affine[:3, 3] = [-120, -150, -110]
    own = grid_points(shape, affine)
    lps = (warp.template_points(own) - own) * np.array([-1.0, -1, 1]).reshape(3, 1, 1, 1)
    field = sitk.GetImageFromArray(lps.transpose(3, 2, 1, 0).astype(np.float64), isVector=True)
    field.SetSpacing([mm] * 3)
    field.SetOrigin([120, 150, -110])
    field.SetDirection([-1, 0, 0, 0, -1, 0, 0, 0, 1])
    sitk.WriteTransform(sitk.DisplacementFieldTransform(field), str(tmp_path / "from-MNI_to-T1w_xfm.h5"))
    files = {"T1w": scanned["T1w"], "T1w_mask": scanned["T1w_mask"], "warp": tmp_path / "from-MNI_to-T1w_xfm.h5"}
    text = refused("mapping", tmp_path, **options_of(files, registration="given"))
    assert "from-MNI_to-T1w_xfm.h5: this warp seems to go from the T1w image to the template" in text


def bids(files, folder, session=""):
    """The files as a BIDS folder with QSIPrep's derivatives."""
    middle, part = (f"ses-{session}/", f"_ses-{session}") if session else ("", "")
    raw, derived = folder / "sub-01" / middle, folder / "derivatives" / "qsiprep" / "sub-01" / middle
    places = {
        "T1w": raw / "anat" / f"sub-01{part}_T1w.nii.gz",
        "DWI": derived / "dwi" / f"sub-01{part}_space-T1w_desc-preproc_dwi.nii.gz",
        "bvals": derived / "dwi" / f"sub-01{part}_space-T1w_desc-preproc_dwi.bval",
        "bvecs": derived / "dwi" / f"sub-01{part}_space-T1w_desc-preproc_dwi.bvec",
    }
    for name, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files[name], place)
    return folder


def hcp(files, folder):
    """The files as HCP's minimally preprocessed folder of one participant."""
    own = folder / "100307" / "T1w"
    (own / "Diffusion").mkdir(parents=True)
    places = {"T1w": "T1w_acpc_dc_restore.nii.gz", "T1w_mask": "brainmask_fs.nii.gz", "DWI": "Diffusion/data.nii.gz", "bvals": "Diffusion/bvals", "bvecs": "Diffusion/bvecs"}  # fmt: skip
    for name, place in places.items():
        shutil.copy(files[name], own / place)
    return folder


def ukb(files, folder):
    """The files as UK Biobank's zips of one participant and visit, with FNIRT's coefficients and its dense field."""
    t1, dmri = (folder / f"1000015_{field}_2_0" for field in (20252, 20250))
    places = {"T1w": t1 / "T1" / "T1_unbiased.nii.gz", "T1w_mask": t1 / "T1" / "T1_brain_mask.nii.gz"}
    places |= {name: dmri / "dMRI" / "dMRI" / file for name, file in (("DWI", "data_ud.nii.gz"), ("bvals", "bvals"), ("bvecs", "bvecs"))}  # fmt: skip
    for name, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files[name], place)
    (t1 / "T1" / "transforms").mkdir()
    for file in ("T1_to_MNI_warp_coef.nii.gz", "T1_to_MNI_warp.nii.gz"):
        (t1 / "T1" / "transforms" / file).touch()
    return folder


def found(scans, folder, **options):
    from bundle.mapping.scans import find_scans
    from tests.conftest import ROOT

    content = yaml.safe_load((ROOT / "configs" / "scans" / f"{scans}.yaml").read_text())
    settings = {"derivatives": None, "files": None, "participant_id": None, "participant_ids": None, "session": None}
    return find_scans(content, str(folder), **(settings | options))


def test_folders_of_every_source_are_found(scanned, tmp_path):
    (person,) = found("bids", bids(scanned, tmp_path / "bids"))
    assert person.participant_id == "sub-01" and not person.dwi_in_t1w_space
    assert set(person.files) == {"T1w", "DWI", "bvals", "bvecs"} and person.gradients.shells == [1000, 2000]
    (person,) = found("hcp", hcp(scanned, tmp_path / "hcp"))
    assert person.participant_id == "100307" and person.dwi_in_t1w_space and "T1w_mask" in person.files
    (person,) = found("ukb", ukb(scanned, tmp_path / "ukb"), session="2")
    assert person.participant_id == "1000015" and person.files["warp"].name == "T1_to_MNI_warp_coef.nii.gz"


def test_two_sessions_need_a_rule(scanned, tmp_path):
    for session in ("1", "2"):
        bids(scanned, tmp_path, session)
    with pytest.raises(InputProblems, match="2 sessions"):
        found("bids", tmp_path)
    (person,) = found("bids", tmp_path, session="last")
    assert "ses-2" in str(person.files["T1w"]) and "ses-2" in str(person.files["DWI"])


def test_folders_without_scans_and_unknown_people_are_refused(scanned, tmp_path):
    with pytest.raises(InputProblems, match="no scan of HCP"):
        found("hcp", bids(scanned, tmp_path))
    with pytest.raises(InputProblems, match="no participant is called sub-99"):
        found("bids", tmp_path, participant_ids=["sub-99"])


def test_a_model_that_is_not_there_is_missed_before_anything_is_mapped(scanned, tmp_path):
    with pytest.raises(InputProblems, match="run training"):
        find_model(str(tmp_path))
    assert "--model_dir" in refused("stratifying", tmp_path, **options_of(scanned))
    for file in ("2_training/model.pt", "5_clusters/stratifier.npz"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    with pytest.raises(InputProblems, match="--batchsize: did you mean --batch_size"):
        find_model(str(tmp_path), embedding={"batchsize": 6})
    with pytest.raises(InputProblems, match=r"nowhere\.tsv"):
        find_model(str(tmp_path), participants="nowhere.tsv")
    assert not (tmp_path / "0_mapped").exists()


def test_jacobians_that_a_network_does_not_know_are_refused_before_anything_is_mapped(scanned, tmp_path):
    model = tmp_path / "model"
    (model / "2_training").mkdir(parents=True)
    brain = torch.ones(4, 4, 4)
    text = json.dumps({"network": "FusionAutoencoder", "modalities": ["T1w", "JAC"]})
    state = {"scaling.brain_mask": brain, "scaling.mean_image": torch.stack([800 * brain, 1.02 * brain]), "signature": torch.tensor(list(text.encode()), dtype=torch.uint8)}  # fmt: skip
    torch.save(state, model / "2_training" / "model.pt")
    for run_id in ("mapping", "stratifying"):
        text = refused(run_id, tmp_path / "new", **options_of(scanned, model_dir=str(model)))
        assert "--jacobian log, but the network" in text and "give --jacobian raw" in text
    assert not (tmp_path / "new" / "0_mapped").exists()


def test_warps_without_what_they_need_are_refused_for_everybody_at_once(scanned, tmp_path):
    coefficients = nib.Nifti1Image(np.zeros((4, 4, 4, 3), np.float32), np.eye(4))
    coefficients.header["intent_code"] = 2007
    nib.save(coefficients, tmp_path / "coef.nii.gz")
    files = scanned | {"warp": tmp_path / "coef.nii.gz"}
    text = refused("mapping", tmp_path, **options_of(files, registration="given"))
    assert "sub-01" in text and "warp_reference" in text and not (tmp_path / "0_mapped" / "work").exists()


def test_raw_scan_to_stratum_is_one_command(scanned, trained, tiny_cohort, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(trained, model)
    run_stage("embedding", model, dataset_dir=str(tiny_cohort))
    choice = {"max_strata": 3, "n_folds": 3}
    quick = {"n_references": 19, "n_stability": 3, "n_power": 0, "num_workers": 1, "progress": False, "covariates": []}
    people = str(tiny_cohort / "participants.tsv")
    run_stage("clustering", model, participants=people, clustering_def={"standardise": False, "reduce": True, "choice": choice}, **quick)  # fmt: skip
    (tmp_path / "network.yaml").write_text(yaml.safe_dump(TINY_NETWORK))
    folder = bids(scanned, tmp_path / "bids")
    run_stage(
        "stratifying",
        tmp_path / "new",
        dataset_dir=str(folder),
        model_dir=str(model),
        brain_mask="template",
        embedding={"network_def": str(tmp_path / "network.yaml")},
    )
    table = pd.read_csv(tmp_path / "new" / "5_assigned" / "assignments.tsv", sep="\t")
    assert table["participant_id"].tolist() == ["sub-01"] and table["stratum"].notna().all()
