"""The package as a stranger has it: unzipped elsewhere, run from another folder, without the checkout on the import path."""

import json
import re
import shutil
import textwrap
import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from monai.transforms import MapTransform

from bundle.data.problems import InputProblems
from bundle.data.tables import read_table
from bundle.packaging.metadata import SCHEMA, data_formats
from bundle.packaging.run_facts import read_run
from bundle.stages.export import copy_code
from tests.conftest import ROOT, root_cause, run_stage
from tests.packaging.file_contents import contents, machine_folders
from tests.stages.package import elsewhere, export, stage_words

TRAINING = {"max_epochs": 1, "batch_size": 2, "warmup_steps": 1, "num_workers": 0}


def refused(output_dir, **options):
    with pytest.raises(InputProblems) as caught:
        try:
            export(output_dir, **options)
        except RuntimeError as error:
            raise root_cause(error) from None
    return str(caught.value)


def test_archive_holds_one_folder_with_what_the_model_zoo_asks_for(unpacked):
    assert [path.name for path in unpacked.parent.iterdir()] == ["brainstrata"]
    for name in ("LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt", "docs/README.md"):
        assert (unpacked / name).is_file(), name
    assert not list(unpacked.rglob("__pycache__"))


def test_metadata_and_configs_are_what_the_model_zoos_checks_look_for(unpacked):
    """Its `verify_bundle`, its list of config ids and its reviewers, as far as they read files."""
    metadata = json.loads((unpacked / "configs" / "metadata.json").read_text())
    assert metadata["name"] and metadata["changelog"][metadata["version"]]
    versions = [metadata[f"{package}_version"] for package in ("monai", "pytorch", "numpy")]
    for version in (*versions, *metadata["required_packages_version"].values()):
        assert re.fullmatch(r"[\d.]+", version)
    assert not {"monai", "torch", "numpy"} & set(metadata["required_packages_version"])
    assert "optional_packages_version" not in metadata
    for side, name in (("inputs", "image"), ("outputs", "pred")):
        tensor = metadata["network_data_format"][side][name]
        assert list(tensor["channel_def"]) == [str(number) for number in range(tensor["num_channels"])]
    inference = json.loads((unpacked / "configs" / "inference.json").read_text())
    named = {"bundle_root", "device", "dataset_dir", "output_dir", "network_def", "inferer", "dataset", "evaluator"}
    assert named | {"preprocessing", "postprocessing"} <= set(inference)
    train = json.loads((unpacked / "configs" / "train.json").read_text())
    assert {"bundle_root", "device", "dataset_dir", "network_def", "train", "validate"} <= set(train)
    assert {"trainer", "dataset", "handlers", "inferer", "preprocessing"} <= set(train["train"])
    assert {"evaluator", "dataset", "handlers", "inferer", "key_metric"} <= set(train["validate"])
    assert "max_epochs" in train["train"]["trainer"] and "data" in train["train"]["dataset"]
    large = {file for file in unpacked.rglob("*") if file.is_file() and file.stat().st_size > 25_000_000}
    assert not large or (unpacked / "large_files.yml").is_file()
    headings = re.findall(r"^#+ (.*)", (unpacked / "docs" / "README.md").read_text(), flags=re.MULTILINE)
    wanted = ["Authors", "Tags", "Model Description", "Data", "Preprocessing", "Performance", "Use"]
    wanted += ["System Configuration", "Limitations", "Citation", "References", "License"]
    assert [heading for heading in headings if heading in wanted] == wanted
    assert "Apache License" in (unpacked / "LICENSE").read_text()


def test_deploys_operator_finds_what_it_asks_for_in_folder_and_torchscript(unpacked):
    with zipfile.ZipFile(unpacked / "models" / "model.ts") as archive:
        inside = {name: json.loads(archive.read(f"model/extra/{name}.json")) for name in ("metadata", "inference")}
    for name, content in inside.items():
        written = json.loads((unpacked / "configs" / f"{name}.json").read_text())
        assert {key: content[key] for key in written} == written  # MONAI adds versions and the time
    parser = ConfigParser(inside["inference"])
    before, after = parser.get_parsed_content("preprocessing"), parser.get_parsed_content("postprocessing")
    for steps in (before, after):  # of dictionaries, and none that Deploy would take out
        assert all(isinstance(step, MapTransform) for step in steps.transforms)
        assert not any(word in type(step).__name__ for step in steps.transforms for word in ("LoadImage", "SaveImage"))
    assert callable(parser.get_parsed_content("inferer")) and parser.get_parsed_content("device").type
    formats = inside["metadata"]["network_data_format"]
    for tensor in (*formats["inputs"].values(), *formats["outputs"].values()):
        assert tensor["type"] in ("image", "series", "tuples", "probabilities")


