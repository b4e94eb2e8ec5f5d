"""The first page: what Contraste is, and what each experiment has found."""

from core.ui import shell

shell.boot()

from core.ui import home

home.show()
