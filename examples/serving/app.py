"""Serve a model over HTTP: names and probabilities of the labels of texts.

Save a pipeline that takes raw texts together with the names of its labels, and start a server
(extra ``serve``). Load only files that you trust: joblib runs the code that is in them. ::

    joblib.dump({"model": model, "labels": names}, "model.joblib")
    MODEL=model.joblib uvicorn --app-dir examples/serving app:app
    curl localhost:8000/predict --json '{"texts": ["How do I bake bread?"]}'
"""

import asyncio
import json
import os
from contextlib import asynccontextmanager

import joblib
from scipy import sparse
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

MAX_TEXTS, MAX_CHARACTERS, MAX_BYTES = 64, 20_000, 2**21  # of a request, a text, a request
BATCH_SECONDS, BATCH_TEXTS = 0.005, 256  # a batch waits so long for requests, or has so many texts
MAX_WAITING = 100  # requests; others are told to come again


def find_labels(model, names, texts):
    """Names and probabilities of the predicted labels of each text, the most probable first."""
    predicted, probabilities = sparse.csr_array(model.predict(texts)), model.predict_proba(texts)
    answers = []
    for row, of_labels in enumerate(probabilities):
        found = predicted.indices[predicted.indptr[row] : predicted.indptr[row + 1]]
        ranked = sorted(found, key=lambda label: -of_labels[label])
        answers.append([{"name": names[k], "probability": float(of_labels[k])} for k in ranked])
    return answers


async def answer_in_batches(waiting, model, names):
    """Predict for several requests at once, which costs little more than for one."""
    while True:
        batch = [await waiting.get()]
        await asyncio.sleep(BATCH_SECONDS)
        while not waiting.empty() and sum(len(texts) for texts, _ in batch) < BATCH_TEXTS:
            batch.append(waiting.get_nowait())
        together = [text for texts, _ in batch for text in texts]
        try:
            answers = iter(await run_in_threadpool(find_labels, model, names, together))
        except Exception as error:  # of the model: the server stays
            for _, future in batch:
                future.cancelled() or future.set_exception(error)
            continue
        for texts, future in batch:
            answer = [next(answers) for _ in texts]
            future.cancelled() or future.set_result(answer)  # cancelled: the client has gone


async def read_texts(request):
    """Take the texts of a request, or say what is wrong with it."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise HTTPException(413, f"A request has at most {MAX_BYTES} bytes.")
    try:
        texts = json.loads(body)["texts"]
        json.dumps(texts, ensure_ascii=False).encode()  # fails at half a surrogate pair
    except (ValueError, LookupError, TypeError, RecursionError):
        raise HTTPException(400, 'The body must be JSON like {"texts": ["one", "two"]}.') from None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise HTTPException(422, '"texts" must be a list of strings.')
    if not 0 < len(texts) <= MAX_TEXTS:
        raise HTTPException(422, f"A request has 1 to {MAX_TEXTS} texts, not {len(texts)}.")
    longest = max(map(len, texts))
    if longest > MAX_CHARACTERS:
        raise HTTPException(413, f"A text has at most {MAX_CHARACTERS} characters, not {longest}.")
    return texts


async def predict(request):
    """Answer {"texts": [...]} with {"labels": [[{"name": ..., "probability": ...}, ...], ...]}."""
    texts, future = await read_texts(request), asyncio.get_running_loop().create_future()
    try:
        request.app.state.waiting.put_nowait((texts, future))
    except asyncio.QueueFull:
        raise HTTPException(503, "Too many requests are waiting.", {"Retry-After": "1"}) from None
    return JSONResponse({"labels": await future})


@asynccontextmanager
async def model_and_queue(app):
    """Load the model when the server starts, and answer until it stops."""
    stored = joblib.load(os.environ["MODEL"])
    app.state.waiting = asyncio.Queue(MAX_WAITING)
    answering = answer_in_batches(app.state.waiting, stored["model"], stored["labels"])
    task = asyncio.create_task(answering)
    yield
    task.cancel()


async def say_what_is_wrong(request, error):
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


app = Starlette(
    routes=[Route("/predict", predict, methods=["POST"])],
    exception_handlers={HTTPException: say_what_is_wrong},
    lifespan=model_and_queue,
)