def test_hugging_face_gets_the_folder_and_the_card_as_its_page(unpacked, tmp_path, monkeypatch):
    """The lines of docs/consumers.md, with an upload that only looks."""
    uploaded = {}

    class HfApi:
        def __init__(self, token):
            pass

        def create_repo(self, repo_id, **facts):
            pass

        def create_tag(self, repo_id, tag, **facts):
            uploaded["tag"] = tag

        def upload_folder(self, repo_id, folder_path):
            uploaded["folder"] = Path(folder_path).resolve()

    shutil.copytree(unpacked, tmp_path / "brainstrata")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("monai.bundle.scripts.huggingface_hub", SimpleNamespace(HfApi=HfApi))
    page = (ROOT / "docs" / "consumers.md").read_text()
    exec(re.search(r"```python\n(from monai.bundle import push_to_hf_hub.*?)```", page, flags=re.DOTALL)[1], {})
    version = json.loads((unpacked / "configs" / "metadata.json").read_text())["version"]
    assert uploaded == {"folder": tmp_path / "brainstrata", "tag": version}
    card = (tmp_path / "brainstrata" / "README.md").read_text()
    assert card.startswith("---\ntags:\n- monai") and "license: apache-2.0" in card
    assert not re.findall(r"\]\((?!http)", card)  # what is beside docs/README.md is not beside it


def test_no_file_names_a_folder_of_the_machine_it_was_made_on(unpacked, finished):
    for file in filter(Path.is_file, unpacked.rglob("*")):
        for folder in [*machine_folders(), str(finished)]:
            assert folder.encode() not in contents(file), (file, folder)
        if file.suffix in (".json", ".yaml", ".yml", ".md", ".txt", ".tsv", ".py"):
            text = file.read_text()
            assert not re.search(r"/(?:home|root|Users|tmp)/\w", text), file


def test_configs_are_self_contained_and_each_json_has_the_content_of_its_yaml(unpacked):
    for file in (unpacked / "configs").glob("*.yaml"):
        content = yaml.safe_load(file.read_text())
        assert json.loads(file.with_suffix(".json").read_text()) == content
        assert not re.search(r"['\"]%", repr(content)) and "initialize" not in content


def test_weights_are_of_the_cpu_and_fit_the_packages_own_network(unpacked):
    parser = ConfigParser(ConfigParser.load_config_file(str(unpacked / "configs" / "inference.json")))
    state = torch.load(unpacked / "models" / "model.pt", weights_only=True)
    assert {value.device.type for value in state.values()} == {"cpu"}
    parser.get_parsed_content("network_def").load_state_dict(state)


def test_training_config_has_the_settings_that_the_run_had(unpacked, finished):
    config = json.loads((unpacked / "configs" / "train.json").read_text())
    settings = torch.load(finished / "2_training" / "checkpoint.pt", weights_only=True)["settings"]
    assert config["max_epochs"] == settings["max_epochs"]
    assert config["modality_weights"] == settings["modality_weights"]


def test_metadata_follows_the_network_and_what_is_installed(unpacked, finished):
    metadata = json.loads((unpacked / "configs" / "metadata.json").read_text())
    assert metadata["pytorch_version"] == torch.__version__.split("+")[0]
    assert metadata["network_data_format"] == data_formats(read_run(finished))["network_data_format"]
    assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [32, 32, 24]
    assert metadata["version"] in metadata["changelog"] and metadata["supported_apps"] == {}
    requirements = dict(line.split("==") for line in (unpacked / "requirements.txt").read_text().split())
    assert metadata["required_packages_version"].items() <= requirements.items()


def test_card_has_the_evaluations_figures_and_without_one_says_so(unpacked, finished, tmp_path):
    card = (unpacked / "docs" / "README.md").read_text()
    r2 = re.search(r"^FA\t([-\d.e]+)", (finished / "3_evaluation" / "summary.tsv").read_text(), flags=re.MULTILINE)
    assert f"| FA | {float(r2[1]):.3f} |" in card and "Not evaluated" not in card
    headline = json.loads((finished / "5_clusters" / "summary.json").read_text())["headline"]
    has_strata = not headline.startswith("no discrete strata found")
    assert f"{'Found in' if has_strata else 'In'} the training cohort: {headline}" in card
    assert ("nothing to give participants" in card) != has_strata
    copy = tmp_path / "output"
    shutil.copytree(finished, copy)
    shutil.rmtree(copy / "3_evaluation")
    archive = zipfile.ZipFile(export(copy, forms=[]))
    card = archive.read("brainstrata/docs/README.md").decode()
    assert "Not evaluated" in card and "| FA |" not in card
    assert json.loads(archive.read("brainstrata/configs/metadata.json"))["eval_metrics"] == {}


