"""Who imports whom, and how large things grow: read from the source with `ast`."""

import ast
import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import skmltc

PACKAGE = Path(__file__).parents[1] / "skmltc"
TESTS = Path(__file__).parent
spec = importlib.util.spec_from_file_location("code_lines", TESTS / "code_lines.py")
code_lines = importlib.util.module_from_spec(spec)
spec.loader.exec_module(code_lines)
lines_of_code, docstring_lines = code_lines.lines_of_code, code_lines.docstring_lines
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# A unit is a file or a folder of the package. It may import units of lower layers, and of its own
# what SIDEWAYS says.
LAYERS = [
    {"_validation", "_engines", "_products", "_rows", "_token_ids", "_torch_random"},
    {"labels", "_ranking", "_sampling", "_logistic", "_targets", "_inputs", "_cosine", "_votes"}
    | {"_token_counts", "distributed", "_devices"}
    | {"_inner", "_idle", "_published", "_pretrained", "_words"},
    {"_weighting"},
    {"text", "datasets", "losses", "encoders", "metrics", "model_selection", "displays"},
    {"decision"},
    {"_linear", "_networks", "_stages", "_progress"},
    {"base"},
    {"balanced_loss", "hybrid_siamese", "head_to_tail", "treader_xml", "neighbors"},
    {"long_tail"},
    {"persistence"},
    {"__init__"},
]
SIDEWAYS = {"displays": {"metrics"}, "_networks": {"_linear"}, "_cosine": {"_devices"}}
PAPERS = LAYERS[7]
TORCH_FREE = ["labels", "metrics", "datasets", "model_selection", "decision", "text", "displays"]


def unit_of(name):
    return name.split(".")[0]


def layer_of(unit):
    return next(level for level, units in enumerate(LAYERS) if unit in units)


