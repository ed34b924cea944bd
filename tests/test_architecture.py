"""Who imports whom, and how large things grow: read from the source with `ast`."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "skmltc"
MODULES = {path.stem: path for path in sorted(PACKAGE.glob("*.py"))}
PUBLIC = [name for name in MODULES if not name.startswith("_")]

# A module may import those of lower levels, and of its own only what SIDEWAYS says.
LEVELS = [
    {"labels", "_validation", "_ranking", "_formats", "_words", "_loss_kernel", "_thresholds"}
    | {"_sequences", "_layers", "_cooccurrence", "_triplets", "_transfer"},
    {"encoders", "losses", "decision", "text", "neighbors", "metrics", "model_selection"}
    | {"displays", "datasets"},
    {"_training", "_linear", "pretrained"},
    {"base"},
    {"_network", "_siamese", "_columns", "_reading", "_scopes"},
    {"balanced_loss", "hybrid_siamese", "head_to_tail", "treader_xml"},
    {"persistence"},
    {"__init__"},
]
SIDEWAYS = {
    "labels": {"_validation"},
    "_ranking": {"_validation"},
    "_formats": {"_validation"},
    "_loss_kernel": {"_validation"},
    "_words": {"_formats", "_validation"},
    "_thresholds": {"labels", "_ranking", "_validation"},
    "displays": {"metrics"},
    "decision": {"metrics", "model_selection"},
    "model_selection": {"metrics"},
}
ESTIMATORS = LEVELS[5]
# Private parts of level 0 belong to somebody.
USERS = {
    "_formats": {"_words", "datasets"},
    "_words": {"text"},
    "_loss_kernel": {"losses"},
    "_sequences": {"encoders", "_training"},
    "_layers": {"encoders", "_network", "_siamese"},
    "_cooccurrence": {"encoders"},
    "_triplets": {"hybrid_siamese"},
    "_transfer": {"head_to_tail"},
    "_columns": {"head_to_tail"},
    "_reading": {"treader_xml"},
    "_scopes": {"treader_xml"},
    "_ranking": {"_thresholds", "metrics", "decision", "base"},
    "_thresholds": {"decision", "_linear", "base", "_network", *ESTIMATORS},
}
TORCH_FREE = {"labels", "metrics", "datasets", "model_selection", "decision", "text"}


def level_of(module):
    return next(level for level, modules in enumerate(LEVELS) if module in modules)


def imports(source, on_load=False):
    """Names that a module imports: those of the package by module, others by their root."""
    tree = ast.parse(source)
    for node in nodes_run_on_load(tree) if on_load else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (of_package(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            path = f"{'skmltc.' if node.level else ''}{node.module or ''}".strip(".").split(".")
            if path == ["skmltc"]:
                yield from (of_package(["skmltc", alias.name]) for alias in node.names)
            else:
                yield of_package(path)


def nodes_run_on_load(node):
    """Nodes outside of functions; classes and branches are entered."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from nodes_run_on_load(child)


def of_package(path):
    return f"skmltc.{path[1]}" if path[0] == "skmltc" and len(path) > 1 else path[0]


def modules_imported(source, **options):
    names = {name.removeprefix("skmltc.") for name in imports(source, **options) if "." in name}
    return names - {"__version__"}


def forbidden(module, imported):
    """Those of the imported modules that the module may not use."""
    level, sideways = level_of(module), SIDEWAYS.get(module, set())
    return {
        name
        for name in imported
        if not (level_of(name) < level or name in sideways)
        or module not in USERS.get(name, {module})
    }


@pytest.mark.parametrize(
    "source, expected",
    [
        ("import numpy.linalg as la, torch", {"numpy", "torch"}),
        ("from scipy import sparse", {"scipy"}),
        ("from .labels import rarity", {"skmltc.labels"}),
        ("from . import labels, metrics", {"skmltc.labels", "skmltc.metrics"}),
        ("from skmltc import labels", {"skmltc.labels"}),
        ("from skmltc.labels import rarity", {"skmltc.labels"}),
        ("import skmltc.labels", {"skmltc.labels"}),
        ("def f():\n    from .base import fit\n    import torch", {"skmltc.base", "torch"}),
    ],
)
def test_imports_are_found_in_every_form(source, expected):
    assert set(imports(source)) == expected


