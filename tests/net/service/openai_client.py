#!/usr/bin/env python3
"""The official openai package against the server with the demo model.

    openai_client.py FASTVLM MODEL IMAGE

Exits with 77, which CTest takes for skipped, where the package is not installed.
"""
import json
import sys

try:
    import openai
except ImportError:
    sys.exit(77)

from demo_server import data_url, serving


def refusal(call):
    """The error of a call that must be refused."""
    try:
        call()
    except openai.APIStatusError as error:
        return error
    raise AssertionError("it was not refused")


def check(client, picture):
    question = [{"role": "user", "content": [
        {"type": "text", "text": "Describe the image."},
        {"type": "image_url", "image_url": {"url": picture, "detail": "low"}}]}]

    def ask(messages=question, **settings):
        return client.chat.completions.create(model="demo", messages=messages, **settings)

    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").max_model_len > 0
    greedy = ask(temperature=0).choices[0].message
    assert greedy.content

    several = ask(n=3, temperature=1.2, seed=-4, logprobs=True, top_logprobs=2, user="me",
                  metadata={"a": "b"}, max_completion_tokens=30,
                  extra_body={"top_k": 40, "min_p": 0.05, "repetition_penalty": 1.05})
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    for choice in several.choices:
        tokens = choice.logprobs.content
        assert "".join(token.token for token in tokens) == choice.message.content
        assert all(len(token.top_logprobs) == 2 for token in tokens)
    one = ask(n=1, temperature=1.2, seed=-3, max_completion_tokens=30,
              extra_body={"top_k": 40, "min_p": 0.05, "repetition_penalty": 1.05})
    assert one.choices[0].message.content == several.choices[1].message.content

    text, tokens, usage = {0: "", 1: ""}, {0: "", 1: ""}, None
    for chunk in ask(n=2, temperature=0.8, seed=1, logprobs=True, stop=["."], stream=True,
                     stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text[choice.index] += choice.delta.content or ""
            if choice.logprobs:
                tokens[choice.index] += "".join(one.token for one in choice.logprobs.content)
    assert text == tokens and text[0] and "." not in text[0] + text[1]
    assert usage.completion_tokens > 2

    # Histories: our own answer, calls of a tool, and a beginning of the answer.
    replayed = ask(question + [greedy, {"role": "user", "content": "Are you sure?"}])
    assert replayed.usage.prompt_tokens_details.cached_tokens > 0
    call = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    ask(question + [{"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "c1", "content": "12:00"}])
    beginning = " ".join(greedy.content.split()[:3])
    begun = ask(question + [{"role": "assistant", "content": beginning}], temperature=0)
    assert beginning + begun.choices[0].message.content == greedy.content

    for settings in ({"max_tokens": 5000}, {"extra_body": {"frobnicate": 1}}, {"n": 20},
                     {"reasoning_effort": "low"}, {"logit_bias": {"99999": 1}}, {"temperature": -3}):
        error = refusal(lambda: ask(**settings))
        name = next(iter(settings.get("extra_body", settings)))
        assert (error.status_code, error.param) == (400, name), error
    error = refusal(lambda: client.chat.completions.create(model="no", messages=question))
    assert (error.status_code, error.code) == (404, "model_not_found")


def check_completions(client):
    def complete(prompt, **settings):
        return client.completions.create(model="demo", prompt=prompt, **settings)

    answer = complete(["The image", "A red"], n=2, best_of=2, temperature=0.9, seed=3, logprobs=2,
                      max_tokens=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    for choice in answer.choices:
        assert "".join(choice.logprobs.tokens).startswith(choice.text)
        assert choice.logprobs.text_offset[0] == 0
    echo = complete("The image", echo=True, temperature=0, max_tokens=5).choices[0]
    assert echo.text.startswith("The image")
    streamed = "".join(chunk.choices[0].text for chunk in complete(
        "The image", echo=True, temperature=0, max_tokens=5, stream=True))
    assert streamed == echo.text
    complete([[3, 4, 5], [6]])
    for settings in ({"suffix": "x"}, {"best_of": 3}, {"max_tokens": 5000},
                     {"echo": True, "logprobs": 1}):
        error = refusal(lambda: complete("Hi", **settings))
        assert (error.status_code, error.param) == (400, next(iter(settings))), error


def check_responses(client, picture):
    question = [{"role": "user", "content": [
        {"type": "input_text", "text": "Describe the image."},
        {"type": "input_image", "image_url": picture, "detail": "auto"}]}]

    def ask(messages=question, **settings):
        return client.responses.create(model="demo", input=messages, **settings)

    whole = ask(temperature=0, instructions="Be brief.", store=False)
    assert whole.status == "completed" and whole.output_text and whole.usage.output_tokens > 0
    kinds, text, final = [], "", None
    for event in ask(temperature=0, instructions="Be brief.", stream=True):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type == "response.completed":
            final = event.response
    assert text == whole.output_text == final.output_text
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added",
                         "response.content_part.added"]
    with client.responses.stream(model="demo", input=question, temperature=0,
                                 instructions="Be brief.") as stream:
        assert stream.get_final_response().output_text == text
    # Our own answer replayed, and a second question.
    assert ask(question + whole.output + [{"role": "user", "content": "Are you sure?"}]).output_text
    cut = ask("Describe a picture in many words.", max_output_tokens=1,
              include=["message.output_text.logprobs"], top_logprobs=2)
    assert cut.status in ("incomplete", "completed") and len(cut.output[0].content[0].logprobs) == 1
    tool = {"type": "function", "name": "clock", "strict": True,
            "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}
    call = ask("What time is it?", tools=[tool], tool_choice="required", temperature=0).output[0]
    assert (call.type, call.name, call.arguments) == ("function_call", "clock", "{}")
    ask([{"role": "user", "content": "What time is it?"}, call,
         {"type": "function_call_output", "call_id": call.call_id, "output": "12:00"}])
    schema = {"type": "json_schema", "name": "s", "strict": True, "schema": {
        "type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"],
        "additionalProperties": False}}
    assert json.loads(ask(text={"format": schema}).output_text) in ({"yes": True}, {"yes": False})
    for settings in ({"previous_response_id": "resp_1"}, {"background": True},
                     {"max_output_tokens": 5000}, {"reasoning": {"effort": "high"}}):
        error = refusal(lambda: ask(**settings))
        assert (error.status_code, error.param) == (400, next(iter(settings))), error


def main(program, model, image):
    picture = data_url(image)
    with serving(program, model) as address:
        client = openai.OpenAI(base_url=address + "v1", api_key="none", max_retries=0)
        check(client, picture)
        check_completions(client)
        check_responses(client, picture)


main(*sys.argv[1:])
