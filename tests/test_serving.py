"""The example of a server, asked by a real client on the loopback."""

import importlib.util
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from skmltc import LongTailClassifier

APP = Path(__file__).parents[1] / "examples" / "serving" / "app.py"


@pytest.fixture(scope="module")
def model(documents):
    pipeline = make_pipeline(TfidfVectorizer(), LongTailClassifier(random_state=0))
    return pipeline.fit(documents.texts, documents.Y)


@pytest.fixture(scope="module")
def names(documents):
    return [f"label {k}" for k in range(documents.Y.shape[1])]


@pytest.fixture(scope="module")
def app(model, names, tmp_path_factory):
    pytest.importorskip("starlette")
    file = tmp_path_factory.mktemp("model") / "model.joblib"
    joblib.dump({"model": model, "labels": names}, file)
    spec = importlib.util.spec_from_file_location("serving", APP)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL", str(file))
        yield module


@pytest.fixture(scope="module")
def client(app):
    """A client of a server that runs in a thread, on a free port of this machine."""
    uvicorn, httpx = pytest.importorskip("uvicorn"), pytest.importorskip("httpx")
    server = uvicorn.Server(uvicorn.Config(app.app, log_level="critical", lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as place:
        thread = threading.Thread(target=server.run, args=([place],))
        thread.start()
        url = f"http://127.0.0.1:{place.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            yield client  # what comes before the server is up waits in the socket
        server.should_exit = True
        thread.join()


def test_labels_are_those_of_the_model_the_most_probable_first(client, model, names, documents):
    texts = documents.texts[:20]
    answer = client.post("/predict", json={"texts": texts})
    assert answer.status_code == 200
    predicted, probabilities = model.predict(texts).toarray(), model.predict_proba(texts)
    assert len(answer.json()["labels"]) == 20 and predicted.any()
    for found, row, shares in zip(answer.json()["labels"], predicted, probabilities, strict=True):
        assert {one["name"] for one in found} == {names[k] for k in np.flatnonzero(row)}
        given = [one["probability"] for one in found]
        assert given == sorted(given, reverse=True)
        expected = {names[k]: share for k, share in enumerate(shares)}
        assert all(one["probability"] == pytest.approx(expected[one["name"]]) for one in found)


def test_a_text_of_unknown_words_is_answered(client):
    answer = client.post("/predict", json={"texts": ["", "zzzz \ud7ff \U0001f600"]})
    assert answer.status_code == 200 and len(answer.json()["labels"]) == 2


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "must be JSON"),
        (b"{", 400, "must be JSON"),
        (b'{"texts": ["\xff"]}', 400, "must be JSON"),
        (b'{"texts": ["\\ud800"]}', 400, "must be JSON"),
        (b"[" * 100_000, 400, "must be JSON"),
        (b"[1]", 400, "must be JSON"),
        (b"7", 400, "must be JSON"),
        (b'{"text": ["one"]}', 400, "must be JSON"),
        (b'{"texts": "one"}', 422, "list of strings"),
        (b'{"texts": null}', 422, "list of strings"),
        (b'{"texts": ["one", 2]}', 422, "list of strings"),
        (b'{"texts": []}', 422, "1 to 64 texts, not 0"),
        (json.dumps({"texts": ["one"] * 65}), 422, "1 to 64 texts, not 65"),
        (json.dumps({"texts": ["one", "a" * 20_001]}), 413, "20000 characters, not 20001"),
        (b" " * (2**21 + 1), 413, "2097152 bytes"),
    ],
)
def test_bad_input_is_refused_with_a_reason(client, body, status, said):
    answer = client.post("/predict", content=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_what_is_just_within_the_limits_is_answered(client):
    for texts in (["one"] * 64, ["a" * 20_000]):
        answer = client.post("/predict", json={"texts": texts})
        assert answer.status_code == 200 and len(answer.json()["labels"]) == len(texts)


def test_other_addresses_and_methods_are_refused_in_the_same_form(client):
    assert client.get("/").status_code == 404 and "error" in client.get("/").json()
    assert client.get("/predict").status_code == 405 and "error" in client.get("/predict").json()


def test_requests_that_come_together_are_answered_by_one_prediction(client, app, monkeypatch):
    batches = []

    def noted(model, names, texts):
        batches.append(len(texts))
        time.sleep(0.2)
        return [[{"name": text, "probability": 1.0}] for text in texts]

    monkeypatch.setattr(app, "find_labels", noted)

    def ask(k):
        texts = [f"text {k}", f"further {k}"]
        found = client.post("/predict", json={"texts": texts}).json()["labels"]
        return [one["name"] for (one,) in found] == texts

    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(ask, range(12)))  # each has its own
    assert sum(batches) == 24 and len(batches) < 8


def test_requests_beyond_the_queue_are_told_to_come_again(client, app, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(model, names, texts):
        begun.set()
        go_on.wait()
        return [[] for _ in texts]

    monkeypatch.setattr(app, "find_labels", slow)
    monkeypatch.setattr(app.app.state.waiting, "_maxsize", 1)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(client.post, "/predict", json={"texts": ["one"]})
        assert begun.wait(20)
        second = threads.submit(client.post, "/predict", json={"texts": ["two"]})
        while app.app.state.waiting.empty():
            time.sleep(0.01)
        third = client.post("/predict", json={"texts": ["three"]})
        go_on.set()
        assert first.result().status_code == second.result().status_code == 200
    assert third.status_code == 503 and third.headers["Retry-After"] == "1"
    assert "waiting" in third.json()["error"]


def test_the_server_outlives_an_error_of_the_model(client, app, monkeypatch):
    def broken(model, names, texts):
        raise ZeroDivisionError("inside")

    with monkeypatch.context() as patch:
        patch.setattr(app, "find_labels", broken)
        answer = client.post("/predict", json={"texts": ["one"]})
    assert answer.status_code == 500 and "inside" not in answer.text
    assert client.post("/predict", json={"texts": ["one"]}).status_code == 200
