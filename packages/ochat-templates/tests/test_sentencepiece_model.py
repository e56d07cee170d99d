"""The `.model` file itself: read, changed and refused when it is damaged."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochat_templates import TokenizerError
from ochat_templates.sentencepiece_model import (
    ModelPiece,
    ModelType,
    PieceKind,
    read_model,
    with_control_pieces,
    with_pieces_inserted,
)


def test_what_a_file_says_is_what_sentencepiece_reads(sentencepiece_file: Path) -> None:
    model = read_model(sentencepiece_file.read_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(sentencepiece_file))
    assert [piece.text for piece in model.pieces] == [
        processor.id_to_piece(i) for i in range(processor.get_piece_size())
    ]
    assert [piece.score for piece in model.pieces] == [
        processor.get_score(i) for i in range(processor.get_piece_size())
    ]
    kinds = [piece.kind for piece in model.pieces]
    assert kinds[:3] == [PieceKind.UNKNOWN, PieceKind.CONTROL, PieceKind.CONTROL]
    assert kinds.count(PieceKind.BYTE) == 256
    assert model.model_type is ModelType.BPE
    assert (model.byte_fallback, model.dummy_prefix, model.escape_spaces) == (True, True, True)
    assert (model.has_charsmap, model.remove_spaces, model.space_as_suffix) == (False,) * 3


def test_a_file_without_anything_has_sentencepieces_defaults() -> None:
    model = read_model(b"")
    assert model.pieces == ()
    assert model.model_type is ModelType.UNIGRAM
    assert (model.byte_fallback, model.dummy_prefix, model.remove_spaces) == (False, True, True)


def test_pieces_are_inserted_and_demoted_and_nothing_else_changes(
    sentencepiece_file: Path, tmp_path: Path
) -> None:
    data = sentencepiece_file.read_bytes()
    marker = ModelPiece(text="<turn>", score=0.0, kind=PieceKind.USER_DEFINED)
    changed = with_pieces_inserted(data, 260, [marker])
    before, after = read_model(data).pieces, read_model(changed).pieces
    assert after == (*before[:260], marker, *before[260:])
    demoted = with_control_pieces(changed, {"<turn>", "</s>", "User"})
    pieces = read_model(demoted).pieces
    assert pieces[260] == ModelPiece(text="<turn>", score=0.0, kind=PieceKind.CONTROL)
    assert pieces[:260] + pieces[261:] == before
    assert with_control_pieces(data, {"nothing"}) == data
    file = tmp_path / "changed.model"
    file.write_bytes(demoted)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(file))
    assert processor.is_control(260)
    assert 260 not in processor.encode("<turn>")


def test_pieces_of_any_length_go_behind_the_last_one(
    sentencepiece_file: Path, tmp_path: Path
) -> None:
    data = sentencepiece_file.read_bytes()
    pieces = read_model(data).pieces
    # Lengths from 128 bytes on take two bytes in the file.
    added = [ModelPiece(text="=" * length, score=-1e9) for length in (2, 100, 130)]
    file = tmp_path / "longer.model"
    file.write_bytes(with_pieces_inserted(data, len(pieces), added))
    assert read_model(file.read_bytes()).pieces == (*pieces, *added)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(file))
    assert processor.id_to_piece(processor.get_piece_size() - 1) == "=" * 130


DAMAGED = {
    "cut off": b"\x0a\x05ab",
    "endless number": b"\xff" * 12,
    "no number": b"\x08",
    "unknown wire type": b"\x0b\x00",
    "a number for a piece": b"\x08\x01",
    "bytes for a kind": b"\x0a\x04\x1a\x02ab",
    "a number for a score": b"\x0a\x02\x10\x01",
    "short score": b"\x0a\x05\x12\x03abc",
    "unknown kind": b"\x0a\x02\x18\x09",
    "text that is no UTF-8": b"\x0a\x03\x0a\x01\xff",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_bytes_are_refused(name: str) -> None:
    with pytest.raises(TokenizerError, match="not a SentencePiece model"):
        read_model(DAMAGED[name])
    with pytest.raises(TokenizerError, match="not a SentencePiece model"):
        with_control_pieces(DAMAGED[name], {"x"})


def test_damage_is_found_when_pieces_are_inserted() -> None:
    with pytest.raises(TokenizerError, match="not a SentencePiece model"):
        with_pieces_inserted(b"\x0a\x05ab", 0, [])


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_bytes_crash_the_reader(sentencepiece_file: Path, data: st.DataObject) -> None:
    whole = bytearray(sentencepiece_file.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for raw in (damaged, data.draw(st.binary(max_size=60))):
        with suppress(TokenizerError):  # nothing else may come, and nothing may hang
            assert len(read_model(raw).pieces) * 2 <= len(raw)
            assert len(with_control_pieces(raw, {"<s>"})) >= len(raw)


def test_gzip_and_text_are_no_models(tmp_path: Path, sentencepiece_file: Path) -> None:
    shutil.make_archive(str(tmp_path / "packed"), "gztar", sentencepiece_file.parent)
    for data in ((tmp_path / "packed.tar.gz").read_bytes(), b"#!/bin/sh\nexit 1\n"):
        with pytest.raises(TokenizerError):
            read_model(data)
