"""Figures become PNG files in the run folder: at `plt.show()`, when closed unseen, and at the end."""

import importlib.abc
import importlib.util
import os
import sys

PYPLOT = "matplotlib.pyplot"
FIGURES = 8
IMAGE_BYTES = 700_000
RESOLUTIONS = (None, 72, 50, 36)


class Figures:
    """Notices what the code draws; `announce(name)` is called for each image."""

    def __init__(self, announce):
        self._announce = announce
        self._count = 0
        self._bytes = 0
        self.notes = []

    def attach(self):
        if PYPLOT in sys.modules:
            self._patch(sys.modules[PYPLOT])
        else:
            sys.meta_path.insert(0, _AfterImport(self._patch))

    def _patch(self, pyplot):
        figures = self
        close, save = pyplot.close, pyplot.Figure.savefig
        saved = {}

        def show(*_, **__):
            for number in pyplot.get_fignums():
                figure = pyplot.figure(number)
                figures._take(figure, saved, save)
                close(figure)

        def close_unseen(which=None):
            chosen = _chosen(pyplot, which)
            for figure in chosen:
                if id(figure) not in saved:
                    figures._take(figure, saved, save)
            return close(which)

        def savefig(figure, target, *rest, **options):
            result = save(figure, target, *rest, **options)
            path = os.fspath(target) if isinstance(target, (str, os.PathLike)) else ""
            if path:
                path = path if os.path.splitext(path)[1] else path + ".png"
            saved[id(figure)] = path
            return result

        pyplot.show = show
        pyplot.close = close_unseen
        pyplot.Figure.savefig = savefig
        self._finish = show

    _finish = None

    def finish(self, last_value):
        """Takes the figures that are still open, and the last value when it is a picture."""
        try:
            if self._finish is not None:
                self._finish()
            self._picture(last_value)
        except Exception as error:  # a figure of the code's may fail to draw in any way
            self.notes.append(f"a figure could not be drawn: {type(error).__name__}: {error}"[:300])

    def _take(self, figure, saved, save):
        if not figure.axes and not figure.texts and not figure.images:
            return
        path = saved.pop(id(figure), "")
        if path.endswith(".png") and _is_here(path) and not figure.stale:
            self._show(os.path.relpath(path))
            return
        name = self._next_name()
        if name is None:
            return
        for resolution in RESOLUTIONS:
            options = {} if resolution is None else {"dpi": resolution}
            save(figure, name, format="png", **options)
            if os.path.getsize(name) <= IMAGE_BYTES // 2:
                break
        self._show(name)

    def _picture(self, value):
        if value is None or isinstance(value, (str, int, float, dict, list, tuple)):
            return
        data = None
        if type(value).__module__.startswith("PIL.") and hasattr(value, "save"):
            import io

            target = io.BytesIO()
            value.save(target, format="PNG")
            data = target.getvalue()
        elif callable(getattr(type(value), "_repr_png_", None)):
            data = value._repr_png_()
        if isinstance(data, bytes):
            name = self._next_name()
            if name is not None:
                with open(name, "wb") as file:
                    file.write(data)
                self._show(name)

    def _next_name(self):
        if self._count >= FIGURES:
            note = f"only the first {FIGURES} figures are shown"
            if note not in self.notes:
                self.notes.append(note)
            return None
        number = 1
        while os.path.lexists(f"figure_{number}.png"):
            number += 1
        return f"figure_{number}.png"

    def _show(self, name):
        self._count += 1
        self._announce(name)


def _is_here(path):
    return os.path.abspath(path).startswith(os.getcwd() + os.sep) and os.path.isfile(path)


def _chosen(pyplot, which):
    if which == "all":
        return [pyplot.figure(number) for number in pyplot.get_fignums()]
    if which is None:
        return [pyplot.gcf()] if pyplot.get_fignums() else []
    if isinstance(which, pyplot.Figure):
        return [which] if which.number in pyplot.get_fignums() else []
    if isinstance(which, int) and which in pyplot.get_fignums():
        return [pyplot.figure(which)]
    return []


class _AfterImport(importlib.abc.MetaPathFinder):
    """Patches pyplot at the moment the code imports it, when the zygote did not."""

    def __init__(self, patch):
        self._patch = patch

    def find_spec(self, name, path=None, target=None):
        if name != PYPLOT:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute, patch = spec.loader.exec_module, self._patch

        def exec_module(module):
            execute(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec
