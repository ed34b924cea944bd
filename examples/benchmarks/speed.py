"""Training speed of the token encoders: ratios to loops in bare torch, measured in turn.

    python examples/benchmarks/speed.py --data FOLDER

Here FOLDER has train.jsonl (or .jsonl.gz), see skmltc.datasets.load_jsonl. Six questions:

overhead: seconds of `BalancedLossClassifier.fit` over those of a plain loop with the same network
    and the same batches.
buckets: documents per second of texts cut to 256 tokens, in batches of like length cut to their
    longest text, over those of a plain network and loop with every batch padded to 256.
words: documents per second of TextCNN (filters of 2, 4 and 8 words, 128 of each, word vectors of
    300) on 128 tokens in batches of 32, over those of a plain network and padded loop.
head: seconds that `HeadToTailClassifier` trains its head for, a BiLSTMAttention with word vectors
    of 300 on 500 tokens, over those of a plain loop with the same network and the same batches.
head, padded: the same, over a plain network and loop with every batch padded to 500.
retrieval: the 5 nearest of 20,000 random vectors of 300 numbers, for each of them, by
    `CosineNeighbors`, over the products of matrices that this takes, in the same blocks.

Word vectors start at random on both sides: the second or two that learning their start takes once
in a fit is not in these figures. What is compared runs alternately; a row has the median CPU
seconds of each, and their ratio is printed. CPU seconds with one thread are those of an otherwise
idle core, nearly: what else the machine does still takes some of its caches and clock rate.

Rows that are kept are measured again with `--stale`, if this script or the package has changed. It
is no table of run.py, since it compares two functions instead of measuring one estimator.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from bench import rows
from bench.measure import environment
from torch import nn

from skmltc import BalancedLossClassifier, HeadToTailClassifier
from skmltc._networks import DocumentDataset, HeadScorer
from skmltc._networks.batches import Batches
from skmltc.datasets import load_jsonl
from skmltc.encoders import BiLSTMAttention, TextCNN, build_network
from skmltc.head_to_tail._heads import Start
from skmltc.losses import BinaryCrossEntropyLoss
from skmltc.neighbors import CosineNeighbors
from skmltc.text import TokenSequenceVectorizer

SPECS = {"cnn": TextCNN(embeddings="random"), "bilstm": BiLSTMAttention(embeddings="random")}
N_VECTORS = 20_000
HEAD = BiLSTMAttention(embedding_dim=300, embeddings="random")
HEAD_BATCH, N_TAIL = 90, 28
WORDS = TextCNN(filter_sizes=(2, 4, 8), embedding_dim=300, embeddings="random")


class PlainCNN(nn.Module):
    """Convolutions as a tutorial writes them: no mask, every position computed."""

    def __init__(self, spec, n_inputs, n_labels):
        super().__init__()
        dim = spec.embedding_dim
        self.embedding = nn.Embedding(n_inputs, dim, padding_idx=0)
        self.embedding_dropout = nn.Dropout(spec.embedding_dropout)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(dim, spec.n_filters, size) for size in spec.filter_sizes
        )
        self.dropout = nn.Dropout(spec.dropout)
        self.hidden = nn.Linear(spec.n_filters * len(spec.filter_sizes), spec.hidden_dim)
        self.head = nn.Linear(spec.hidden_dim, n_labels)

    def forward(self, token_ids):
        vectors = self.embedding_dropout(self.embedding(token_ids)).transpose(1, 2)
        pooled = [convolve(vectors).relu().max(dim=2).values for convolve in self.convolutions]
        return self.head(self.hidden(self.dropout(torch.cat(pooled, dim=1))))


class PlainBiLSTM(nn.Module):
    """A bidirectional LSTM with attention, as a tutorial writes it."""

    def __init__(self, spec, n_inputs, n_labels):
        super().__init__()
        self.embedding = nn.Embedding(n_inputs, spec.embedding_dim, padding_idx=0)
        self.embedding_dropout = nn.Dropout(spec.embedding_dropout)
        self.lstm = nn.LSTM(
            spec.embedding_dim, spec.hidden_dim, batch_first=True, bidirectional=True
        )
        self.attention = nn.Linear(2 * spec.hidden_dim, 1, bias=False)
        self.hidden = nn.Linear(2 * spec.hidden_dim, spec.output_dim)
        self.head = nn.Linear(spec.output_dim, n_labels)

    def forward(self, token_ids):
        states = self.lstm(self.embedding_dropout(self.embedding(token_ids)))[0]
        weights = self.attention(states).softmax(dim=1)
        return self.head(self.hidden((weights * states).sum(dim=1)))


PLAIN = {"cnn": PlainCNN, "bilstm": PlainBiLSTM}


def fit_ours(spec, X, Y, batch_size, device="cpu"):
    BalancedLossClassifier(
        encoder=spec,
        loss="bce",
        max_epochs=1,
        batch_size=batch_size,
        early_stopping=False,
        calibrate=False,
        threshold=0.5,
        device=device,
        random_state=0,
    ).fit(X, Y)


def fit_bare(network, batches, Y, device="cpu"):
    """One pass of the plain loop."""
    loss, network = BinaryCrossEntropyLoss().build(Y).to(device), network.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    network.train()
    for token_ids, targets in batches:
        optimizer.zero_grad()
        loss(network(token_ids.to(device)), targets.to_dense().to(device)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()


def padded_batches(X, Y, batch_size):
    """Batches in random order, every one as wide as X."""
    order = np.random.RandomState(0).permutation(len(X))
    for start in range(0, len(X), batch_size):
        rows = order[start : start + batch_size]
        yield torch.from_numpy(X[rows]), torch.from_numpy(Y[rows].toarray())


def bare_loop(X, Y, spec, batch_size, device="cpu"):
    """A function to time: the loop with our network and our batches."""
    n_inputs = int(X.max()) + 1

    def bare():
        torch.manual_seed(0)
        network = build_network(spec, n_inputs, Y.shape[1])
        batches = Batches(DocumentDataset(X, Y), batch_size, shuffle=True)
        fit_bare(network, batches, Y, device)

    return bare


def padded_loop(X, Y, spec, plain, batch_size, device="cpu"):
    """A function to time: the loop with a plain network on padded batches."""
    n_inputs = int(X.max()) + 1

    def padded():
        torch.manual_seed(0)
        network = plain(spec, n_inputs, Y.shape[1])
        fit_bare(network, padded_batches(X, Y, batch_size), Y, device)

    return padded


def overhead(X, Y, name, batch_size):
    """Functions to time: our fit, and the loop with our network and our batches."""
    bare = bare_loop(X, Y, SPECS[name], batch_size)
    return lambda: fit_ours(SPECS[name], X, Y, batch_size), bare


def against_padding(X, Y, spec, plain, batch_size):
    """Functions to time: our fit, and a plain network on padded batches."""
    padded = padded_loop(X, Y, spec, plain, batch_size)
    return lambda: fit_ours(spec, X, Y, batch_size), padded


class HeadAlone(HeadToTailClassifier):
    """The first two steps: labels are split, and the head is trained."""

    def _transfer_all(self, network, labels, documents, seed):
        return None, Start(network, labels, None, None)

    def _assemble(self, start, vectors, documents, plan, seed):
        of_head = start.labels.of_head(documents, self.train_unlabelled)
        return HeadScorer(start.network), {"of_head_": of_head}


def head(X, Y, make_bare):
    """Functions to time: our training of a head, and another of the same documents and labels."""
    model = HeadAlone(
        n_tail=N_TAIL,
        encoder=HEAD,
        max_epochs=1,
        batch_size=HEAD_BATCH,
        early_stopping=False,
        calibrate=False,
        threshold=0.5,
        device="cpu",
        random_state=0,
    )
    of_head = model.fit(X, Y).of_head_
    return lambda: model.fit(X, Y), make_bare(of_head.X, of_head.Y)


def retrieval(block_size):
    """Functions to time: our search, and its products alone."""
    vectors = np.random.default_rng(0).standard_normal((N_VECTORS, 300), dtype=np.float32)
    rows, room = torch.from_numpy(vectors), torch.empty(block_size, N_VECTORS)
    neighbors = CosineNeighbors(device="cpu").fit(vectors)

    def products():
        for block in rows.split(block_size):
            torch.mm(block, rows.T, out=room[: len(block)])

    return neighbors.kneighbors, products


def questions(texts, Y):
    """Names of the rows, and functions that make what is compared."""
    ids = {n: TokenSequenceVectorizer(max_length=n).fit_transform(texts) for n in (500, 256, 128)}
    for name in SPECS:
        for size in (32, 100):
            yield ("overhead", name, size), lambda n=name, s=size: overhead(ids[500], Y, n, s)
    for name, spec in SPECS.items():
        yield (
            ("buckets", name, 32),
            lambda n=name, s=spec: against_padding(ids[256], Y, s, PLAIN[n], 32),
        )
    yield ("words", "cnn", 32), lambda: against_padding(ids[128], Y, WORDS, PlainCNN, 32)
    same = partial(bare_loop, spec=HEAD, batch_size=HEAD_BATCH)
    yield ("head", "bilstm", HEAD_BATCH), lambda: head(ids[500], Y, same)
    padded = partial(padded_loop, spec=HEAD, plain=PlainBiLSTM, batch_size=HEAD_BATCH)
    yield ("head, padded", "bilstm", HEAD_BATCH), lambda: head(ids[500], Y, padded)
    yield ("retrieval", "none", 256), lambda: retrieval(256)


def compare(ours, bare, n_rounds):
    """Median seconds of both, measured alternately after a first unmeasured round."""
    seconds = np.array([[timed(ours), timed(bare)] for _ in range(n_rounds + 1)])[1:]
    return np.median(seconds, axis=0)


def timed(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--output", metavar="ROWS", type=Path, default=rows.RESULTS / "speed.jsonl")
    parser.add_argument("--stale", action="store_true", help="measure stale rows again")
    parser.add_argument("--documents", type=int, default=2000, help="of the training part")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    train = load_jsonl(options.data, subset="train")
    texts, Y = train.data[: options.documents], train.target[: options.documents]
    Y = Y[:, np.flatnonzero(Y.sum(axis=0))]
    dataset, documents, path = options.data.resolve().name, len(texts), options.output
    marks = rows.marks_of_script(Path(__file__), "HeadToTailClassifier")
    here = environment(options.threads) | marks
    known = {rows.key_of(row): row for row in rows.read(path)}
    print(f"{'question':<14}{'encoder':<8}{'batch':>6}{'ours s':>9}{'bare s':>9}{'bare/ours':>11}")
    for (question, name, size), make in questions(texts, Y):
        row = {"table": "speed", "name": question, "dataset": dataset, "input": "tokens", "seed": 0}
        row |= {"variant": {"encoder": name, "batch size": size}, "documents": documents, **here}
        if question == "retrieval":
            row |= {"dataset": "random", "input": "vectors", "documents": N_VECTORS}
        old = known.get(rows.key_of(row))
        if old is None or (options.stale and any(old.get(n) != marks[n] for n in marks)):
            row["ours CPU s"], row["bare CPU s"] = compare(*make(), options.rounds)
            if path:
                rows.append(path, row)
        show(row if "ours CPU s" in row else old)
    if path:
        rows.rewrite(path, rows.read(path))


def show(row):
    ours, bare = row["ours CPU s"], row["bare CPU s"]
    name, (encoder, size) = row["name"], row["variant"].values()
    print(
        f"{name:<14}{encoder:<8}{size:>6}{ours:>9.2f}{bare:>9.2f}{bare / ours:>11.2f}", flush=True
    )


if __name__ == "__main__":
    main()
