import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
import uvicorn
from transformers import AutoModelForCausalLM

from score.errors import SettingsError, TaskError
from score.llm import Endpoint, EndpointSettings
from score.serving.server import Student, create_app

PROMPT = [{"role": "user", "content": "How many?"}]


def serve(student: Student, api_key: str | None = None) -> Iterator[str]:
    """The app behind a real socket; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(student, api_key), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def student(folder: Path) -> Iterator[Student]:
    loaded = Student.load(str(folder), "student", max_batch=16)
    yield loaded
    loaded.engine.close()


@pytest.fixture(scope="module")
def address(student: Student) -> Iterator[str]:
    yield from serve(student)


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0, timeout=30) as made:
        yield made


def test_the_model_is_listed_and_healthy(address, client):
    assert httpx.get(f"{address}/health").json() == {"status": "ok", "model": "student"}
    assert [model.id for model in client.models.list()] == ["student"]


def test_a_reply_has_usage_reason_and_the_served_name(client, student, tokenizer):
    reply = client.chat.completions.create(model="another-name", messages=PROMPT, max_tokens=7, temperature=0)
    prompt = tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, tokenize=False)
    assert reply.model == student.snapshot
    assert reply.choices[0].finish_reason in ("length", "stop")
    assert reply.usage.prompt_tokens == len(tokenizer.encode(prompt, add_special_tokens=False))
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_student_that_was_trained_again_goes_by_another_snapshot(folder, student, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(folder)
    for changed in (False, True):
        if changed:
            model.model.norm.weight.data[0] += 1e-3
        shutil.copytree(folder, tmp_path / str(changed))
        model.save_pretrained(tmp_path / str(changed))
        again = Student.load(str(tmp_path / str(changed)), "student", max_batch=2)
        again.engine.close()
        assert again.snapshot.startswith("student-") and (again.snapshot != student.snapshot) == changed


def test_many_requests_at_once_get_what_each_gets_alone(address):
    def ask(client, i):
        content = f"Question {i}: " + "why " * (i % 7)
        return client.chat.completions.create(
            model="student", messages=[{"role": "user", "content": content}], max_tokens=3 + i % 20, seed=i
        )

    async def together():
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0, timeout=60) as client:
            return await asyncio.gather(*[ask(client, i) for i in range(60)])

    with openai.OpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0, timeout=60) as client:
        alone = [ask(client, i).choices[0].message.content for i in range(60)]
    assert [reply.choices[0].message.content for reply in asyncio.run(together())] == alone
    assert len(set(alone)) > 50


def test_tags_and_spaces_survive_and_the_end_of_the_turn_does_not(student, tokenizer):
    text = "<thought> a , b </thought><code>x = ' ' ; y = [ 1 , 2 ]\n</code>"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert student.text(ids) == text
    assert student.text(ids + [tokenizer.eos_token_id]) == text


@pytest.fixture(scope="module")
def free_text(address) -> str:
    """A greedy reply of 40 tokens, to take stop strings from."""
    with openai.OpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0, timeout=30) as client:
        reply = client.chat.completions.create(model="student", messages=PROMPT, max_tokens=40, temperature=0)
    return reply.choices[0].message.content


def test_a_stop_string_ends_the_reply_before_it(client, free_text):
    stop = free_text[3:5]
    reply = client.chat.completions.create(
        model="student", messages=PROMPT, max_tokens=40, temperature=0, stop=["never there", stop]
    )
    assert reply.choices[0].message.content == free_text[: free_text.find(stop)]
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens < 40


@pytest.mark.parametrize("stop", ["", [""]])
def test_an_empty_stop_string_stops_nothing(client, free_text, stop):
    reply = client.chat.completions.create(model="student", messages=PROMPT, max_tokens=40, temperature=0, stop=stop)
    assert reply.choices[0].message.content == free_text


@pytest.mark.parametrize("stopped", [False, True])
def test_a_stream_says_the_same_as_a_whole_reply(client, free_text, stopped):
    stop = free_text[10:12] if stopped else None
    chunks = list(
        client.chat.completions.create(
            model="student", messages=PROMPT, max_tokens=40, temperature=0, stop=stop, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == (free_text[: free_text.find(stop)] if stopped else free_text)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == ("stop" if stopped else "length")
    assert chunks[-1].usage.completion_tokens > 0


def test_a_prompt_too_long_is_a_400_with_openai_s_code(client):
    long = [{"role": "user", "content": "x" * 300}]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="student", messages=long, max_tokens=5, stream=stream)
        assert caught.value.code == "context_length_exceeded"
        assert "the context holds 256" in caught.value.message


def test_our_endpoint_gets_what_is_left_of_the_context_and_says_when_nothing_is(address):
    async def ask(length):
        settings = EndpointSettings(base_url=f"{address}/v1", model="student", sampling={"max_tokens": 250})
        endpoint = Endpoint("student", settings)
        try:
            return await endpoint.chat([{"role": "user", "content": "x" * length}]), endpoint.usage
        finally:
            await endpoint.close()

    reply, usage = asyncio.run(ask(100))
    assert reply.usage.prompt_tokens + reply.usage.completion_tokens <= 256 and usage.shortened == 1
    with pytest.raises(TaskError, match="the context holds 256"):
        asyncio.run(ask(300))


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"top_p": 7}, {"n": 2}, {"max_tokens": "many"}, {"messages": []}, {"messages": "hi"}]
)
def test_a_wrong_value_is_a_400_that_names_it(address, wrong):
    answer = httpx.post(f"{address}/v1/chat/completions", json={"messages": PROMPT, "max_tokens": 3} | wrong)
    assert answer.status_code == 400
    assert next(iter(wrong)) in answer.json()["error"]["message"]


def test_defaults_come_from_the_generation_config(folder, tmp_path):
    import json
    import shutil

    shutil.copytree(folder, tmp_path / "student")
    path = tmp_path / "student" / "generation_config.json"
    path.write_text(json.dumps({"do_sample": True, "temperature": 0.25, "top_p": 0.8, "top_k": 7, "max_new_tokens": 9}))
    loaded = Student.load(str(tmp_path / "student"), "student", max_batch=2)
    loaded.engine.close()
    from score.serving.server import ChatRequest

    plain = ChatRequest.model_validate({"messages": PROMPT})
    asked = ChatRequest.model_validate({"messages": PROMPT, "temperature": 0, "top_k": -1, "max_completion_tokens": 30})
    sampling = loaded.sampling(plain, prompt_tokens=250)
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens) == (0.25, 0.8, 7, 6)
    sampling = loaded.sampling(asked, prompt_tokens=20)
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens) == (0, 0.8, 0, 30)


def test_a_key_is_asked_for_where_one_is_set(student):
    serving = serve(student, api_key="right")
    base = next(serving)
    try:
        assert httpx.get(f"{base}/health").status_code == 200
        with pytest.raises(openai.AuthenticationError, match="missing or wrong"):
            openai.OpenAI(base_url=f"{base}/v1", api_key="wrong", max_retries=0).models.list()
        assert openai.OpenAI(base_url=f"{base}/v1", api_key="right", max_retries=0).models.list().data
    finally:
        next(serving, None)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(SettingsError, match=str(tmp_path)):
        Student.load(str(tmp_path), "student", max_batch=2)


def test_the_command_serves_and_ends(folder):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "score.serving", "--model", str(folder), "--port", str(port), "--model-name", "bc"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        for _ in range(600):
            assert process.poll() is None
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/health")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        assert answer.json() == {"status": "ok", "model": "bc"}
    finally:
        process.terminate()
        process.wait(20)


def test_a_missing_key_variable_is_named(folder):
    command = [sys.executable, "-m", "score.serving", "--model", str(folder), "--port", "1", "--api-key-env", "NO_SUCH"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "NO_SUCH" in done.stderr and "Traceback" not in done.stderr
