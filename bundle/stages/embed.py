"""Stage 4: embeddings, and if asked reconstructions, of new participants."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from monai.engines import SupervisedEvaluator

from bundle.data.check import check_against_network
from bundle.data.cohort_folder import items_from_folder
from bundle.data.datalist import Item, items_from_datalist
from bundle.data.embedding_table import TABLE, EmbeddingTable
from bundle.data.participants import check_ids
from bundle.data.problems import InputProblems
from bundle.handlers.embedding_writer import EmbeddingWriter, embedded_so_far, image_hashes, reconstruction_folder
from bundle.paths import EMBEDDINGS, shown_command, stage_folder
from custom_nets import FusionAutoencoder

logger = logging.getLogger(__name__)


def new_people(
    network: FusionAutoencoder,
    output_dir: str,
    images: Mapping[str, str],
    dataset_dir: str | None = None,
    files: Mapping[str, str] | None = None,
    participant_id: str | None = None,
    given: Sequence[str] | None = None,
    write_reconstructions: bool = False,
    num_workers: int = 2,
    progress: bool = True,
) -> list[Item]:
    """Who is to be embedded, checked against the network; participants who have all that is asked for are left out.

    Args:
        network: trained.
        output_dir: results folder; `4_embeddings/` in it is read and written.
        images: modality -> file pattern, for a folder.
        dataset_dir: cohort folder or datalist JSON (all its sections).
        files: modality -> path of one participant's image, instead of `dataset_dir`.
        participant_id: of that participant.
        given: every participant is embedded from these maps alone, which all must have; None takes all that each participant has.
        write_reconstructions: participants in the table whose reconstructions are not there yet are drawn too.
        num_workers: threads that check.
        progress: show bars.

    Raises:
        InputProblems: with everything that cannot be embedded and how to fix it; if the one participant of `files` is in the
            table already, or a participant in it has other images now.
    """
    items = _wanted_people(network, images, dataset_dir, files, participant_id)
    if given is not None:
        items = _from_these_maps(items, given, network)
    folder = stage_folder(output_dir, EMBEDDINGS)
    table = embedded_so_far(folder, network)
    known = set(table.participant_ids)
    new = [
        item
        for item in items
        if item["participant_id"] not in known
        or (write_reconstructions and not reconstruction_folder(folder, item["participant_id"]).is_dir())
    ]
    if files is not None and not new:
        raise InputProblems(
            "Embeddings", [f"{participant_id} is in {folder}/{TABLE}.tsv already: give another --participant_id."]
        )
    others = _with_other_images(
        folder, table, [item for item in items if item["participant_id"] in known], num_workers, progress
    )
    if others:
        raise InputProblems("Embeddings", others)
    if len(new) < len(items):
        logger.info(
            "%d of %d participants are in the table already and are left as they are.",
            len(items) - len(new),
            len(items),
        )
    problems = check_against_network(new, network, num_workers, progress)
    if problems:
        raise InputProblems("Images", problems)
    return new


def _from_these_maps(items: Sequence[Item], given: Sequence[str], network: FusionAutoencoder) -> list[Item]:
    """The same participants without their other maps, so that embeddings differ by the participant and not by what is missing."""
    if isinstance(given, str) or not given or not set(given) <= set(network.modalities):
        expected = f"a list of some of {', '.join(network.modalities)}, such as \"['{network.modalities[0]}']\""
        raise InputProblems("Input", [f"--given: expected {expected}, got {given!r}."])
    others = set(network.modalities) - set(given)
    if others and not network.takes_any_subset:
        raise InputProblems("Input", ["--given: this network needs every modality; the default network does not."])
    problems = [
        f"{item['participant_id']}: no {m}, which --given asks of all participants: add the file, remove the row, or leave {m} out of --given."
        for item in items
        for m in given
        if m not in item
    ]
    if problems:
        raise InputProblems("Files", problems)
    return [{key: value for key, value in item.items() if key not in others} for item in items]


def _with_other_images(
    folder: Path, table: EmbeddingTable, items: Sequence[Item], num_workers: int, progress: bool
) -> list[str]:
    """A sentence for all participants whose embedding was made from other images than those that are given."""
    if not items:
        return []
    given = image_hashes(folder, items, table.modalities, num_workers, progress)
    before = table.in_order_of([item["participant_id"] for item in items])
    problems = []
    for item, own, made_of, was_there in zip(items, given, before.images, before.present, strict=True):
        cells = zip(table.modalities, own, made_of, was_there, strict=True)
        maps = [m for m, new, old, there in cells if bool(new) != bool(there) or (new and old and new != old)]
        if maps:
            problems.append(
                f"{item['participant_id']}: the embedding in {folder}/{TABLE}.npz was made of other images than these "
                f"({', '.join(maps)}): give other participants other ids, or another --output_dir. To embed this participant again, move "
                f"{folder} away."
            )
    return problems


def _wanted_people(
    network: FusionAutoencoder,
    images: Mapping[str, str],
    dataset_dir: str | None,
    files: Mapping[str, str] | None,
    participant_id: str | None,
) -> list[Item]:
    """Whom the options name, one or more."""
    if (dataset_dir is None) == (files is None) or (files is None) != (participant_id is None):
        raise InputProblems(
            "Input",
            [
                "Give either --dataset_dir (a folder or a datalist JSON), or --files \"{'T1w': 't1.nii.gz', ...}\" with "
                "--participant_id."
            ],
        )
    if files is not None:
        if not isinstance(files, Mapping):
            raise InputProblems("Input", [f"--files: expected \"{{'T1w': 't1.nii.gz', ...}}\", got {files!r}."])
        return [_person_of(files, str(participant_id), network)]  # the command line makes a number of 100307
    source = Path(str(dataset_dir)).expanduser().resolve()
    if not source.exists():
        raise InputProblems("Input", [f"--dataset_dir {source} does not exist."])
    modalities, any_subset = network.modalities, network.takes_any_subset
    if source.is_dir():
        items = items_from_folder(source, images, modalities, any_subset)
    else:
        sections = items_from_datalist(source, modalities, any_subset)
        items = [item for people in sections.values() for item in people]
    if not items:
        raise InputProblems("Input", [f"{dataset_dir} lists no participant: expected at least one participant."])
    return items


def _person_of(files: Mapping[str, str], name: str, network: FusionAutoencoder) -> Item:
    """One participant by the paths of their images."""
    modalities = network.modalities
    problems = check_ids([name], "--participant_id")
    problems += [
        f"Unknown modality {m!r}: this network knows {', '.join(modalities)}." for m in files if m not in modalities
    ]
    problems += [
        f"{name}: no {m} given: this network needs {', '.join(modalities)}."
        for m in modalities
        if m not in files and not network.takes_any_subset
    ]
    if not files:
        problems.append(f"{name}: no file given: expected some of {', '.join(modalities)}.")
    problems += [f"{name}: {m} is not at {path}." for m, path in files.items() if not Path(path).is_file()]
    if problems:
        raise InputProblems("Files", problems)
    return {"participant_id": name, "family_id": name, **{m: str(path) for m, path in files.items()}}


def run_embedding(evaluator: SupervisedEvaluator, writer: EmbeddingWriter) -> None:
    """Embed all participants who are new and say where the table is.

    Raises:
        SystemExit: with status 130 after Ctrl-C; the embeddings so far are written.
    """
    if writer.items:
        try:
            evaluator.run()
        except KeyboardInterrupt:
            writer.write()
            logger.warning(
                "Interrupted; %d embeddings are in %s, the same command goes on.", len(writer.table), writer.folder
            )
            raise SystemExit(130) from None
        except Exception:
            writer.write()
            raise
    if writer.unlike:
        logger.warning(
            "%d images look like no training participant's (distance from the mean image; 1 is usual): %s. Another map under the "
            "name, other units, a Jacobian with or without its logarithm, or not in the template? Do not use these embeddings.",
            len(writer.unlike),
            ", ".join(writer.unlike),
        )
    logger.info(
        "%d embeddings of %d values from encoder %s: %s/%s.tsv and .npz\n"
        "Next: %s --output_dir %s, or, of new participants: %s --stratifier FILE",
        len(writer.table),
        writer.network.embedding_size,
        writer.hash,
        writer.folder,
        TABLE,
        shown_command("clustering", "cluster.yaml"),
        writer.folder.parent,
        shown_command("assigning", "assign.yaml"),
    )