def imports(source, package=("skmltc",), on_load=False):
    """Names that a file imports: of the package by their path in it, others by their root."""
    tree = ast.parse(source)
    for node in nodes_run_on_load(tree) if on_load else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (in_package(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = list(package[: len(package) - node.level + 1]) if node.level else []
            path = above + (node.module.split(".") if node.module else [])
            if path == ["skmltc"]:
                yield from (in_package(["skmltc", alias.name]) for alias in node.names)
            else:
                yield in_package(path)


def nodes_run_on_load(node):
    """Nodes outside of functions; classes and branches are entered."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from nodes_run_on_load(child)


def in_package(path):
    return "." + ".".join(path[1:]) if path[0] == "skmltc" else path[0]


def package_of(name):
    """The package that relative imports of a file start from."""
    return ("skmltc", *FILES[name].parent.relative_to(PACKAGE).parts)


def imported_by(name, **options):
    return set(imports(FILES[name].read_text(), package_of(name), **options))


def own_imports(name, **options):
    """Files of the package that a file imports."""
    found = {one[1:] for one in imported_by(name, **options) if one.startswith(".")}
    return found - {"__version__", ""}


def forbidden(name, imported):
    """Those of the imported files that the file may not use."""
    unit = unit_of(name)
    allowed = {
        other
        for other in imported
        if unit_of(other) == unit
        or other == unit_of(other)  # of another folder its face alone
        and (layer_of(other) < layer_of(unit) or other in SIDEWAYS.get(unit, ()))
    }
    return set(imported) - allowed


@pytest.mark.parametrize(
    "source, expected",
    [
        ("import numpy.linalg as la, torch", {"numpy", "torch"}),
        ("from scipy import sparse", {"scipy"}),
        ("from .labels import label_groups", {".decision.labels"}),
        ("from ..labels import label_groups", {".labels"}),
        ("from .. import labels, metrics", {".labels", ".metrics"}),
        ("from skmltc import labels", {".labels"}),
        ("from skmltc.labels import label_groups", {".labels"}),
        ("import skmltc.decision._rules", {".decision._rules"}),
        ("def f():\n    from ..base import fit\n    import torch", {".base", "torch"}),
    ],
)
def test_imports_are_found_in_every_form(source, expected):
    assert set(imports(source, ("skmltc", "decision"))) == expected


def test_imports_on_load_are_those_outside_of_functions():
    source = "try:\n    import a\nexcept E:\n    import b\nclass C:\n    import c\n"
    source += "    def f(self):\n        import d\nimport e\n"
    assert set(imports(source, on_load=True)) == {"a", "b", "c", "e"}


@pytest.mark.parametrize(
    "name, imported, expected",
    [
        ("base", {"encoders", "labels"}, set()),
        ("encoders._tokens", {"base", "encoders._encoder"}, {"base"}),
        ("metrics", {"datasets"}, {"datasets"}),
        ("displays", {"metrics"}, set()),
        ("_validation", {"labels"}, {"labels"}),
        ("balanced_loss", {"head_to_tail", "decision"}, {"head_to_tail"}),
        ("base", {"decision._rules"}, {"decision._rules"}),
        ("metrics", {"decision"}, {"decision"}),
    ],
)
def test_the_rule_is_downward_through_the_face_of_a_folder(name, imported, expected):
    assert forbidden(name, imported) == expected


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_lower_layers_alone(name):
    if name == "__init__":
        return
    assert any(unit_of(name) in units for units in LAYERS), f"{name} is missing in LAYERS"
    assert forbidden(name, own_imports(name)) == set()


@pytest.mark.parametrize("unit", sorted({unit_of(name) for name in FILES if "." in name}))
def test_the_files_of_a_folder_import_each_other_without_circles(unit):
    inside = {
        name: {other for other in own_imports(name) if other.startswith(f"{unit}.")}
        for name in FILES
        if name.startswith(f"{unit}.")
    }
    while inside:
        leaves = {name for name, others in inside.items() if not others & inside.keys()}
        assert leaves, f"a circle among {sorted(inside)}"
        inside = {name: others for name, others in inside.items() if name not in leaves}


@pytest.mark.parametrize("unit", sorted({unit_of(name) for name in FILES if "." in name}))
def test_the_face_of_a_folder_defines_nothing(unit):
    tree = ast.parse(FILES[unit].read_text())
    assert all(isinstance(n, ast.Expr | ast.ImportFrom | ast.Assign) for n in tree.body)
    names = [t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets]
    assert set(names) <= {"__all__"}


def test_only_training_and_its_callbacks_import_skorch():
    users = {name for name in FILES if "skorch" in imported_by(name)}
    assert users == {"_networks.training", "_networks.callbacks"}


@pytest.mark.parametrize("library", ["transformers", "safetensors", "matplotlib"])
def test_optional_libraries_are_imported_inside_functions(library):
    for name in FILES:
        assert library not in imported_by(name, on_load=True), name


@pytest.mark.parametrize("name", TORCH_FREE)
def test_torch_free_modules_load_no_torch(name):
    to_read, seen = [name], set()
    while to_read:
        current = to_read.pop()
        seen.add(current)
        assert not imported_by(current, on_load=True) & {"torch", "skorch"}, f"{name}: {current}"
        to_read += own_imports(current, on_load=True) - seen


def printed_by(code):
    """What a fresh process prints; warnings are errors."""
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    return run.stdout


def test_importing_an_estimator_loads_no_optional_library_and_warns_of_nothing():
    code = (
        "import sys; from skmltc import *\n"
        "assert BalancedLossClassifier and 'torch' in sys.modules\n"
        "print(sorted({'matplotlib', 'transformers', 'sphinx', 'pytest'} & set(sys.modules)))"
    )
    assert printed_by(code) == "[]\n"


def test_what_needs_no_torch_loads_none():
    modules = ", ".join(f"skmltc.{name}" for name in TORCH_FREE)
    code = f"import sys, skmltc, {modules}; print(skmltc.__version__, 'torch' in sys.modules)"
    assert printed_by(code) == f"{skmltc.__version__} False\n"


def test_the_package_hands_on_estimators_and_modules_when_they_are_asked_for():
    code = (
        "import skmltc; print(skmltc.BalancedLossClassifier.__module__)\n"
        "print(skmltc.metrics.precision_at_k.__module__, 'losses' in dir(skmltc))"
    )
    assert printed_by(code) == "skmltc.balanced_loss._estimator\nskmltc.metrics._ranking True\n"


def test_the_table_of_contents_is_complete():
    public = {name for name in map(unit_of, FILES) if not name.startswith("_")}
    modules = public - PAPERS - {"base", "long_tail", "persistence"} | {"neighbors"}
    assert set(skmltc._MODULES) == modules
    estimators = {name for name in skmltc.__all__ if not name.startswith("_")}
    assert set(skmltc._ESTIMATORS) == estimators
    assert set(dir(skmltc)) == set(skmltc.__all__) | modules
    for name in dir(skmltc):
        assert getattr(skmltc, name) is not None
    with pytest.raises(AttributeError, match="module 'skmltc' has no attribute 'nothing'"):
        skmltc.nothing  # noqa: B018


def test_type_checkers_see_the_estimators_that_are_handed_on():
    tree = ast.parse(FILES["__init__"].read_text())
    (branch,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in branch.body for alias in node.names}
    assert seen == skmltc._ESTIMATORS


@pytest.mark.parametrize("name", FILES)
def test_files_have_the_size_of_one_subject(name):
    assert code_lines.count(FILES[name]) < 320  # without docstrings, which are half of some


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


@pytest.mark.parametrize("name", FILES)
def test_functions_stay_under_40_lines_of_code(name):
    lengths = body_lengths(FILES[name].read_text())
    assert {name: length for name, length in lengths.items() if length >= 40} == {}


def hidden_parameters(source):
    """Public functions and methods that take **kwargs."""
    return {
        function.name
        for function in functions(source)
        if function.args.kwarg and not (function.name.startswith("_") and function.name[1] != "_")
    } - {"set_params", "as_published"}


def test_hidden_parameters_are_found():
    source = "def f(**o): 0\ndef _g(**o): 0\nclass C:\n    def __init__(self, **o): 0\n"
    source += "    def set_params(self, **params): 0\n"
    assert hidden_parameters(source) == {"f", "__init__"}


@pytest.mark.parametrize("name", [n for n in FILES if not n.startswith("_")])
def test_public_signatures_name_their_parameters(name):
    assert hidden_parameters(FILES[name].read_text()) == set()


def test_every_test_file_stands_beside_what_it_tests():
    general = {"test_architecture", "test_built_in_is_wrapped", "test_common", "test_examples"}
    general |= {"test_benchmarks", "test_benchmark_costs", "test_gpu", "test_serving"}  # of none
    for path in TESTS.rglob("test_*.py"):
        parts = path.relative_to(TESTS).with_suffix("").parts
        folder, name = ".".join(parts[:-1]), parts[-1].removeprefix("test_")
        side_inputs = {f"{folder}.{name}".strip("."), f"{folder}._{name}".strip(".")}
        assert parts[-1] in general or side_inputs & FILES.keys(), path


# ------------------------------------------------------------------------ values, not side effects

SETTERS = {"__init__", "_set_fitted", "set_params", "add_labels", "add_documents"}


def estimators(tree):
    """Classes that end in what an estimator is called."""
    ends = ("Classifier", "ClassifierCV")
    return [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name.endswith(ends)]


def is_self(node):
    return isinstance(node, ast.Name) and node.id == "self"


def assigns_to_self(function):
    """Whether a method sets or deletes an attribute, or asks for the dict of them all."""
    nodes = list(ast.walk(function))
    stores = [n for n in nodes if isinstance(getattr(n, "ctx", None), ast.Store | ast.Del)]
    calls = [n for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return any(isinstance(n, ast.Attribute) and is_self(n.value) for n in stores) or any(
        call.func.id in ("vars", "setattr", "delattr") and any(map(is_self, call.args))
        for call in calls
    )


def methods_that_assign(source):
    return {
        function.name
        for cls in estimators(ast.parse(source))
        for function in cls.body
        if isinstance(function, ast.FunctionDef) and assigns_to_self(function)
    }


def test_assignments_to_self_are_found_in_every_form():
    source = "class AClassifier:\n"
    for k, line in enumerate(
        [
            "self.a = 1",
            "self.a, b = 1, 2",
            "self.a += 1",
            "self.a: int = 1",
            "del self.a",
            "a = self.b",
        ]
    ):
        source += f"    def f{k}(self):\n        {line}\n"
    assert methods_that_assign(source) == {"f0", "f1", "f2", "f3", "f4"}


@pytest.mark.parametrize("name", FILES)
def test_only_setters_assign_to_an_estimator(name):
    assert methods_that_assign(FILES[name].read_text()) <= SETTERS


# ------------------------------------------------------------------------------------------- sizes


def own_lines(source):
    """Lines of code of an estimator's file without imports, constructor and constraints."""
    left_out = set()
    for node in ast.walk(ast.parse(source)):
        named = getattr(node, "name", None) or getattr(getattr(node, "target", None), "id", None)
        if isinstance(node, ast.Import | ast.ImportFrom) or named in (
            "__init__",
            "_parameter_constraints",
        ):
            left_out |= set(range(node.lineno, node.end_lineno + 1))
    end = len(source.splitlines()) + 1
    return len(lines_of_code(source) - docstring_lines(source) - left_out - {end})


@pytest.mark.parametrize(
    "name",
    [f"{paper}._estimator" for paper in sorted(PAPERS) if f"{paper}._estimator" in FILES],
)
def test_an_estimator_reads_as_its_paper_in_150_lines(name):
    assert own_lines(FILES[name].read_text()) <= 150


def test_the_median_function_is_short():
    lengths = [n for path in FILES.values() for n in body_lengths(path.read_text()).values()]
    assert np.median(lengths) <= 5


def test_every_mutation_is_of_code_that_is_there():
    """`tests/mutations.py` takes minutes, so that a fault that no longer fits shows here."""
    found = runpy.run_path(str(TESTS / "mutations.py"), run_name="mutations")["MUTATIONS"]
    root = PACKAGE.parent
    gone = [one.name for one in found if (root / one.path).read_text().count(one.text) != 1]
    assert len(found) > 100 and not gone
