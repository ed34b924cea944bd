"""Checks and timings on a GPU, on made-up texts: a JSON object per result. See gpu.sh."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from functools import cache, wraps
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "examples" / "benchmarks"))

import speed  # noqa: E402
from bench import Row, Transformer, data, measure  # noqa: E402

import skmltc  # noqa: E402
from skmltc import (  # noqa: E402
    BalancedLossClassifier,
    HeadToTailClassifier,
    HybridSiameseClassifier,
    LongTailClassifier,
    TReaderXMLClassifier,
    encoders,
    text,
)
from skmltc._networks import placing  # noqa: E402
from skmltc.datasets import make_long_tailed_corpus  # noqa: E402
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, build_network  # noqa: E402
from skmltc.losses import LOSSES  # noqa: E402
from skmltc.neighbors import MultilabelKNeighborsClassifier  # noqa: E402
from skmltc.text import TokenSequenceVectorizer  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = {"documents": 20_000, "labels": 200, "words": 150, "batch": 64, "rounds": 2, "width": 256}
SIZES |= {"product": 8192, "triplets": "auto"}
SMALL = {"documents": 200, "labels": 10, "words": 20, "batch": 32, "rounds": 1, "width": 32}
SMALL |= {"product": 256, "triplets": 300}
LAST_START = 240  # seconds after which no further estimator is begun: eight minutes are the limit
TESTED = 4  # so many documents to train on for one to predict
RECURRENT = ("_cudnn_rnn", "_cudnn_rnn_backward", "mkldnn_rnn_layer", "mkldnn_rnn_layer_backward")
CONVOLUTIONS = ("mkldnn_convolution", "cudnn_convolution", "_slow_conv2d_forward")
SAME = dict.fromkeys(RECURRENT, "recurrent") | dict.fromkeys(CONVOLUTIONS, "convolution")
STARTED = time.perf_counter()
FOUND_BY = "mark.gpu"
READ = """
import joblib, numpy as np, torch
assert not torch.cuda.is_available()
model, X, expected = joblib.load({path!r})
print(float(np.abs(model.predict_proba(X) - expected).max()))
"""


def tests_on_gpu(sizes):
    """The tests that are marked, in the files that have any."""
    files = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    marked = [path for path in files if FOUND_BY in Path(path).read_text(encoding="utf-8")]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    command += ["-o", "filterwarnings=default"]  # other packages of that machine warn of themselves
    done = subprocess.run([*command, *marked], cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    yield {"what": "tests", "ok": done.returncode in (0, 5), "summary": lines[-1] if lines else ""}
    if done.returncode not in (0, 5):
        print(done.stdout, done.stderr, file=sys.stderr)


def losses_on_both(sizes):
    """Largest difference of each loss and its gradient between CPU and GPU."""
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(0, 3, (64, sizes["labels"]))).float()
    targets = torch.from_numpy(generator.random((64, sizes["labels"])) < 0.1).float()
    for name, spec in LOSSES.items():
        (value, slope), (other, slope_there) = (
            loss_and_slope(spec().build(targets), logits, targets, device)
            for device in ("cpu", DEVICE)
        )
        far = max(abs(value - other) / max(abs(value), 1e-12), (slope - slope_there).abs().max())
        yield {"what": "loss", "loss": name, "difference": float(far), "ok": bool(far < 1e-4)}


def loss_and_slope(loss, logits, targets, device):
    logits = logits.detach().to(device).requires_grad_()
    value = loss.to(device)(logits, targets.to(device))
    value.backward()
    return value.item(), logits.grad.cpu()


def pickle_on_cpu(sizes):
    """A model that was trained on the GPU, read where there is none."""
    X, Y = (one[:2000] for one in tokens_of(sizes))
    spec = TextCNN(n_filters=16, embedding_dim=32, hidden_dim=32)
    model = BalancedLossClassifier(encoder=spec, max_epochs=1, device=DEVICE, random_state=0)
    model.fit(X, Y)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.joblib")
        joblib.dump((model, X[:100], model.predict_proba(X[:100])), path)
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", READ.format(path=path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(done.stderr)
    far = float(done.stdout)
    yield {"what": "pickle", "difference": far, "ok": far < (1e-3 if DEVICE == "cuda" else 1e-5)}


def tokens_of(sizes):
    corpus = corpus_of(sizes)
    reader = TokenSequenceVectorizer(max_length=sizes["words"])
    return reader.fit_transform(corpus.data), corpus.target


def corpus_of(sizes):
    return _corpus(sizes["documents"], sizes["labels"], sizes["words"])


@cache
def _corpus(n_samples, n_labels, n_words):
    return make_long_tailed_corpus(n_samples, n_labels, n_words=n_words, random_state=0)


def speed_of_networks(sizes):
    """Documents per second of `fit`, of a loop with our network, and of a padded plain one."""
    X, Y = tokens_of(sizes)
    for name, spec in (("cnn", TextCNN), ("bilstm", BiLSTMAttention)):
        spec = spec(hidden_dim=sizes["width"], embedding_dim=sizes["width"], embeddings="random")
        shared = X, Y, spec
        yield compared(
            name,
            sizes,
            ours=lambda s=spec: speed.fit_ours(s, X, Y, sizes["batch"], DEVICE),
            bare=speed.bare_loop(*shared, sizes["batch"], DEVICE),
            padded=speed.padded_loop(*shared, speed.PLAIN[name], sizes["batch"], DEVICE),
        )


def compared(name, sizes, **loops):
    """A row of documents per second, by wall-clock: the work is the GPU's."""
    seconds = {what: [] for what in loops}
    for _ in range(sizes["rounds"] + 1):  # the first is not counted
        for what, loop in loops.items():
            seconds[what].append(seconds_of(loop))
    n = sizes["documents"]
    best = {what: min(taken[1:]) for what, taken in seconds.items()}
    rates = {f"{what} docs/s": n / taken for what, taken in best.items()}
    rates["bare/ours"] = best["bare"] / best["ours"]
    return {"what": "speed", "encoder": name, "documents": n, **rates, "ok": True}


