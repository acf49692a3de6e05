#!/usr/bin/env python3
"""Answers in a form that clients ask for: openai's parse(), LangChain, LiteLLM, on the demo model.

    structured_clients.py FASTVLM MODEL IMAGE

Exits with 77, which CTest takes for skipped, where one of the packages is not installed.
"""
import os
import sys
from typing import Literal

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the Internet

try:
    import litellm
    import openai
    from langchain_core.messages import HumanMessage
    from langchain_openai import ChatOpenAI
    from pydantic import BaseModel, Field
except ImportError:
    sys.exit(77)

from demo_server import data_url, serving


class Shape(BaseModel):
    """A shape in the picture."""

    kind: Literal["circle", "square", "star"]
    count: int = Field(ge=0, le=9)


def check(url, picture):
    content = [{"type": "text", "text": "What is in the picture?"},
               {"type": "image_url", "image_url": {"url": picture}}]
    messages = [{"role": "user", "content": content}]

    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    parsed = client.chat.completions.parse(model="demo", messages=messages, response_format=Shape)
    assert isinstance(parsed.choices[0].message.parsed, Shape), parsed

    chat = ChatOpenAI(model="demo", base_url=url, api_key="none", max_retries=0)
    for method in ("json_schema", "function_calling"):
        found = chat.with_structured_output(Shape, method=method).invoke([HumanMessage(content)])
        assert isinstance(found, Shape), (method, found)
    assert "".join(chunk.content for chunk in chat.stream([HumanMessage(content)]))

    def complete(**settings):
        return litellm.completion(model="openai/demo", api_base=url, api_key="none",
                                  messages=messages, **settings)

    answer = complete(response_format=Shape).choices[0].message
    assert Shape.model_validate_json(answer.content)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in complete(stream=True))
    tool = {"name": "shape", "parameters": Shape.model_json_schema()}
    answer = complete(tools=[{"type": "function", "function": tool}], tool_choice="required")
    call = answer.choices[0].message.tool_calls[0].function
    assert call.name == "shape" and Shape.model_validate_json(call.arguments), call


def main(program, model, image):
    with serving(program, model) as address:
        check(address + "v1", data_url(image))


main(*sys.argv[1:])
