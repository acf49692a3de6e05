#!/usr/bin/env python3
"""The official ollama package against the server with the demo model.

    ollama_client.py FASTVLM MODEL IMAGE

Exits with 77, which CTest takes for skipped, where the package is not installed.
"""
import json
import sys

try:
    import ollama
except ImportError:
    sys.exit(77)

from demo_server import serving


def refusal(call):
    """The error of a call that must be refused."""
    try:
        call()
    except ollama.ResponseError as error:
        return error
    raise AssertionError("it was not refused")


def check(client, picture):
    assert [model.model for model in client.list().models] == ["demo:latest"]
    assert "vision" in client.show("demo").capabilities
    assert client.ps().models[0].size > 0
    greedy = {"temperature": 0, "num_ctx": 8192.0}

    # As Frigate asks, whole.
    text = client.generate("demo", "Describe the image.", images=[picture], options=greedy)
    assert text.done and text.done_reason == "stop" and text.response
    assert text.eval_count > 0 and text.prompt_eval_count > 0
    assert text.total_duration >= text.eval_duration > 0

    # As Home Assistant asks, streamed.
    messages = [ollama.Message(role="user", content="Describe the image.",
                               images=[ollama.Image(value=picture)])]
    pieces = list(client.chat("demo:latest", messages, stream=True, keep_alive="-1s",
                              options=greedy, think=False))
    assert "".join(piece.message.content for piece in pieces) == text.response
    assert [piece.done for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    messages += [ollama.Message(role="assistant", content=text.response),
                 ollama.Message(role="user", content="Are you sure?")]
    assert client.chat("demo", messages).message.content

    schema = {"type": "object", "properties": {"count": {"type": "integer"}},
              "required": ["count"]}
    for form in (schema, "json"):
        answer = client.generate("demo", "How many?", images=[picture], format=form,
                                 options={"temperature": 0})
        if answer.done_reason == "stop":
            assert isinstance(json.loads(answer.response), dict)

    def clock(zone: str) -> str:
        """The time.

        Args:
          zone: where
        """
        return zone

    answer = client.chat("demo", [{"role": "user", "content": "What time is it?"}], tools=[clock])
    assert answer.message.content or answer.message.tool_calls[0].function.name == "clock"
    client.chat("demo", [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "tool_calls": [
            {"function": {"name": "clock", "arguments": {"zone": "UTC"}}}]},
        {"role": "tool", "tool_name": "clock", "content": "12:00"}])

    logprobs = client.generate("demo", "Hi", logprobs=True, top_logprobs=2,
                               options={"num_predict": 3, "seed": 7}).logprobs
    assert all(len(token.top_logprobs) == 2 for token in logprobs)
    cut = client.generate("demo", "Describe the image.", images=[picture],
                          options={"num_predict": 3, "temperature": 0})
    assert cut.done_reason == "length" and cut.eval_count == 3
    assert client.generate("demo", keep_alive=0).done_reason == "unload"
    assert client.chat("demo").done_reason == "load"

    for settings in ({"suffix": "x"}, {"template": "x"}, {"context": [1]}, {"think": True},
                     {"options": {"mirostat": 2}}, {"raw": True, "system": "x"}):
        error = refusal(lambda: client.generate("demo", "Hi", **settings))
        name = list(settings.get("options", settings))[-1]
        assert error.status_code == 400 and name in error.error, error
    error = refusal(lambda: client.chat("no", messages))
    assert error.status_code == 404 and "no" in error.error, error


def main(program, model, image):
    with open(image, "rb") as file:
        picture = file.read()
    with serving(program, model) as address:
        check(ollama.Client(host=address), picture)


main(*sys.argv[1:])