def seconds_of(loop):
    start = time.perf_counter()
    loop()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def speed_of_placing(sizes):
    """Documents per second where they are on the device, and where they are sent there."""
    X, Y = tokens_of(sizes)
    spec = TextCNN(hidden_dim=sizes["width"], embedding_dim=sizes["width"], embeddings="random")
    share, rates = placing.SHARE_OF_FREE, {}
    try:
        for what, placing.SHARE_OF_FREE in (("placed", share), ("sent", 0.0)):
            taken = [
                seconds_of(lambda: speed.fit_ours(spec, X, Y, sizes["batch"], DEVICE))
                for _ in range(sizes["rounds"] + 1)
            ]
            rates[f"{what} docs/s"] = len(X) / min(taken[1:])
    finally:
        placing.SHARE_OF_FREE = share
    yield {"what": "placing", **rates, "ok": True}


def shares_of_peak(sizes):
    """The operation that takes most of training, and its share of what a large product reaches."""
    X, Y = tokens_of(sizes)
    X, Y, reached = X[:4000], Y[:4000], speed_of_product(sizes)
    for name, spec in (("cnn", TextCNN), ("bilstm", BiLSTMAttention)):
        spec = spec(hidden_dim=sizes["width"], embedding_dim=sizes["width"], embeddings="random")
        bare = speed.bare_loop(X, Y, spec, sizes["batch"], DEVICE)
        seconds_of(bare)  # what is loaded once is not counted
        counts, seconds = operations_of(bare), seconds_of_operations(bare)
        busiest = max(seconds, key=seconds.get)
        counted = max(counts.keys() & seconds.keys(), key=seconds.get)
        rate = counts[counted] / seconds[counted]
        yield {
            "what": "peak",
            "encoder": name,
            "product TFLOP/s": reached / 1e12,
            "busiest": busiest,
            "share of time": seconds[busiest] / sum(seconds.values()),
            "busiest that multiplies": counted,
            "its share of time": seconds[counted] / sum(seconds.values()),
            "TFLOP/s": rate / 1e12,
            "share of peak": rate / reached,
            "ok": rate > 0,
        }


def speed_of_product(sizes):
    """Operations per second of a large product, in the numbers that networks multiply."""
    n, kind = sizes["product"], torch.bfloat16 if DEVICE == "cuda" else torch.float32
    factor = torch.ones(n, n, device=DEVICE, dtype=kind)
    return 2 * n**3 / min(seconds_of(lambda: factor @ factor) for _ in range(5))


