"""Share one store and one engine among all viewers of a server."""

from __future__ import annotations

from collections import OrderedDict

import streamlit as st

from core.comparison import Comparison
from core.config import GALLERY, Config, read_config
from core.engine.client import Engine
from core.store import Store
from core.study import Study

MAX_COMPARISONS = 48


class Services:
    """What pages share: the configuration, the store, the engine and the comparisons read lately."""

    def __init__(self, config: Config):
        self.config = config
        self.store = Store(config.store_url, GALLERY)
        self.engine = Engine(self.store, config)
        self._complete: OrderedDict[str, Comparison] = OrderedDict()

    def comparison(self, study: Study) -> Comparison:
        """Compare what is stored of `study`, and what its runs have measured so far."""
        if study.digest in self._complete:
            self._complete.move_to_end(study.digest)
            return self._complete[study.digest]
        digests = [spec.digest for spec in study.runs.values()]
        found = self.engine.partial(digests) | self.store.get(digests)
        comparison = Comparison(study, found)
        if comparison.is_complete:
            self._complete[study.digest] = comparison
            while len(self._complete) > MAX_COMPARISONS:
                self._complete.popitem(last=False)
        return comparison

    def is_active(self, study: Study) -> bool:
        """Tell whether any run of `study` is queued or running."""
        return self.engine.is_active(spec.digest for spec in study.runs.values())


@st.cache_resource(max_entries=1, show_spinner=False, on_release=lambda services: services.engine.close())
def services() -> Services:
    """Return the services of this server, made at the first call."""
    return Services(read_config())
