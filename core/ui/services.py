"""Share one store and one engine among all viewers of a server."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable

import streamlit as st

from core.comparison import Comparison
from core.config import GALLERY, Config, read_config
from core.datasets import OwnDataset, look_up_with, register
from core.datasets.tables import pack
from core.engine.client import Engine
from core.library import Deletion, Library
from core.result import RunResult
from core.spec import RunSpec
from core.store import Store
from core.study import Study
from core.ui import links

MAX_COMPARISONS = 128
MAX_RESULTS = 300  # those of recurrent nets carry their weights, up to 4 MB


class Services:
    """What pages share: the configuration, the store, the engine and the comparisons read lately."""

    def __init__(self, config: Config):
        self.config = config
        self.store = Store(config.store_url, GALLERY)
        self.library = Library(self.store)
        self.engine = Engine(self.store, config)
        look_up_with(self.store.attachment)
        self._complete: dict[str, Comparison] = {}
        self._lock = threading.Lock()
        self._results: dict[str, RunResult] = {}  # complete ones, which never change

    def comparison(self, study: Study) -> Comparison:
        """Compare what is stored of `study`, and what its runs have measured so far."""
        if (comparison := self._complete.get(study.digest)) is not None:
            return comparison
        digests = [spec.digest for spec in study.runs.values()]
        known = {digest: result for digest in digests if (result := self._results.get(digest)) is not None}
        stored = self.store.get(digest for digest in digests if digest not in known)
        with self._lock:
            self._results |= {digest: result for digest, result in stored.items() if result.is_complete}
            while len(self._results) > MAX_RESULTS:
                del self._results[next(iter(self._results))]
        complete = known | {digest: result for digest, result in stored.items() if result.is_complete}
        # A run that was stopped once and trains again shows what is being measured now.
        comparison = Comparison(study, stored | self.engine.partial(digests) | complete)
        if comparison.is_complete:
            with self._lock:
                self._complete[study.digest] = comparison
                while len(self._complete) > MAX_COMPARISONS:
                    del self._complete[next(iter(self._complete))]
        return comparison

    def keep_dataset(self, own: OwnDataset) -> None:
        """Make a viewer's data set known, here and to whoever shares the store."""
        register(own)
        self.store.attach(pack(own))

    def may_delete(self) -> bool:
        """Tell whether this viewer may delete: as configured, or who opened the dashboard at this machine's own name."""
        if self.config.may_delete is not None:
            return self.config.may_delete
        return links.is_local(st.context.url or "")

    def delete(self, digests: Collection[str]) -> Deletion:
        """Delete comparisons of this installation, and their runs that nothing else needs.

        Nothing is deleted where the configuration does not allow it, and nothing whose runs are on their way.
        """
        if not self.may_delete():
            return Deletion()
        done, gone = self.library.delete(digests, self.engine.is_active)
        with self._lock:
            for digest in gone:
                self._results.pop(digest, None)
            for digest, comparison in list(self._complete.items()):
                if gone & comparison.results.keys():
                    del self._complete[digest]
        return done

    def results(self, specs: Iterable[RunSpec]) -> dict[str, RunResult]:
        """Return the finished results there are for runs outside a study, by digest."""
        found = self.store.get(spec.digest for spec in specs)
        return {digest: result for digest, result in found.items() if result.is_complete}

    def is_active(self, study: Study) -> bool:
        """Tell whether any run of `study` is queued or running."""
        return self.engine.is_active(spec.digest for spec in study.runs.values())


@st.cache_resource(max_entries=1, show_spinner=False, on_release=lambda services: services.engine.close())
def services() -> Services:
    """Return the services of this server, made at the first call."""
    return Services(read_config())