def operations_of(run):
    """Multiplications and additions of each operation, counted by torch, and of LSTMs by us."""
    recurrent = [0]

    def count(module, inputs, output):
        if isinstance(module, nn.LSTM):
            words, wide = inputs[0].shape[:2].numel(), module.input_size + module.hidden_size
            recurrent[0] += 3 * 2 * words * 4 * module.hidden_size * wide  # 3: there and back

    watching = nn.modules.module.register_module_forward_hook(count)
    try:
        with FlopCounterMode(display=False) as counter:
            run()
    finally:
        watching.remove()
    found = counter.get_flop_counts().get("Global", {}).items()
    return {str(name).rpartition(".")[2]: n for name, n in found} | {"recurrent": recurrent[0]}


def seconds_of_operations(run):
    """Seconds of the device in each operation of torch, without those that it calls."""
    on_gpu = [ProfilerActivity.CUDA] if DEVICE == "cuda" else []
    with profile(activities=[ProfilerActivity.CPU, *on_gpu]) as seen:
        seconds_of(run)
    seconds = {}
    for event in seen.key_averages():
        if event.key.startswith("aten::"):
            name = SAME.get(event.key.removeprefix("aten::"), event.key.removeprefix("aten::"))
            taken = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            seconds[name] = seconds.get(name, 0) + taken / 1e6
    return {name: taken for name, taken in seconds.items() if taken > 0}


def estimators(sizes):
    """Seconds of `fit`, and documents per second of `predict`, of every estimator."""
    features = TfidfVectorizer(dtype=np.float32).fit_transform(corpus_of(sizes).data)
    tokens, Y = tokens_of(sizes)
    n_tested = len(tokens) // (TESTED + 1)
    for kind, model in models(sizes):
        X = {"features": features, "tokens": tokens}[kind]
        row = {"what": "estimator", "estimator": type(model).__name__, "input": kind}
        row |= {"encoder": type(getattr(model, "encoder", None)).__name__}
        if time.perf_counter() - STARTED > LAST_START:
            yield row | {"ok": True, "skipped": "there is no time left"}
            continue
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        found = []
        fit = seconds_of(lambda m=model, X=X: m.fit(X[n_tested:], Y[n_tested:]))
        predict = seconds_of(lambda m=model, X=X, f=found: f.append(m.predict(X[:n_tested]).sum()))
        peak = torch.cuda.max_memory_allocated() / 1e9 if DEVICE == "cuda" else None
        yield row | {
            "documents": len(tokens) - n_tested,
            "fit s": fit,
            "predict docs/s": n_tested / predict,
            "GB of the GPU": peak,
            "predicted per true": float(found[0] / Y[:n_tested].sum()),
            "ok": bool(found[0] > 0),
        }


def models(sizes):
    """The estimators, networks of some width for two epochs, and what they read."""
    width = sizes["width"]
    cnn = TextCNN(hidden_dim=width, embedding_dim=width)
    lstm = BiLSTMAttention(hidden_dim=width, embedding_dim=width)
    triplets = {"n_triplets": sizes["triplets"]}
    network = {"max_epochs": 2, "device": DEVICE, "random_state": 0, "batch_size": sizes["batch"]}
    return [
        ("features", BalancedLossClassifier(device=DEVICE, random_state=0)),
        ("features", BalancedLossClassifier(encoder=BagEncoder(hidden_dims=(width,)), **network)),
        ("features", MultilabelKNeighborsClassifier()),
        ("tokens", BalancedLossClassifier(encoder=cnn, **network)),
        ("tokens", BalancedLossClassifier(encoder=lstm, **network)),
        ("tokens", HybridSiameseClassifier(encoder=cnn, **triplets, **network)),
        ("tokens", HeadToTailClassifier(encoder=lstm, **network)),
        ("tokens", TReaderXMLClassifier(encoder=cnn, **network)),
        ("features", LongTailClassifier(device=DEVICE, random_state=0)),
    ]


