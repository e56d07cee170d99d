"""Converts whole datasets from and to the layouts that `legacy_parquet` knows."""

from __future__ import annotations

from pathlib import Path

from ochat_templates import Codec, load_codec

from .dataset import TokenDataset
from .dataset_writer import TokenDatasetWriter
from .errors import DatasetError, InputError, OutputError
from .examples import EncodedExample
from .legacy_parquet import legacy_metadata, read_legacy, write_legacy
from .manifest import Manifest, SourceInfo, Truncation, library_versions
from .reading import file_digest, plain_name


def import_legacy(
    train_file: Path,
    output: Path,
    tokenizer: str,
    *,
    eval_file: Path | None = None,
    template: str | None = None,
    condition: str = "",
    overwrite: bool = False,
) -> Manifest:
    """Makes a token dataset of a trainer's Parquet files.

    Raises:
        InputError: A file is of neither layout, or was not made with this template and tokenizer.
        OutputError: The output exists and may not be overwritten.
    """
    metadata = legacy_metadata(train_file)
    name = template or metadata.get("model_type")
    if not isinstance(name, str):
        raise InputError(f"{train_file} does not say its model_type; give --template")
    codec = load_codec(tokenizer, name)
    sources: list[SourceInfo] = []
    longest = 0
    with TokenDatasetWriter(output, overwrite=overwrite) as writer:
        for split, path in (("train", train_file), ("eval", eval_file)):
            if path is None:
                continue
            rows = 0
            for example in read_legacy(path, split, condition):
                if not rows:
                    _require_same_format(example, codec, path)
                writer.add(split, example.id, example.encoded, example.condition, example.source)
                longest = max(longest, len(example.encoded.ids))
                rows += 1
            digest = file_digest(str(path))
            sources.append(SourceInfo(name=plain_name(str(path)), sha256=digest, records=rows))
        splits = writer.close_shards()
        if not splits["train"].totals.examples:
            raise DatasetError(f"{train_file} holds no examples")
        manifest = Manifest(
            template=codec.template.name,
            fingerprint=codec.fingerprint,
            vocab_size=codec.vocab_size,
            context_length=max(longest, codec.template.context_length),
            truncation=Truncation(policy="cut" if metadata["layout"] == "2023" else "cut-trim"),
            nothing_to_learn=0,
            weight_preset="v3-balanced" if metadata["layout"] == "2023" else "per-message",
            weight_factors=_group_factors(metadata),
            weights={},
            seed=0,
            eval_fraction=0.0,
            sources=tuple(sources),
            versions=library_versions(),
            splits=splits,
        )
        writer.finish(manifest)
    return manifest


def export_legacy(folder: Path, prefix: str, layout: str, *, overwrite: bool = False) -> list[Path]:
    """Writes the splits of a token dataset as `PREFIX.train.parquet` and `PREFIX.eval.parquet`.

    Raises:
        DatasetError: The folder is no dataset, or the layout cannot say what it does.
        OutputError: A file exists and may not be overwritten.
    """
    dataset = TokenDataset.open(folder)
    written: list[Path] = []
    for name, info in dataset.manifest.splits.items():
        if not info.totals.examples:
            continue
        path = Path(f"{prefix}.{name}.parquet")
        if path.exists() and not overwrite:
            raise OutputError(f"{path} already exists; choose another name, or give --overwrite")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_legacy(path, dataset.split(name), dataset.manifest, layout)
        written.append(path)
    return written


def _require_same_format(example: EncodedExample, codec: Codec, path: Path) -> None:
    """The first example must open with the template's BOS and stay within its vocabulary."""
    ids = example.encoded.ids
    if codec.bos_id is not None and ids[0] != codec.bos_id:
        raise InputError(
            f"{path} opens its examples with the id {ids[0]}, but {codec.template.name} with this "
            f"tokenizer opens them with {codec.bos_id}; give the --tokenizer and --template that "
            "made the file"
        )
    if max(ids) >= codec.vocab_size:
        raise InputError(
            f"{path} holds the id {max(ids)}, but this tokenizer has {codec.vocab_size} ids; give "
            "the --tokenizer that made the file"
        )


def _group_factors(metadata: dict[str, object]) -> dict[str, float]:
    from .legacy_parquet import GROUP_CONDITIONS

    weights = metadata.get("group_loss_weights")
    if not isinstance(weights, list):
        return {}
    return {name: float(each) for name, each in zip(GROUP_CONDITIONS, weights, strict=False)}
