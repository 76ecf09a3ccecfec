import pytest
import yaml
from fire.parser import DefaultParseValue

from bundle.data.problems import InputProblems
from bundle.running.command_line import check_command_line
from tests.conftest import ROOT

COMMAND = ["run", "training", "--config_file", "configs/train.yaml"]


@pytest.mark.parametrize(
    "options",
    [
        ["--max_epochs", "1"],
        ["--max-epochs=1"],
        ["-max_epochs", "1"],
        ["--synthetic::seed", "3"],
        ["--synthetic::spacing_mm", "6.0"],
        ["--synthetic", "{'n_subjects': 5, 'spacing_mm': 6.0}"],
        ["--images", "{'T2w': '{participant_id}.nii.gz'}"],
        ["--modality_weights", "{'T1w': 1, 'FA': 3}"],
        ["--train#trainer#max_epochs", "2"],
        ["--train::trainer::amp", "True"],
        ["--train::dataloader::pin_memory", "True"],
        ["--train::handlers::0::seed", "2"],
        ["--network_def", "%configs/parts/network_paper.yaml"],
        ["--network_def", "{'_target_': 'custom_nets.PaperFusionAutoencoder', 'modalities': '@modalities'}"],
        ["--mine", "{'_target_': 'torch.nn.Identity'}", "--inferer", "@mine"],
        ["--meta_file", "x.json"],
        ["--resume", "true"],
        ["--resume=False"],
    ],
)
def test_known_options_pass(options):
    check_command_line([*COMMAND, *options])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--max_epoch=1", r"Unknown --max_epoch: did you mean --max_epochs\?"),
        ("-max_epoch=1", r"Unknown --max_epoch: did you mean --max_epochs\?"),
        ("--train::trainer::max_epoch=3", r"Unknown --train::trainer::max_epoch: did you mean --train::trainer::max_epochs"),
        ("--train::trainr::max_epochs=3", "did you mean --train::trainer"),
        ("--synthetic::n_subject=5", "Unknown --synthetic::n_subject: did you mean --synthetic::n_subjects"),
        ("--synthetic={'n_subject': 5}", "Unknown --synthetic::n_subject: did you mean --synthetic::n_subjects"),
        ("--modality_weights={'FAA': 5}", "Unknown --modality_weights::FAA: did you mean --modality_weights::FA"),
        ("--validate::key_metrc=x", "did you mean --validate::key_metric"),
        ("--train::handlers::99::seed=1", "train::handlers has entries 0 to"),
        ("--network_def::widths=[3]", "network_def, which is '%configs/parts/network.yaml': give --network_def whole"),
        (
            "--network_def={'_target_': 'custom_nets.PaperFusionAutoencoder', 'skip': 'none'}",
            "Unknown --network_def::skip: did you mean --network_def::skips",
        ),
        ("--+train::handlers=[]", "put .*train::handlers into an overlay"),
    ],
)  # fmt: skip
def test_misspelt_options_are_named_with_the_nearest(option, message):
    with pytest.raises(InputProblems, match=message):
        check_command_line([*COMMAND, option])


@pytest.mark.parametrize(
    ("run_id", "config", "option", "message"),
    [
        ("clustering", "cluster", "--clustering_def={'standardize': True}", "did you mean --clustering_def::standardise"),
        ("clustering", "cluster", "--clustering_def={'choice': {'damping': [0.5]}}", "--clustering_def::choice::dampings"),
        ("phenotyping", "phenotypes", "--tests::n_permutation=9", "did you mean --tests::n_permutations"),
        ("phenotyping", "phenotypes", "--factors::n_factor=9", "did you mean --factors::n_factors"),
        ("embedding", "inference", "--files={'T1': 'x.nii.gz'}", "did you mean --files::T1w"),
    ],
)  # fmt: skip
def test_settings_of_other_stages_are_known_too(run_id, config, option, message):
    with pytest.raises(InputProblems, match=message):
        check_command_line(["run", run_id, f"--config_file=configs/{config}.yaml", option])


