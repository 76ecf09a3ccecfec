import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from bundle.data.problems import InputProblems
from tests.conftest import PATTERNS, root_cause, run_stage

MODALITIES = ("T1w", "FA", "NDI", "JAC")


@pytest.fixture
def output_dir(trained, tmp_path):
    """A results folder with a trained network and no embeddings yet."""
    copy = tmp_path / "output"
    shutil.copytree(trained, copy)
    return copy


def embed(output_dir, **options):
    run_stage("embedding", output_dir, **options)
    with np.load(output_dir / "4_embeddings" / "embeddings.npz") as content:
        return {name: content[name] for name in content.files}


def refused(output_dir, **options):
    with pytest.raises(InputProblems) as caught:
        try:
            run_stage("embedding", output_dir, **options)
        except RuntimeError as error:
            raise root_cause(error) from None
    return str(caught.value)


def files_of(cohort, name):
    return {m: str(cohort / PATTERNS[m].format(participant_id=name)) for m in MODALITIES}


def test_folder_is_embedded_with_ids_hash_and_versions(output_dir, tiny_cohort):
    content = embed(output_dir, dataset_dir=str(tiny_cohort))
    assert content["embeddings"].shape == (24, 384)
    assert np.isfinite(content["embeddings"]).all()
    assert json.loads(str(content["versions"]))["monai"]
    table = pd.read_csv(output_dir / "4_embeddings" / "embeddings.tsv", sep="\t", index_col="participant_id")
    assert set(table["encoder_hash"]) == {str(content["encoder_hash"])}
    assert np.allclose(table.filter(regex="^e[0-9]{4}").to_numpy(), content["embeddings"], rtol=1e-5, atol=1e-6)
    assert np.allclose(table["reconstruction_error"], content["reconstruction_error"], rtol=1e-5)


def test_one_person_alone_gets_the_embedding_of_the_group(output_dir, tiny_cohort, tmp_path):
    group = embed(output_dir, dataset_dir=str(tiny_cohort))
    shutil.rmtree(output_dir / "4_embeddings")
    alone = embed(output_dir, files=files_of(tiny_cohort, "sub-0007"), participant_id="sub-0007")
    row = list(group["participant_id"]).index("sub-0007")
    assert np.allclose(alone["embeddings"][0], group["embeddings"][row], rtol=1e-4, atol=1e-5)


def test_datalist_is_embedded(output_dir, tiny_cohort, tmp_path):
    file = tmp_path / "people.json"
    file.write_text(json.dumps({"test": [{"participant_id": "new", **files_of(tiny_cohort, "sub-0001")}]}))
    assert list(embed(output_dir, dataset_dir=str(file))["participant_id"]) == ["new"]


def test_people_in_the_table_are_left_and_new_ones_added(output_dir, tiny_cohort):
    first = embed(output_dir, files=files_of(tiny_cohort, "sub-0007"), participant_id="sub-0007")
    both = embed(output_dir, dataset_dir=str(tiny_cohort))
    assert both["participant_id"][0] == "sub-0007" and len(set(both["participant_id"])) == 24
    assert np.array_equal(both["embeddings"][0], first["embeddings"][0])


def test_interrupted_embedding_keeps_what_it_has_and_goes_on(output_dir, tiny_cohort):
    interrupt = {"+handlers": [{"_target_": "tests.stages.test_embed.InterruptAfter", "batches": 3}]}
    with pytest.raises(SystemExit):
        embed(output_dir, dataset_dir=str(tiny_cohort), batch_size=2, overlay=interrupt)
    with np.load(output_dir / "4_embeddings" / "embeddings.npz") as content:
        assert len(content["participant_id"]) == 6
    assert len(embed(output_dir, dataset_dir=str(tiny_cohort))["participant_id"]) == 24


class InterruptAfter:
    def __init__(self, batches):
        self.batches = batches

    def attach(self, engine):
        from ignite.engine import Events

        engine.add_event_handler(Events.ITERATION_COMPLETED(once=self.batches), self)

    def __call__(self, engine):
        raise KeyboardInterrupt


