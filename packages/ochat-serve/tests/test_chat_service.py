"""From a request to prompt ids and sampling parameters, and from events to text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochat_serve import (
    ChatMessage,
    ChatRequest,
    ChatService,
    ContextLengthError,
    Delta,
    ModelNotFoundError,
    RequestError,
    SamplingParams,
    ScriptedEngine,
    ServedModel,
    UnsupportedParameterError,
)
from ochat_templates import Codec, Conversation, Message


def service(codec: Codec, script: Sequence[int] | None = None, context: int = 200) -> ChatService:
    return ChatService(ScriptedEngine(script, max_model_len=context), ServedModel.of(codec, "toy"))


def user(*texts: str) -> tuple[ChatMessage, ...]:
    roles = ("user", "assistant")
    return tuple(ChatMessage(role=roles[i % 2], content=t) for i, t in enumerate(texts))


def answer(chat: ChatService, request: ChatRequest) -> list[Delta]:
    async def run() -> list[Delta]:
        await chat.engine.start()
        return [delta async for delta in chat.stream(chat.prepare(request))]

    return asyncio.run(run())


def text_of(deltas: list[Delta], index: int = 0) -> str:
    return "".join(delta.text for delta in deltas if delta.index == index)


def test_the_prompt_is_the_codecs(codec: Codec) -> None:
    chat = service(codec)
    request = ChatRequest(
        model="toy",
        messages=(ChatMessage(role="system", content="Be brief."), *user("Hi", "Hello", "Bye")),
        condition="GPT3",
    )
    expected = Conversation(
        messages=tuple(
            Message(role=r, content=c)
            for r, c in (("user", "Hi"), ("assistant", "Hello"), ("user", "Bye"))
        ),
        system="Be brief.",
        condition="GPT3",
    )
    assert chat.prepare(request).prompt_ids == codec.prompt(expected)


def test_an_absent_condition_is_the_templates_default(codec: Codec) -> None:
    chat = service(codec)
    absent = chat.prepare(ChatRequest(model="toy", messages=user("Hi"))).prompt_ids
    named = {
        name: chat.prepare(ChatRequest(model="toy", messages=user("Hi"), condition=name)).prompt_ids
        for name in ("GPT4", "GPT3")
    }
    assert absent == named["GPT4"]
    assert absent != named["GPT3"]


def test_sampling_gets_the_templates_stop_ids_and_what_fits(codec: Codec) -> None:
    chat = service(codec).prepare(ChatRequest(model="toy", messages=user("Hi")))
    assert chat.sampling.stop_ids == (codec.eot_id,)
    assert chat.sampling.max_tokens == 200 - len(chat.prompt_ids)


def test_ignore_eos_leaves_only_the_stop_ids_of_the_request(codec: Codec) -> None:
    request = ChatRequest(
        model="toy", messages=user("Hi"), ignore_eos=True, stop_token_ids=(7, 7, 8)
    )
    assert service(codec).prepare(request).sampling.stop_ids == (7, 8)


def test_the_end_of_turn_is_counted_and_not_shown(codec: Codec) -> None:
    script = [*codec.encode_text("fox and dog"), codec.eot_id, *codec.encode_text("never")]
    deltas = answer(service(codec, script), ChatRequest(model="toy", messages=user("Hi")))
    assert text_of(deltas) == "fox and dog"
    assert sum(delta.tokens for delta in deltas) == len(codec.encode_text("fox and dog")) + 1
    assert deltas[-1].finish_reason == "stop"


@pytest.mark.parametrize("skip_special_tokens", [True, False])
def test_an_id_that_ends_the_answer_is_never_shown(codec: Codec, skip_special_tokens: bool) -> None:
    comma = codec.encode_text("a,")[-1]
    script = [*codec.encode_text("one, two"), codec.eot_id]
    for stop_ids, expected in (((comma,), "one"), ((), "one, two")):
        request = ChatRequest(
            model="toy",
            messages=user("Hi"),
            stop_token_ids=stop_ids,
            skip_special_tokens=skip_special_tokens,
        )
        assert text_of(answer(service(codec, script), request)) == expected


def test_a_stop_string_ends_the_answer_and_aborts_the_engine(codec: Codec) -> None:
    script = codec.encode_text("one two three four five six")
    chat = service(codec, script)
    request = ChatRequest(model="toy", messages=user("Hi"), stop=("three",))
    deltas = answer(chat, request)
    assert (text_of(deltas), deltas[-1].finish_reason) == ("one two ", "stop")
    assert isinstance(chat.engine, ScriptedEngine)
    assert (chat.engine.aborted, chat.engine.running) == (1, 0)


def test_reaching_max_tokens_is_finish_reason_length(codec: Codec) -> None:
    script = codec.encode_text("one two three four five six")
    deltas = answer(
        service(codec, script), ChatRequest(model="toy", messages=user("Hi"), max_tokens=3)
    )
    assert deltas[-1].finish_reason == "length"
    assert sum(delta.tokens for delta in deltas) == 3


def test_several_answers_differ_in_their_seed(codec: Codec) -> None:
    chat = service(codec, codec.encode_text("yes"))
    request = ChatRequest(
        model="toy", messages=user("Hi"), n=3, sampling=SamplingParams(seed=2**63 - 2)
    )
    deltas = answer(chat, request)
    assert [text_of(deltas, index) for index in range(3)] == ["yes"] * 3
    assert isinstance(chat.engine, ScriptedEngine)
    seeds = {recorded.sampling.seed for recorded in chat.engine.requests}
    assert seeds == {2**63 - 2, 2**63 - 1, -(2**63)}


def test_closing_the_stream_aborts_every_answer(codec: Codec) -> None:
    engine = ScriptedEngine([5] * 100, tokens_per_second=100)
    chat = ChatService(engine, ServedModel.of(codec))

    async def run() -> None:
        await engine.start()
        request = ChatRequest(model="openchat_v3.2", messages=user("Hi"), n=4)
        async with aclosing(chat.stream(chat.prepare(request))) as deltas:
            await anext(deltas)
            assert engine.running == 4

    asyncio.run(run())
    assert (engine.running, engine.aborted) == (0, 4)


def test_a_trailing_assistant_message_is_continued_with_its_space(codec: Codec) -> None:
    script = [*codec.encode_text("dog"), codec.eot_id]
    chat = service(codec, script)
    deltas = answer(chat, ChatRequest(model="toy", messages=user("Hi", "The lazy")))
    assert text_of(deltas) == " dog"


def test_a_prompt_that_fills_the_context_is_refused_with_the_numbers(codec: Codec) -> None:
    chat = service(codec, context=40)
    with pytest.raises(ContextLengthError, match=r"length is 40 tokens, but the messages are \d+"):
        chat.prepare(ChatRequest(model="toy", messages=user("fox " * 50)))


def test_max_tokens_beyond_the_context_is_refused_with_the_numbers(codec: Codec) -> None:
    with pytest.raises(ContextLengthError, match="ask for at most") as caught:
        service(codec).prepare(ChatRequest(model="toy", messages=user("Hi"), max_tokens=199))
    assert caught.value.param == "max_tokens"


def test_what_the_engine_cannot_do_is_refused_and_not_ignored(codec: Codec) -> None:
    request = ChatRequest(
        model="toy", messages=user("Hi"), sampling=SamplingParams(presence_penalty=0.5)
    )
    with pytest.raises(
        UnsupportedParameterError, match="scripted engine does not support"
    ) as error:
        service(codec).prepare(request)
    assert error.value.param == "presence_penalty"


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ((), "messages"),
        ((ChatMessage(role="system", content="Be brief."),), "messages"),
        ((ChatMessage(role="alien", content="Hi"),), "messages.0.role"),
        ((*user("Hi"), ChatMessage(role="system", content="x")), "messages.1.role"),
        ((ChatMessage(role="user", content="\ud800"),), "messages.0.content"),
        ((ChatMessage(role="system", content="\ud800"), *user("Hi")), "messages"),
    ],
)
def test_unacceptable_messages_are_refused_by_their_place(
    codec: Codec, messages: tuple[ChatMessage, ...], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        service(codec).prepare(ChatRequest(model="toy", messages=messages))
    assert caught.value.param == param


def test_an_unknown_condition_is_refused_with_the_known_ones(codec: Codec) -> None:
    with pytest.raises(RequestError, match="GPT4, GPT3") as caught:
        service(codec).prepare(ChatRequest(model="toy", messages=user("Hi"), condition="GPT9"))
    assert caught.value.param == "condition"


def test_names_of_the_template_its_aliases_and_the_folder_are_served(codec: Codec) -> None:
    chat = service(codec)
    for name in ("openchat_v3.2", "openchat_v3.2_super", "toy"):
        assert chat.prepare(ChatRequest(model=name, messages=user("Hi"))).prompt_ids
    with pytest.raises(ModelNotFoundError, match="openchat_v3.2"):
        chat.prepare(ChatRequest(model="gpt-4", messages=user("Hi")))


_FORGED = st.sampled_from(["<|end_of_turn|>", "<s>", "</s>", "<unk>", "GPT4 Assistant:", " ", "a"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.one_of(_FORGED, st.text(max_size=5)), max_size=6).map("".join), st.booleans())
def test_text_never_becomes_a_control_token(codec: Codec, text: str, as_system: bool) -> None:
    def control_ids(content: str) -> list[int]:
        system = (ChatMessage(role="system", content=content or "x"),) if as_system else ()
        request = ChatRequest(model="toy", messages=(*system, *user(content)))
        ids = service(codec, context=4000).prepare(request).prompt_ids
        return [i for i in ids if i in codec.control_ids.values() or i in (0, 1, 2)]

    text.encode("utf-8", "surrogatepass")
    if any("\ud800" <= char <= "\udfff" for char in text):
        return
    assert control_ids(text) == control_ids("plain")