@pytest.mark.parametrize("options", [["--resume", "false"], ["--amp=no"], ["--progress", "0"]])
def test_words_that_would_count_as_true_are_refused(options):
    with pytest.raises(InputProblems, match="with a capital"):
        check_command_line([*COMMAND, *options])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--help"], "docs/options.md has every option"),
        (["--spatial_size", "32"], r"--spatial_size: expected a list such as \[64, 64, 48\], got 32"),
        (
            ["--network_def", "configs/parts/network.yaml"],
            "a file with % before its path, got 'configs/parts/network.yaml'",
        ),
    ],
)
def test_beginners_slips_are_named(words, message):
    with pytest.raises(InputProblems, match=message):
        check_command_line([*COMMAND, *words])


@pytest.mark.parametrize("content", [{"resume": "no"}, {"amp": "False"}, {"train::sampler::shuffle": "false"}])
def test_texts_for_switches_are_refused_in_overlays_and_arguments_files(tmp_path, content):
    with pytest.raises(InputProblems, match="is no switch, and text would count as true: write "):
        check_command_line(overlay(tmp_path, content))
    file = tmp_path / "arguments.yaml"
    file.write_text(yaml.safe_dump({"config_file": "configs/train.yaml", "run_id": "training", **content}))
    with pytest.raises(InputProblems, match="is no switch, and text would count as true: write "):
        check_command_line(["run", f"--args_file={file}"])


@pytest.mark.parametrize("content", [{"resume": True}, {"amp": "$device.type == 'cuda'"}, {"resume": "@amp"}])
def test_switches_and_what_stands_for_them_pass(tmp_path, content):
    check_command_line(overlay(tmp_path, content))


def test_deep_switches_are_read_as_carefully():
    with pytest.raises(InputProblems, match="--train::sampler::shuffle True or"):
        check_command_line([*COMMAND, "--train::sampler::shuffle", "false"])


