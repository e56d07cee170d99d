"""Published token ids: OpenChat's README, its 2024 test-suite, and the cases that we ship."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from ochat_templates import (
    Codec,
    Conversation,
    Template,
    convert_sentencepiece,
    get_template,
    load_codec,
)
from ochat_templates.goldens import GoldenCase, golden_cases

BACKENDS = ("sentencepiece", "tokenizers", "transformers", "callable")
LLAMA3 = "OCHAT_LLAMA3_TOKENIZER"


def mistral_file() -> Path:
    """Mistral's released v1 tokenizer, which mistral-common carries."""
    package = pytest.importorskip("mistral_common")
    return Path(package.__file__).parent / "data" / "tokenizer.model.v1"


def llama3_file() -> Path:
    place = os.environ.get(LLAMA3)
    if not place:
        pytest.skip(f"{LLAMA3} is not set: give the path of Llama 3's tokenizer.json")
    return Path(place)


def tokenizer_file(family: str, request: pytest.FixtureRequest) -> Path:
    if family == "llama2":
        return request.getfixturevalue("test_data") / "llama2_tokenizer.model"
    return mistral_file() if family == "mistral_v1" else llama3_file()


def codec_of(file: Path, template: str, backend: str) -> Codec:
    """The released tokenizer through one of the backends."""
    first = load_codec(file, template)
    if backend == "sentencepiece" or file.suffix == ".json":
        return first
    converted = convert_sentencepiece(file, first.template.control_tokens)
    if backend == "tokenizers":
        return Codec.from_tokenizers(converted, template)
    if backend == "transformers":
        transformers = pytest.importorskip("transformers")
        wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=converted)
        return Codec.from_hf(wrapped, template)
    return Codec.from_callable(
        first.encode_text, template, control_ids=first.control_ids, token_bytes=first.token_bytes
    )


PUBLISHED = {
    "openchat_v3.2": "llama2",
    "openchat_v3.2_mistral": "mistral_v1",
    "openchat_3.6": "llama3",
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("template", PUBLISHED)
def test_ids_and_weights_are_those_of_the_2024_test_suite(
    template: str, backend: str, test_data: Path, request: pytest.FixtureRequest
) -> None:
    codec = codec_of(tokenizer_file(PUBLISHED[template], request), template, backend)
    gold = json.loads((test_data / "templates_gold.json").read_text(encoding="utf-8"))
    [case] = [case for case in gold["train_cases"] if case["type"] == template]
    for index, conversation in enumerate(gold["train_conv"]):
        encoded = codec.encode(Conversation.from_json(conversation))
        assert encoded.ids == case["expected_tokens"][index]
        assert encoded.weights() == pytest.approx(case["expected_weights"][index])
    [case] = [case for case in gold["inf_cases"] if case["type"] == template]
    for index, conversation in enumerate(gold["inf_conv"]):
        assert codec.prompt(Conversation.from_json(conversation)) == case["expected_tokens"][index]


def title(case: GoldenCase) -> str:
    return f"{case.template}, {case.title}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", golden_cases(), ids=title)
def test_every_shipped_case_holds(
    case: GoldenCase, backend: str, request: pytest.FixtureRequest
) -> None:
    codec = codec_of(tokenizer_file(case.family, request), case.template, backend)
    assert codec.prompt(case.asked) == list(case.prompt)
    if case.ids:
        encoded = codec.encode(case.conversation)
        assert encoded.ids == list(case.ids)
        assert encoded.weights() == list(case.weights)


def test_every_llama_and_mistral_template_has_a_case_and_openchats_readme_has_four() -> None:
    cases = golden_cases()
    assert sum("README" in case.source for case in cases) == 4
    assert {case.template for case in cases} == {
        "openchat",
        "openchat_8192",
        "openchat_v2",
        "openchat_v2_llama2",
        "openchat_llama2",
        "openchat_v3.1_llama2",
        "openchat_v3.2",
        "openchat_v3.2_mistral",
        "openchat_3.6",
        "openchat_3.6_moe",
        "zephyr",
        "zephyr_mistral",
    }


def test_openchat_3_6_has_the_published_structure_on_a_stand_in(
    byte_level_tokenizer: Callable[[Template], Tokenizer], test_data: Path
) -> None:
    """Without Llama 3's file: the published ids, cut at Llama 3's control ids, have our frame."""
    template = get_template("openchat_3.6")
    codec = Codec.from_tokenizers(byte_level_tokenizer(template), template)
    gold = json.loads((test_data / "templates_gold.json").read_text(encoding="utf-8"))
    [case] = [case for case in gold["train_cases"] if case["type"] == "openchat_3.6"]
    published = {
        "<|begin_of_text|>": 128000,
        "<|start_header_id|>": 128006,
        "<|end_header_id|>": 128007,
        "<|eot_id|>": 128009,
    }
    names = {token_id: token for token, token_id in published.items()}
    ours = {token_id: token for token, token_id in codec.control_ids.items()}
    for index, conversation in enumerate(gold["train_conv"]):
        encoded = codec.encode(Conversation.from_json(conversation))
        expected = [names.get(i, "text") for i in case["expected_tokens"][index]]
        assert squeezed([ours.get(i, "text") for i in encoded.ids]) == squeezed(expected)
        weights = [
            weight
            for weight, name in zip(case["expected_weights"][index], expected, strict=True)
            if name != "text"
        ]
        assert [w for w, i in zip(encoded.weights(), encoded.ids, strict=True) if i in ours] == (
            pytest.approx(weights)
        )
        headers = [
            bytes_between(codec, encoded.ids, segment.start, segment.end)
            for segment in encoded.segments
            if segment.kind == "prefix" and segment.message is not None
        ]
        roles = [message["role"].title() for message in conversation["items"]]
        assert headers == [f"{conversation['condition']} {role}\n\n" for role in roles]


def squeezed(names: list[str]) -> list[str]:
    """Runs of text as one: a stand-in needs more tokens for the same words."""
    return [
        name for index, name in enumerate(names) if name != "text" or names[index - 1] != "text"
    ]


def bytes_between(codec: Codec, ids: list[int], start: int, end: int) -> str:
    return b"".join(codec.token_bytes[i] or b"" for i in ids[start:end]).decode()