def test_embeddings_of_another_encoder_are_not_mixed_in(output_dir, tiny_cohort):
    embed(output_dir, files=files_of(tiny_cohort, "sub-0001"), participant_id="sub-0001")
    weights = output_dir / "2_training" / "model.pt"
    state = torch.load(weights, weights_only=True)
    state["linear.variances"] += 1
    torch.save(state, weights)
    before = (output_dir / "4_embeddings" / "embeddings.npz").read_bytes()
    assert "different encoders live in different spaces" in refused(output_dir, dataset_dir=str(tiny_cohort))
    assert (output_dir / "4_embeddings" / "embeddings.npz").read_bytes() == before


@pytest.mark.parametrize("progress", [True, False])
def test_bars_are_shown_if_they_are_wanted(output_dir, tiny_cohort, capfd, progress):
    embed(output_dir, dataset_dir=str(tiny_cohort), progress=progress)
    shown = capfd.readouterr().err
    assert [bar in shown for bar in ("Checking images", "Comparing images", "Embedding: ")] == [progress] * 3


def reoriented(path, target, axes):
    image = nib.load(path)
    transform = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes))
    turned = image.as_reoriented(transform)
    nib.save(turned, target)
    return str(target)


@pytest.mark.parametrize("axes", ["LPS", "ASR", "SAL"])
def test_image_in_another_orientation_gives_the_same_code_and_its_own_space_back(
    output_dir, tiny_cohort, tmp_path, axes
):
    straight = files_of(tiny_cohort, "sub-0004")
    turned = {m: reoriented(path, tmp_path / f"{m}.nii.gz", axes) for m, path in straight.items()}
    options = {"write_reconstructions": True}
    embed(output_dir, files=straight, participant_id="straight", **options)
    both = embed(output_dir, files=turned, participant_id="turned", **options)
    assert np.allclose(both["embeddings"][0], both["embeddings"][1], rtol=1e-3, atol=1e-4)
    folder = output_dir / "4_embeddings" / "reconstructions"
    for modality in MODALITIES:
        drawn = {w: nib.load(folder / w / f"{w}_{modality}_reconstruction.nii.gz") for w in ("straight", "turned")}
        own = nib.load(turned[modality])
        assert drawn["turned"].shape == own.shape and np.allclose(drawn["turned"].affine, own.affine)
        back = nib.as_closest_canonical(drawn["turned"]).get_fdata()
        assert np.allclose(back, drawn["straight"].get_fdata(), rtol=1e-3, atol=1e-3)


def test_another_template_space_is_refused(output_dir, tiny_cohort, tmp_path):
    files = files_of(tiny_cohort, "sub-0004")
    for modality, path in files.items():
        image = nib.load(path)
        affine = image.affine.copy()
        affine[2, 3] += 4
        files[modality] = str(tmp_path / f"{modality}.nii.gz")
        nib.save(nib.Nifti1Image(image.get_fdata(), affine), files[modality])
    text = refused(output_dir, files=files, participant_id="sub-0004")
    assert "not in the template space of the training images" in text and "4 to fix" in text


def test_modalities_that_the_network_lacks_are_named(output_dir, tiny_cohort):
    files = files_of(tiny_cohort, "sub-0004")
    files["T2w"] = files.pop("T1w")
    text = refused(output_dir, files=files, participant_id="sub-0004")
    assert "Unknown modality 'T2w': this network knows T1w, FA, NDI, JAC" in text


def test_empty_folder_and_no_input_are_refused(output_dir, tmp_path):
    assert "participants.tsv is missing" in refused(output_dir, dataset_dir=str(tmp_path))
    assert "either --dataset_dir" in refused(output_dir)


def test_embedding_follows_images_of_a_smaller_grid(output_dir, tiny_cohort, tmp_path):
    files = files_of(tiny_cohort, "sub-0004")
    whole = embed(output_dir, files=files, participant_id="whole")
    for modality, path in files.items():
        files[modality] = str(tmp_path / f"{modality}.nii.gz")
        nib.save(nib.load(path).slicer[1:-1], files[modality])
    both = embed(output_dir, files=files, participant_id="cropped")
    # the two planes that were cut off are background
    assert np.allclose(both["embeddings"][1], whole["embeddings"][0], rtol=1e-3, atol=1e-3)


