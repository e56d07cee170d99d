from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from ochat_data import Manifest, Record, SourceInfo, Totals, write_token_dataset
from ochat_templates import Codec


def test_a_manifest_survives_its_file(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    source = SourceInfo(name="in.jsonl", sha256="ab" * 32, records=1)
    records = [talk("Hi", "Hello", condition="GPT4")]
    written = write_token_dataset(tmp_path / "set", records, codec, sources=[source])
    assert Manifest.read(tmp_path / "set") == written


def test_the_file_names_what_decides_the_tokens(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    write_token_dataset(tmp_path / "set", [talk("Hi", "Hello", condition="GPT4")], codec)
    stored = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert stored["schema_version"] == 1
    assert stored["template"] == "openchat_v3.2"
    assert stored["fingerprint"] == codec.fingerprint.to_json()
    assert {"ochat-data", "ochat-templates", "pyarrow"} <= stored["versions"].keys()
    assert stored["splits"]["train"]["conditions"]["GPT4"]["examples"] == 1
    assert str(tmp_path) not in json.dumps(stored)


def test_totals_add_up() -> None:
    one = Totals(examples=1, tokens=5, supervised_tokens=3, loss_weight=0.3)
    assert one.plus(one) == Totals(examples=2, tokens=10, supervised_tokens=6, loss_weight=0.6)


def test_datasets_with_other_tokens_have_other_manifests(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    for name, question in (("a", "What is 7?"), ("b", "What is 8?")):
        write_token_dataset(tmp_path / name, [talk(question, "Hello")], codec)
    one, other = Manifest.read(tmp_path / "a"), Manifest.read(tmp_path / "b")
    assert one.splits["train"].totals == other.splits["train"].totals
    assert one != other


def test_every_shard_is_listed_with_its_digest(
    tmp_path: Path, talk: Callable[..., Record], codec: Codec
) -> None:
    write_token_dataset(tmp_path / "set", [talk("Hi", "Hello")], codec)
    stored = json.loads((tmp_path / "set" / "manifest.json").read_text())
    content = (tmp_path / "set" / "train-00000.parquet").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert stored["splits"]["train"]["shards"] == {"train-00000.parquet": digest}
    assert stored["splits"]["eval"]["shards"] == {}