MAPPING = ["run", "mapping", "--config_file", "configs/map.yaml"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--participant_id=1234567_20252", r"""reads 1234567_20252 as 123456720252.* such as "'1234567_20252'"\."""),
        ("--participant_id=1e5", "reads 1e5 as 100000.0"),
        ("--participant_id=a,b", r"reads a,b as \('a', 'b'\)"),
        ("--participant_ids=2_0", "reads 2_0 as 20"),
        ("--participant_ids=[2_0,'3_0',4,0x1F]", "reads 2_0 as 20, 0x1F as 31"),
        ("--session=2_0", "reads 2_0 as 20"),
        ("--dataset_dir=2024_05", "reads 2024_05 as 202405"),
        ("--output_dir=run#2", "reads run#2 as run:"),
    ],
)  # fmt: skip
def test_names_that_would_be_read_as_others_are_refused(option, message):
    with pytest.raises(InputProblems, match=message):
        check_command_line([*MAPPING, option])


@pytest.mark.parametrize(
    ("option", "read"),
    [
        ("--participant_id='1234567_20252'", "1234567_20252"),
        ("--participant_id=007", "007"),
        ("--participant_id=100307", 100307),
        ("--participant_id=sub-01", "sub-01"),
        ("--participant_ids=['2_0',100307,sub01]", ["2_0", 100307, "sub01"]),
        ("--participant_ids=100307,100408", (100307, 100408)),
        ("--session=2", 2),
        ("--dataset_dir=../data", "../data"),
        ("--dataset_dir='2024_05'", "2024_05"),
    ],
)
def test_names_that_come_through_pass(option, read):
    check_command_line([*MAPPING, option])
    assert DefaultParseValue(option.partition("=")[2]) == read  # the command line's own reading


def test_all_problems_come_at_once():
    with pytest.raises(InputProblems) as caught:
        check_command_line(["run", "trainin", *COMMAND[2:], "--max_epoch=1", "--synthetic::n_subject=5", "--amp=no"])
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("words", [["trainin"], ["--run_id", "trainin"], ["--run_id=trainin"]])
def test_a_misspelt_run_is_named_with_the_nearest(words):
    with pytest.raises(
        InputProblems, match=r"Unknown trainin: did you mean training\? configs/train.yaml runs training"
    ):
        check_command_line(["run", *words, "--config_file", "configs/train.yaml"])


def test_the_run_may_go_without_saying():
    check_command_line(["run", "--config_file", "configs/train.yaml"])


def test_an_arguments_file_is_checked_as_options_are(tmp_path):
    file = tmp_path / "arguments.yaml"
    file.write_text("{config_file: configs/train.yaml, run_id: training, max_epoch: 3}")
    with pytest.raises(InputProblems, match="did you mean --max_epochs"):
        check_command_line(["run", f"--args_file={file}"])


def overlay(tmp_path, content):
    file = tmp_path / "overlay.yaml"
    file.write_text(yaml.safe_dump(content))
    return ["run", "training", "--config_file", f"['configs/train.yaml', '{file}']"]


@pytest.mark.parametrize(
    "content",
    [
        {"+train::handlers": [{"_target_": "bundle.handlers.stop_on_nan.StopOnNan"}]},
        {"synthetic::spacing_mm": 6.0, "max_epochs": 3},
        {"mine": {"_target_": "torch.nn.Identity"}, "inferer": "@mine"},
        {"network_def": {"_target_": "custom_nets.RefinedLinearAutoencoder", "modalities": "@modalities"}, "network_def::norm": "batch"},
    ],
)  # fmt: skip
def test_known_keys_of_overlays_pass(tmp_path, content):
    check_command_line(overlay(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"max_epoch": 3}, r"overlay.yaml: Unknown max_epoch: did you mean max_epochs\?"),
        ({"synthetic": {"n_subject": 3}}, "did you mean synthetic::n_subjects"),
        ({"train::trainer::max_epoch": 3}, "did you mean train::trainer::max_epochs"),
        ({"+train::handler": []}, "did you mean train::handlers"),
        ({"+train::handlers": [{"_target_": "LrScheduleHandler", "lr_schedule": "@lr_scheduler"}]}, "::lr_scheduler"),
        ({"+max_epochs": 3}, "appends to a list or a mapping"),
    ],
)
def test_misspelt_keys_of_overlays_are_named_with_file_and_nearest(tmp_path, content, message):
    with pytest.raises(InputProblems, match=message):
        check_command_line(overlay(tmp_path, content))


def test_a_later_overlay_may_change_what_an_earlier_one_brought(tmp_path):
    words = overlay(tmp_path, {"inferer": {"_target_": "monai.inferers.SlidingWindowInferer", "roi_size": 8}})
    check_command_line([*words, "--inferer::overlap", "0.5"])
    with pytest.raises(InputProblems, match="did you mean --inferer::overlap"):
        check_command_line([*words, "--inferer::overlp", "0.5"])


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("overlay_*.yaml")), ids=lambda file: file.stem)
def test_every_overlay_of_ours_is_known(file):
    check_command_line(["run", "--config_file", f"['configs/train.yaml', '{file}']"])


def test_a_misspelt_key_of_the_first_config_is_named(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text((ROOT / "configs" / "studies" / "skips.yaml").read_text().replace("seeds:", "seed:"))
    with pytest.raises(InputProblems, match="nothing refers to seed, so it has no effect"):
        check_command_line(["run", "studying", "--config_file", str(file)])


def test_options_of_a_study_reach_its_mappings():
    words = ["run", "studying", "--config_file", "configs/studies/skips.yaml", "--seeds", "[0,1]"]
    check_command_line([*words, "--study::options::max_epochs", "3", "--study::cohort", "{'n_subjects': 24}"])
    check_command_line([*words, "--grid", "%configs/parts/grid_64.yaml", "--study::cohort", "{'n_strata': 1}"])
    with pytest.raises(InputProblems, match="did you mean --study::cohort::n_strata"):
        check_command_line([*words, "--study::cohort", "{'n_stratum': 1}"])
    with pytest.raises(InputProblems, match="did you mean --study::options"):
        check_command_line([*words, "--study::option", "{}"])


@pytest.mark.parametrize(
    "stage",
    [file.stem for file in sorted((ROOT / "configs").glob("*.yaml")) if "_" not in file.stem and file.stem != "study"],
)
def test_every_stage_of_ours_is_known(stage):
    check_command_line(["run", "--config_file", f"configs/{stage}.yaml"])


def test_other_programs_are_left_alone():
    check_command_line(["-q", "--whatever"])
    check_command_line([])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*COMMAND, "resume", "true"], "Words that belong to no option: resume true"),
        ([*COMMAND, "--dataset_dir"], "--dataset_dir has no value"),
        ([*COMMAND, "--dataset_dir", "--resume", "True"], "--dataset_dir has no value"),
        ([*COMMAND, "--network_def", "%configs/parts/netwrk.yaml"], "there is no file configs/parts/netwrk.yaml"),
        (["run", "training", "--config_file", "configs/trainn.yaml"], r"did you mean configs/train\.yaml"),
    ],
)
def test_words_that_lead_nowhere_are_refused(words, message):
    with pytest.raises(InputProblems, match=message):
        check_command_line(words)


def test_switches_need_no_value():
    check_command_line([*COMMAND, "--resume"])


CANNOT_BE = [
    ("seed", "-1"), ("seed", "1.5"), ("seed", "1e30"), ("seed", "abc"), ("validation_fraction", "abc"), ("validation_fraction", "0"),
    ("validation_fraction", "-0.1"), ("test_fraction", "1.5"), ("max_epochs", "0"), ("max_epochs", "ten"), ("max_epochs", "2.5"),
    ("batch_size", "0"), ("num_workers", "-1"), ("num_workers", "two"), ("synthetic::n_strata", "0"), ("synthetic::n_strata", "8"),
    ("synthetic::n_subjects", "0"), ("synthetic::seed", "-3"), ("learning_rate", "0"), ("learning_rate", "fast"),
    ("learning_rate", "'1e-3'"), ("spatial_size", "[0,64,48]"), ("spatial_size", "['a','b','c']"), ("spatial_size", "[64.5,64,48]"),
    ("validation_fraction", "float('nan')"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), CANNOT_BE)
def test_numbers_that_cannot_be_are_refused_by_name(name, value):
    with pytest.raises(InputProblems, match=f"--{name}"):
        check_command_line([*COMMAND, f"--{name}={value}"])


@pytest.mark.parametrize("value", ["1e-1", "1E3", "abc", ".nan", "-.inf", "-0.2", "'0.1'"])
def test_numbers_of_an_overlay_that_yaml_reads_as_words_are_refused(tmp_path, value):
    (tmp_path / "overlay.yaml").write_text(f"validation_fraction: {value}\n")
    with pytest.raises(InputProblems, match="validation_fraction: "):
        check_command_line(
            ["run", "training", "--config_file", f"['configs/train.yaml','{tmp_path / 'overlay.yaml'}']"]
        )


@pytest.mark.parametrize(("stage", "option"), [("phenotypes", "tests::n_permutations=0"), ("cluster", "n_permutations=-5"), ("cross_validate", "n_folds=1"), ("check", "outlier_limit=-1"), ("prepare", "spacing_mm=0")])  # fmt: skip
def test_every_stage_refuses_numbers_that_cannot_be(stage, option):
    with pytest.raises(InputProblems, match=option.split("=")[0]):
        check_command_line(["run", "--config_file", f"configs/{stage}.yaml", f"--{option}"])