def test_second_person_under_the_same_id_is_refused(output_dir, tiny_cohort):
    embed(output_dir, files=files_of(tiny_cohort, "sub-0001"), participant_id="one")
    text = refused(output_dir, files=files_of(tiny_cohort, "sub-0002"), participant_id="one")
    assert "one is in" in text and "--participant_id" in text
    assert "--participant_id" in refused(output_dir, files=files_of(tiny_cohort, "sub-0002"))


def test_reconstructions_can_be_asked_for_later(output_dir, tiny_cohort):
    files = files_of(tiny_cohort, "sub-0001")
    first = embed(output_dir, files=files, participant_id="one")
    second = embed(output_dir, files=files, participant_id="one", write_reconstructions=True)
    assert np.array_equal(first["embeddings"], second["embeddings"])
    assert len(list((output_dir / "4_embeddings" / "reconstructions" / "one").iterdir())) == 4


@pytest.mark.parametrize("name", ["../../evil", "a/b", "", ".hidden", "sub 1"])
def test_ids_that_could_leave_the_folder_are_refused(output_dir, tiny_cohort, name):
    text = refused(output_dir, files=files_of(tiny_cohort, "sub-0001"), participant_id=name)
    assert "must be letters, digits" in text


def test_a_number_as_id_is_text(output_dir, tiny_cohort):
    content = embed(output_dir, files=files_of(tiny_cohort, "sub-0001"), participant_id=7)
    assert list(content["participant_id"]) == ["7"]


def test_maps_that_look_like_no_training_persons_are_told(output_dir, tiny_cohort, capfd):
    files = files_of(tiny_cohort, "sub-0007")
    embed(output_dir, files=files, participant_id="sub-0007")
    assert "look like no training participant" not in "".join(capfd.readouterr())
    embed(output_dir, files=files | {"T1w": files["FA"]}, participant_id="swapped")
    assert (
        "1 images look like no training participant" in (said := "".join(capfd.readouterr()))
        and "swapped T1w (" in said
    )


def test_another_person_under_a_known_id_is_refused_and_a_copy_is_not(output_dir, tiny_cohort, tmp_path):
    before = embed(output_dir, dataset_dir=str(tiny_cohort))
    assert before["images"].shape == (24, 4) and len(set(before["images"].ravel())) == 96
    copy = tmp_path / "copy"
    shutil.copytree(tiny_cohort, copy, copy_function=shutil.copyfile)  # other times of change
    assert (embed(output_dir, dataset_dir=str(copy))["embeddings"] == before["embeddings"]).all()
    shutil.copy(files_of(copy, "sub-0008")["FA"], files_of(copy, "sub-0007")["FA"])
    text = refused(output_dir, dataset_dir=str(copy))
    assert "sub-0007: the embedding in" in text and "other images than these (FA)" in text and "sub-0008" not in text
    with np.load(output_dir / "4_embeddings" / "embeddings.npz") as content:
        assert (content["embeddings"] == before["embeddings"]).all()


def test_tables_without_words_on_images_are_taken_up(output_dir, tiny_cohort):
    content = embed(output_dir, dataset_dir=str(tiny_cohort))
    del content["images"]
    np.savez(output_dir / "4_embeddings" / "embeddings.npz", **content)
    assert (embed(output_dir, dataset_dir=str(tiny_cohort))["embeddings"] == content["embeddings"]).all()


def test_reconstructions_that_a_broken_run_left_are_drawn_again(output_dir, tiny_cohort):
    left = output_dir / "4_embeddings" / "reconstructions" / "one"
    left.mkdir(parents=True)
    (left / "one_T1w_reconstruction.nii.gz").write_text("of another network")
    embed(output_dir, files=files_of(tiny_cohort, "sub-0001"), participant_id="one", write_reconstructions=True)
    assert len(list(left.iterdir())) == 4 and nib.load(left / "one_T1w_reconstruction.nii.gz").shape == (32, 32, 24)
