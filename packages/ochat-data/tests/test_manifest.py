from __future__ import annotations

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