def test_imports_on_load_are_those_outside_of_functions():
    source = "try:\n    import a\nexcept E:\n    import b\nclass C:\n    import c\n"
    source += "    def f(self):\n        import d\nimport e\n"
    assert set(imports(source, on_load=True)) == {"a", "b", "c", "e"}


@pytest.mark.parametrize(
    "module, imported, expected",
    [
        ("base", {"encoders", "labels"}, set()),
        ("encoders", {"base"}, {"base"}),
        ("metrics", {"datasets"}, {"datasets"}),
        ("displays", {"metrics"}, set()),
        ("_validation", {"labels"}, {"labels"}),
        ("balanced_loss", {"head_to_tail", "_thresholds"}, {"head_to_tail"}),
        ("metrics", {"_thresholds"}, {"_thresholds"}),
    ],
)
def test_the_rule_is_downward_never_sideways(module, imported, expected):
    assert forbidden(module, imported) == expected


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_lower_levels(module):
    assert any(module in modules for modules in LEVELS), f"{module} is missing in LEVELS"
    assert forbidden(module, modules_imported(MODULES[module].read_text())) == set()


def test_only_training_imports_skorch():
    users = {name for name, path in MODULES.items() if "skorch" in imports(path.read_text())}
    assert users == {"_training"}


@pytest.mark.parametrize("library", ["transformers", "safetensors", "matplotlib"])
def test_optional_libraries_are_imported_inside_functions(library):
    for path in MODULES.values():
        assert library not in imports(path.read_text(), on_load=True), path.name


@pytest.mark.parametrize("module", sorted(TORCH_FREE))
def test_torch_free_modules_load_no_torch(module):
    to_read, seen = [module], set()
    while to_read:
        name = to_read.pop()
        seen.add(name)
        names = set(imports(MODULES[name].read_text(), on_load=True))
        assert not names & {"torch", "skorch"}, f"{module} gets torch by {name}"
        to_read += modules_imported(MODULES[name].read_text(), on_load=True) - seen


def test_importing_the_package_loads_no_optional_library_and_warns_of_nothing():
    code = (
        "import sys, skmltc; assert skmltc.__version__ and 'torch' in sys.modules\n"
        "print(sorted({'matplotlib', 'transformers', 'sphinx', 'pytest'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "[]\n" and run.stderr == ""


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_files_stay_under_500_lines(path):
    assert len(path.read_text().splitlines()) < 500


def lines_of_code(source):
    """Numbers of the lines that are neither blank nor comments."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = [range(t.start[0], t.end[0] + 1) for t in tokens if t.type not in silent]
    return set().union(*lines)


def functions(source):
    """All functions and methods, nested ones included."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]


def body_lengths(source):
    """Lines of code in each function's body, without its docstring.

    The signature does not count: an estimator's has a line for every parameter.
    """
    code, lengths = lines_of_code(source), {}
    for function in functions(source):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        first = body[0].lineno if body else function.end_lineno + 1
        lengths[function.name] = len(code & set(range(first, function.end_lineno + 1)))
    return lengths


def test_bodies_are_measured_without_docstring_comments_and_signature():
    source = """
def f(
    a,
):
    '''Doc.

    More.
    '''
    # why

    b = (
        a
    )
    def g(): '''Doc.'''
"""
    assert body_lengths(source) == {"f": 4, "g": 0}


@pytest.mark.parametrize("module", MODULES)
def test_functions_stay_under_40_lines_of_code(module):
    lengths = body_lengths(MODULES[module].read_text())
    assert {name: length for name, length in lengths.items() if length >= 40} == {}


def hidden_parameters(source):
    """Public functions and methods that take **kwargs."""
    return {
        function.name
        for function in functions(source)
        if function.args.kwarg and not (function.name.startswith("_") and function.name[1] != "_")
    } - {"set_params"}


def test_hidden_parameters_are_found():
    source = "def f(**o): 0\ndef _g(**o): 0\nclass C:\n    def __init__(self, **o): 0\n"
    source += "    def set_params(self, **params): 0\n"
    assert hidden_parameters(source) == {"f", "__init__"}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_signatures_name_their_parameters(module):
    assert hidden_parameters(MODULES[module].read_text()) == set()


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_module_has_its_tests(module):
    assert (Path(__file__).parent / f"test_{module}.py").is_file()


def test_every_test_file_is_about_a_module():
    tests = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert tests - {"architecture", "common", "examples"} <= {name.lstrip("_") for name in MODULES}