def test_embedding_from_another_folder_gives_the_codes_of_the_checkout(unpacked, finished, tmp_path):
    sample = unpacked / "sample"
    said = elsewhere(
        tmp_path, *stage_words(unpacked, "embedding", "inference.json", dataset_dir=sample, output_dir="out")
    )
    assert f"run clustering --config_file {unpacked}/configs/cluster.yaml" in said
    with np.load(tmp_path / "out" / "4_embeddings" / "embeddings.npz") as content:
        found, names = content["embeddings"], list(content["participant_id"])
    own = tmp_path / "own"
    shutil.copytree(finished / "2_training", own / "2_training")
    run_stage("embedding", own, dataset_dir=str(sample))
    with np.load(own / "4_embeddings" / "embeddings.npz") as content:
        assert list(content["participant_id"]) == names and len(names) == 2
        assert np.allclose(content["embeddings"], found, rtol=1e-4, atol=1e-5)
    said = elsewhere(tmp_path, *stage_words(unpacked, "assigning", "assign.json", output_dir="out"))
    assert "The stratifier:" in said


def test_the_cards_python_runs_as_it_stands(unpacked):
    (code,) = re.findall(r"```python\n(.*?)```", (unpacked / "docs" / "README.md").read_text(), flags=re.DOTALL)
    said = elsewhere(unpacked.parent, "-c", code + "print(tuple(embeddings.shape), tuple(reconstructions.shape))")
    assert "(1, 384) (1, 4, 32, 32, 24)" in said


def test_the_cards_check_of_the_package_runs_as_it_stands(unpacked):
    card = (unpacked / "docs" / "README.md").read_text()
    (words,) = re.findall(r"PYTHONPATH=brainstrata python (-m monai.bundle verify(?:.*\\\n)*.*)", card)
    said = elsewhere(unpacked.parent, *words.replace("\\\n", " ").split(), PYTHONPATH="brainstrata")
    assert "data shape of network is verified" in said


def test_sample_people_are_unrelated(unpacked):
    table = read_table(unpacked / "sample" / "participants.tsv")
    assert table["family_id"].nunique() == len(table) == 2


CHECKS = """
    import sys
    root, sample, output_dir = sys.argv[1:]
    sys.path.insert(0, root)
    import bundle
    import custom_nets
    import monai.bundle
    from monai.bundle import ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out
    assert bundle.__file__.startswith(root) and custom_nets.__file__.startswith(root), bundle.__file__
    folder, name = root.rsplit("/", 1)
    configs = root + "/configs"
    verify_metadata(meta_file=configs + "/metadata.json", filepath=root + "/bundle/packaging/metadata_schema.json")
    verify_net_in_out("network_def", configs + "/metadata.json", configs + "/inference.json", device="cpu")
    meta, config = configs + "/metadata.json", configs + "/inference.json"
    ckpt_export("network_def", output_dir + "/model.ts", root + "/models/model.pt", meta, config)
    for kind in ("train", "inference"):
        network = monai.bundle.load(name, bundle_dir=folder, workflow_type=kind, device="cpu")
        assert type(network).__name__ == "RefinedLinearAutoencoder"
    scripted, metadata, _ = monai.bundle.load(name, bundle_dir=folder, load_ts_module=True, device="cpu")
    assert metadata["encoder_hash"]
    options = {"dataset_dir": sample, "output_dir": output_dir + "/infer"}
    infer = ConfigWorkflow(configs + "/inference.json", workflow_type="infer", **options)
    infer.initialize()
    print("infer", infer.check_properties())
"""

TRAINING_CHECKS = """
    import sys
    root, cohort, output_dir, options = sys.argv[1:]
    sys.path.insert(0, root)
    import json
    import bundle
    from monai.bundle import ConfigWorkflow
    assert bundle.__file__.startswith(root), bundle.__file__
    options = {**json.loads(options), "dataset_dir": cohort, "progress": False}
    train = ConfigWorkflow(root + "/configs/train.json", workflow_type="train", output_dir=output_dir + "/a", **options)
    train.initialize()
    print("train", train.check_properties())
"""


def test_verifiers_load_and_properties_of_monai_accept_it(unpacked, tmp_path):
    said = elsewhere(tmp_path, "-c", textwrap.dedent(CHECKS), unpacked, unpacked / "sample", tmp_path)
    assert "metadata is verified with no error" in said and "data shape of network is verified" in said
    assert "infer []" in said and torch.jit.load(str(tmp_path / "model.ts"))


