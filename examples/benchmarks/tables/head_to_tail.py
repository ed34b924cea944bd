"""The rows of HTTN and EHTTN (Xiao et al., AAAI 2021).

    Joint        no tail: all labels are trained, by cross-entropy or by a balancing loss
    Imprinting   prototypes as weights
    H-F-A        transferred, no fine-tuning, no attention
    H-F          with attention
    H            and fine-tuned
    EH           30 members of each tail label
    -F, -A       without fine-tuning, without the attention
    +F           with fine-tuning
    S=5          H-F with so many prototypes of each head label (Figure 5)

"As published" they are trained as in the released code, on 128 tokens instead of 500, with Adam's
transfer and cut at 0.5; otherwise they are the settings of ours that the name says, transferred by
ridge. How far single members differ (Figure 6) is the spread of H over the seeds.
"""

from bench import Row
from bench.rows import PAPERS_OF_REUTERS

from skmltc.losses import ClassBalancedNegativeTolerantLoss

MODEL = "HeadToTailClassifier"
BALANCING = ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4)
ALONE = {"n_ensembles": 1, "attention": False, "fine_tune": None, "transfer": "ridge"}
JOINT = {"n_tail": 0, "min_head_count": None}
PARTS = {
    "Joint": JOINT,
    "Joint, balancing": JOINT | {"loss": BALANCING},
    "Imprinting": {**ALONE, "transfer": "identity"},
    "H-F-A": ALONE,
    "H-F": {**ALONE, "attention": True},
    "H": {**ALONE, "attention": True, "fine_tune": "tail"},
    "H-A": {**ALONE, "fine_tune": "tail"},
    "Imprinting+F": {**ALONE, "transfer": "identity", "fine_tune": "tail"},
    "EH-F-A": {**ALONE, "n_ensembles": 30},
    "EH-F": {**ALONE, "attention": True, "n_ensembles": 30},
    "EH": {**ALONE, "attention": True, "fine_tune": "tail", "n_ensembles": 30},
    "EH-A": {**ALONE, "fine_tune": "tail", "n_ensembles": 30},
    "H-F-A, adam": {**ALONE, "transfer": "adam"},
    "H-F, adam": {**ALONE, "attention": True, "transfer": "adam"},
}
ON_TOKENS = ("Joint", "Joint, balancing", "Imprinting", "H-F-A", "H-F", "H", "Imprinting+F", "EH")
PUBLISHED = ("Joint", "Imprinting", "H-F-A", "H-F", "H", "EH", "EH-F-A")
PROTOTYPES = (5, 10, 20, 30, 40, 50, 60)
# Tail labels: those with up to 8 or 10 documents, then half as many.
N_TAIL = {"reuters": (28, 14), "cooking": (305, 150)}
GROUPS = {"reuters": PAPERS_OF_REUTERS}


def ours(name, dataset, parameters, encoder="bag", **options):
    n_tail = N_TAIL.get(dataset, (None,))[0]
    return Row(
        name,
        dataset,
        "tfidf" if encoder == "bag" else "tokens 128",
        MODEL,
        parameters={"n_tail": n_tail, "loss": "bce"}
        | parameters
        | ({} if encoder == "bag" else {"encoder": encoder}),
        variant={"encoder": encoder},
        groups=GROUPS.get(dataset, {}),
        **options,
    )


def published(name, dataset, n_tail, **changes):
    variant = {"encoder": "bilstm", "mode": "as published", "n_tail": n_tail, **changes}
    return Row(
        *(name, dataset, "tokens 128", MODEL),
        published=name,
        parameters=(changes if name == "Joint" else {"n_tail": n_tail} | changes),
        variant=variant,
        groups=GROUPS.get(dataset, {}),
        seeds=1 if name == "EH" else None,
    )


ROWS = [ours(name, "reuters", parameters) for name, parameters in PARTS.items()]
ROWS += [ours(name, "cooking", parameters) for name, parameters in PARTS.items()]
ROWS += [ours(name, "tib-bk", PARTS[name], seeds=1) for name in ON_TOKENS]
ROWS += [ours(f"S={n}", "reuters", PARTS["H-F"] | {"n_prototypes": n}) for n in PROTOTYPES]
ROWS += [ours(n, d, PARTS[n], "bilstm", seeds=1) for d in N_TAIL for n in ON_TOKENS]
ROWS += [
    published(name, dataset, n_tail)
    for dataset in N_TAIL
    for n_tail in N_TAIL[dataset]
    for name in PUBLISHED
    if name != "Joint" or n_tail == N_TAIL[dataset][0]  # it has no tail
]
ROWS += [published("H-F", "reuters", 28, n_prototypes=n) for n in PROTOTYPES if n != 30]
