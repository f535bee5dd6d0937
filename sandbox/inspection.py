"""Looks at code without running it: does it parse, what does it import, which tools does it name."""

import ast
import importlib.util
import sys


def inspect_code(source, tools):
    """A result frame whose `report` holds what was found."""
    report = {"parses": True, "error": None, "imports": [], "calls": [], "functions": []}
    try:
        source = source.lstrip("\ufeff")
        flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(source, "code.py", "exec", flags, dont_inherit=True)
        compile(tree, "code.py", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        return _refused(report, error.msg, error.lineno, (error.text or "").strip()[:200])
    except (ValueError, MemoryError, RecursionError, UnicodeError) as error:
        return _refused(report, f"{type(error).__name__}: {error}"[:500], None, None)
    awaited = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Await)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                _note_import(report, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            _note_import(report, node.module, node.lineno)
        elif isinstance(node, ast.Call):
            _note_call(report, node, id(node) in awaited, tools)
    report["functions"] = [node.name for node in tree.body
                           if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return {"ok": True, "report": report}


def _refused(report, message, line, text):
    report["parses"] = False
    report["error"] = {"message": message, "line": line, "text": text}
    return {"ok": True, "report": report}


def _note_import(report, name, line):
    top = name.partition(".")[0]
    known = top in sys.builtin_module_names or top in sys.modules
    if not known:
        try:
            known = importlib.util.find_spec(top) is not None
        except (ImportError, ValueError):
            known = False
    report["imports"].append({"name": name, "line": line, "installed": known})


def _note_call(report, node, is_awaited, tools):
    name = node.func.id if isinstance(node.func, ast.Name) else None
    if name not in ("_call_mcp_tool", "_call_ai"):
        return
    tool = None
    named = {keyword.arg: keyword.value for keyword in node.keywords}
    if name == "_call_mcp_tool":
        first = node.args[0] if node.args else named.get("tool_name")
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            tool = first.value
    report["calls"].append({"function": name, "tool": tool, "line": node.lineno, "awaited": is_awaited,
                            "known": tool is None or tool in tools})
