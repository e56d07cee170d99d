"""Runs a pipeline file: prepares chunks, finds duplicates, encodes, assembles the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ochat_data.dataset_writer import TokenDatasetWriter, require_free
from ochat_data.errors import DataError, InputError
from ochat_data.examples import ExampleMaker
from ochat_data.manifest import Manifest, SourceInfo, StageInfo, library_versions
from ochat_data.outputs import WholeFile
from ochat_data.progress import Progress
from ochat_data.reading import plain_name
from ochat_data.tokenizing import make_manifest, require_examples, weight_factors
from ochat_templates import load_codec

from .assembling import add_examples, choose_mixture
from .balances import check_rejects, dedup_stage, mix_stage, prepared_stages, tokenize_stage
from .chunks import Chunk, InputFile, cut_chunks, input_files, plan_digest, work_key
from .duplicates import find_duplicates, write_groups
from .encode import counts_from_json, encode_chunk, encode_name
from .executors import Executor, Piece
from .prepare import prepare_chunk, prepare_name
from .recipe import Recipe, read_recipe
from .work_folder import WorkFolder

if TYPE_CHECKING:
    from ochat_templates import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """What a run made.

    Attributes:
        manifest: Of the dataset.
        rejects: The file of rejected records; None if there were none.
        duplicates: The file that lists groups of duplicates; None if there were none.
        fresh: Whether anything had to be done.
    """

    manifest: Manifest
    rejects: Path | None
    duplicates: Path | None
    fresh: bool


def run_pipeline(
    recipe_path: Path,
    executor: Executor,
    *,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> PipelineResult:
    """Runs a pipeline file, from where an earlier run of it was interrupted.

    The result depends on the file and its inputs only: not on the executor, the number of workers
    or interruptions.

    Args:
        recipe_path: The pipeline file.
        executor: Where the work is done.
        overwrite: Whether an older dataset at the output may be replaced.
        say: Takes lines for people.

    Raises:
        DataError: The file, an input or a record is at fault; the text says what to do.
    """
    recipe = read_recipe(recipe_path)
    codec = load_codec(recipe.tokenize.tokenizer, recipe.tokenize.template)
    output = Path(recipe.output)
    files = input_files(recipe)
    text = repr((_without_places(recipe), codec.fingerprint.to_json(), library_versions()))
    digest = plan_digest(text, files)
    work = WorkFolder(output, work_key(digest))
    if (done := _finished(output, digest)) is not None:
        work.remove()
        return _result(done, output, fresh=False)
    require_free(output, overwrite=overwrite)
    if work.open():
        say("going on with the run that was interrupted")
    run = _Run(recipe_path, recipe, codec, executor, work)
    manifest = run.go(files, digest, overwrite=overwrite)
    work.remove()
    return _result(manifest, output, fresh=True)


@dataclass(frozen=True, slots=True)
class _Run:
    """What every phase needs."""

    recipe_path: Path
    recipe: Recipe
    codec: Codec
    executor: Executor
    work: WorkFolder

    def go(self, files: Sequence[InputFile], digest: str, *, overwrite: bool) -> Manifest:
        """All phases, one after the other."""
        recipe, work = self.recipe, self.work
        chunks = cut_chunks(recipe, list(files), work)
        if not chunks:
            raise InputError("the sources hold no records; check 'files'")
        prepared = self._pieces("prepare", prepare_chunk, prepare_name, chunks)
        stages = prepared_stages(prepared)
        rejects, duplicates = _list_paths(Path(recipe.output))
        _write_rejects(rejects, work, [prepare_name(chunk.index) for chunk in chunks])
        check_rejects(stages[0], prepared, recipe.limits.max_reject_rate, rejects)
        begins = _begins(prepared)
        groups = find_duplicates(recipe.dedup, work.path, chunks, begins)
        encoded = self._pieces("encode", encode_chunk, encode_name, chunks)
        if recipe.dedup:
            records = sum(summary["records"] for summary in prepared)
            stages.append(dedup_stage(records, sum(summary["read"] for summary in encoded)))
        stages.append(tokenize_stage(encoded))
        names = [name(chunk.index) for name in (prepare_name, encode_name) for chunk in chunks]
        _write_rejects(rejects, work, names)
        check_rejects(stages[-1], encoded, recipe.limits.max_reject_rate, rejects)
        write_groups(duplicates, groups, work.path, begins)
        return self._assemble(
            chunks, encoded, stages, _sources(files, prepared), digest, overwrite=overwrite
        )

    def _pieces(
        self, label: str, piece: Piece, name_of: Callable[[int], str], chunks: Sequence[Chunk]
    ) -> list[dict[str, Any]]:
        """The summaries of all pieces, in the order of their chunks; does those not yet done."""
        found = {chunk.index: self.work.summary(name_of(chunk.index)) for chunk in chunks}
        missing = [chunk for chunk in chunks if found[chunk.index] is None]
        progress = Progress(label, total=len(chunks), unit="chunks")
        progress.start_at(len(chunks) - len(missing))
        count = len(chunks) - len(missing)
        paths = str(self.recipe_path.resolve()), str(self.work.path)
        for chunk, summary in self.executor.run(piece, *paths, missing):
            found[chunk.index] = summary
            count += 1
            progress.update(count)
        progress.finish(count)
        return [summary for _, summary in sorted(found.items()) if summary is not None]

    def _assemble(
        self,
        chunks: Sequence[Chunk],
        encoded: Sequence[dict[str, Any]],
        stages: list[StageInfo],
        sources: tuple[SourceInfo, ...],
        digest: str,
        *,
        overwrite: bool,
    ) -> Manifest:
        maker = ExampleMaker(self.codec, self.recipe.tokenize.options())
        for summary in encoded:
            maker.counts.add(counts_from_json(summary["counts"]))
        require_examples(maker.counts, maker.max_length)
        mixture = choose_mixture(self.recipe, self.work.path, chunks)
        if mixture.copies:
            stages.append(mix_stage(mixture))
        factors = weight_factors(maker.options, mixture.examples)
        with TokenDatasetWriter(Path(self.recipe.output), overwrite=overwrite) as writer:
            progress = Progress("write", total=len(chunks), unit="chunks")
            for number, chunk in enumerate(chunks, 1):
                copies = mixture.copies.get(chunk.index)
                add_examples(writer, self.work.path, chunk, copies, factors)
                progress.update(number)
            progress.finish(len(chunks))
            splits = writer.close_shards()
            manifest = make_manifest(
                maker, splits, factors, sources=sources, stages=tuple(stages), recipe=digest
            )
            writer.finish(manifest)
        return manifest


def _without_places(recipe: Recipe) -> Recipe:
    """The recipe without where things lie, so that a moved project is not another one."""
    sources = tuple(
        replace(source, files=tuple(map(plain_name, source.files))) for source in recipe.sources
    )
    template = plain_name(recipe.tokenize.template)
    tokenize = replace(recipe.tokenize, tokenizer="", template=template)
    return replace(recipe, output="", sources=sources, tokenize=tokenize)


def _finished(output: Path, digest: str) -> Manifest | None:
    """The manifest of a dataset that this very recipe made of these very inputs."""
    try:
        manifest = Manifest.read(output)
    except DataError:
        return None
    return manifest if manifest.recipe == digest else None


def _result(manifest: Manifest, output: Path, *, fresh: bool) -> PipelineResult:
    rejects, duplicates = _list_paths(output)
    return PipelineResult(
        manifest=manifest,
        rejects=rejects if rejects.exists() else None,
        duplicates=duplicates if duplicates.exists() else None,
        fresh=fresh,
    )


def _list_paths(output: Path) -> tuple[Path, Path]:
    return (
        output.with_name(f"{output.name}.rejects.jsonl"),
        output.with_name(f"{output.name}.duplicates.jsonl"),
    )


def _begins(prepared: Sequence[dict[str, Any]]) -> list[int]:
    """The overall place of the first record of each chunk."""
    counts = [summary["records"] for summary in prepared]
    return [0, *np.cumsum(counts).tolist()][:-1]


def _sources(
    files: Sequence[InputFile], prepared: Sequence[dict[str, Any]]
) -> tuple[SourceInfo, ...]:
    read: Counter[str] = Counter()
    for summary in prepared:
        read.update(summary["files"])
    return tuple(
        SourceInfo(name=plain_name(each.file), sha256=each.sha256, records=read[each.file])
        for each in files
    )


def _write_rejects(path: Path, work: WorkFolder, names: Sequence[str]) -> None:
    """The rejects of finished pieces, beside the dataset; no file where there are none."""
    parts = [work.path / f"{name}.rejects" for name in names]
    if not any(part.stat().st_size for part in parts):
        path.unlink(missing_ok=True)
        return
    with WholeFile(path) as file:
        for part in parts:
            file.write(part.read_bytes())