@pytest.mark.slow
def test_training_properties_of_monai_are_there(unpacked, tiny_cohort, tmp_path):
    options = json.dumps(TRAINING)
    said = elsewhere(tmp_path, "-c", textwrap.dedent(TRAINING_CHECKS), unpacked, tiny_cohort, tmp_path, options)
    assert "train []" in said


@pytest.mark.slow
def test_training_and_evaluating_run_from_the_package(unpacked, tiny_cohort, tmp_path):
    options = {"dataset_dir": tiny_cohort, "output_dir": "own", "progress": False, **TRAINING}
    elsewhere(tmp_path, *stage_words(unpacked, "training", "train.json", **options))
    elsewhere(tmp_path, *stage_words(unpacked, "evaluating", "evaluate.json", output_dir="own", num_workers=0))
    assert (tmp_path / "own" / "3_evaluation" / "summary.tsv").is_file()


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(find_spec, ("mlflow", "sqlalchemy", "alembic"))), reason="needs mlflow-skinny, sqlalchemy and alembic"
)
def test_training_is_tracked_by_mlflow(unpacked, tiny_cohort, tmp_path):
    options = {"dataset_dir": tiny_cohort, "output_dir": "own", "progress": False, "tracking": "mlflow", **TRAINING}
    elsewhere(tmp_path, *stage_words(unpacked, "training", "train.json", **options))
    assert (tmp_path / "own" / "mlruns.db").is_file()


def test_a_misspelt_option_is_refused_there_too(unpacked, tmp_path):
    words = stage_words(unpacked, "embedding", "inference.json", datasetdir=unpacked / "sample")
    with pytest.raises(AssertionError, match="did you mean --dataset_dir"):
        elsewhere(tmp_path, *words)


def test_all_that_is_wrong_is_said_at_once(finished):
    text = refused(finished, forms=["onyx"], data_license="terms.txt", images={"FA": "/home/jane/fa.nii.gz"})
    assert "unknown form 'onyx'" in text and "terms.txt does not exist" in text and "no pattern for JAC" in text
    assert "would tell others your folders" in text


@pytest.mark.parametrize(
    "pattern", ["../{participant_id}.nii.gz", "a/../../{participant_id}.nii.gz", "a\\..\\{participant_id}.nii.gz"]
)
def test_patterns_that_lead_out_of_the_folder_are_refused(finished, pattern):
    assert "leads out of the cohort folder" in refused(finished, images={"FA": pattern})


def test_figures_of_another_encoder_are_refused(finished, tmp_path):
    copy = tmp_path / "output"
    shutil.copytree(finished, copy)
    (copy / "3_evaluation" / "evaluation.json").write_text('{"encoder_hash": "0", "split": "test", "n_people": 3}')
    assert "run evaluating again" in refused(copy)
    (copy / "3_evaluation" / "evaluation.json").write_text('{"encoder')
    assert "evaluation.json is broken" in refused(copy)
    assert "No weights at" in refused(tmp_path / "nothing")


def test_people_of_ones_own_need_a_word_on_who_they_are_and_give_no_sample(finished, tmp_path):
    copy = tmp_path / "output"
    shutil.copytree(finished, copy)
    datalist = json.loads((copy / "1_prepared" / "datalist.json").read_text())
    (copy / "1_prepared" / "datalist.json").write_text(json.dumps(datalist | {"dataset_dir": "/nowhere/own"}))
    assert "--data_source" in refused(copy)
    names = zipfile.ZipFile(export(copy, forms=[], data_source="200 volunteers, with consent")).namelist()
    assert not any(name.startswith("brainstrata/sample/") for name in names)
    assert "brainstrata/docs/data_license.txt" not in names


def test_only_code_is_taken_from_the_checkouts_packages(tmp_path):
    checkout = tmp_path / "checkout"
    for name in ("bundle/report/page.html", "bundle/packaging/card.md", "bundle/data/items.py", "custom_nets/x.py"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    (checkout / "LICENSE").touch()
    kept = sorted(path.relative_to(checkout) for path in checkout.rglob("*") if path.is_file())
    for name in (
        "bundle/data/patients.csv",
        "bundle/data/notes.md",
        "bundle/.ipynb_checkpoints/x.py",
        "custom_nets/m.pt",
    ):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    (tmp_path / "package").mkdir()
    copy_code(checkout, tmp_path / "package")
    package = tmp_path / "package"
    assert sorted(path.relative_to(package) for path in package.rglob("*") if path.is_file()) == kept


def test_schema_asks_for_no_less_than_monais():
    required = set(json.loads(SCHEMA.read_text())["required"])
    assert required >= {
        *("schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"),
        *("task", "description", "authors", "copyright", "network_data_format", "changelog", "supported_apps"),
    }