def transformer_of(sizes, folder):
    """Write a small BERT of random weights, which knows the words of the corpus."""
    import transformers

    texts = corpus_of(sizes).data
    words = sorted({word for one in texts for word in one.lower().split()})[:20_000]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    vocab = {word: place for place, word in enumerate(vocabulary)}
    transformers.BertTokenizer(vocab=vocab, model_max_length=256).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=sizes["width"],
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * sizes["width"],
        max_position_embeddings=256,
    )
    transformers.BertModel(config).save_pretrained(folder)


def with_transformer(check):
    """A check that has a transformer's folder as SKMLTC_ENCODER; skipped without its classes."""

    @wraps(check)
    def checked(sizes):
        if not hasattr(encoders, "TransformerEncoder") or not hasattr(text, "PretrainedTokenizer"):
            yield {"what": check.__name__, "ok": True, "skipped": "no TransformerEncoder"}
            return
        with tempfile.TemporaryDirectory() as folder:
            if "SKMLTC_ENCODER" not in os.environ:
                transformer_of(sizes, Path(folder))
                os.environ["SKMLTC_ENCODER"] = folder
            try:
                yield from check(sizes)
            finally:
                if os.environ["SKMLTC_ENCODER"] == folder:
                    del os.environ["SKMLTC_ENCODER"]

    return checked


@with_transformer
def speed_of_transformer(sizes):
    """Fine-tuning by `fit`, and by a loop with the same network and batches."""
    corpus, Y = corpus_of(sizes).data, corpus_of(sizes).target
    folder = os.environ["SKMLTC_ENCODER"]
    X = text.PretrainedTokenizer(folder, max_length=64).fit_transform(corpus)
    spec = encoders.TransformerEncoder(folder, pooling="mean", trainable=True)
    few = sizes | {"documents": min(sizes["documents"], 4000)}
    X, Y = X[: few["documents"]], Y[: few["documents"]]

    def bare():
        torch.manual_seed(0)
        network = build_network(spec, int(X.max()) + 1, Y.shape[1], X)
        batches = speed.Batches(speed.DocumentDataset(X, Y), few["batch"], shuffle=True)
        speed.fit_bare(network, batches, Y, DEVICE)

    def ours():
        speed.fit_ours(spec, X, Y, few["batch"], DEVICE)

    yield compared("transformer", few, ours=ours, bare=bare)


@with_transformer
def fine_tuned_rows(sizes):
    """Rows of the runner: each published loss that the class knows, fine-tuned on made-up texts."""
    data.MADE_UP.update(n_samples=min(sizes["documents"], 4000), n_labels=min(sizes["labels"], 60))
    published = getattr(BalancedLossClassifier, "_published", None)
    epochs = 3 if sizes is SIZES else 1
    shared = {"encoder": Transformer("mean", trainable=True), "max_epochs": epochs}
    for name in ("BCE", "CB-NTR", "DB") if published else ("bce", "distribution_balanced"):
        parameters = shared if published else shared | {"loss": name, "threshold": "tuned"}
        row = Row(
            name,
            "made-up",
            "word pieces 64",
            "BalancedLossClassifier",
            parameters=parameters | {"device": DEVICE},
            published=name if published else None,
            validation=min(1000, sizes["documents"] // 4),
        )
        yield {"what": "row", "ok": True, **measure.measure("gpu", row, 0, None)}


CHECKS = (  # what is worth most first, should the time not be enough
    losses_on_both,
    tests_on_gpu,
    speed_of_networks,
    speed_of_transformer,
    estimators,
    pickle_on_cpu,
    fine_tuned_rows,
    speed_of_placing,
    shares_of_peak,
)


def results(check, sizes):
    """What a check finds; an error is a result too."""
    start = time.perf_counter()
    try:
        yield from check(sizes)
    except Exception:
        traceback.print_exc()
        yield {"what": check.__name__, "ok": False}
    yield {"what": "seconds", "of": check.__name__, "s": time.perf_counter() - start, "ok": True}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="sizes for a CPU")
    options = parser.parse_args(arguments)
    sizes = SMALL if options.small else SIZES
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"
    here = {"what": "machine", "device": name, "torch": torch.__version__, "ok": True}
    print(json.dumps(here | {"skmltc": skmltc.__version__, "commit": measure.commit()}), flush=True)
    failed = 0
    for check in CHECKS:
        for result in results(check, sizes):
            failed += not result["ok"]
            print(json.dumps(result), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
